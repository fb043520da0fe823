//! A small HTTP server, and files of answers with places to fill in.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) type Answer = Response<Full<Bytes>>;

/// An answer.
pub(crate) fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
}

/// Listens on `host:port`.
pub(crate) async fn listen(address: &str) -> Result<TcpListener, String> {
    // Go listens on every address where none is said.
    let bind = match address.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => address.to_owned(),
    };
    TcpListener::bind(&bind)
        .await
        .map_err(|error| format!("listen tcp {address}: {error}"))
}

/// Serves until it is dropped, and then closes what is open.
pub(crate) async fn serve<F, A>(listener: TcpListener, handler: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let handler = handler.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answering = handler(request);
                        async { Ok::<_, Infallible>(answering.await) }
                    });
                    // A client that goes away is its own business.
                    let served = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service);
                    drop(served.await);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A file of answers with `{name}` replaced.
pub(crate) fn fill(file: &str, values: &[(&str, String)]) -> String {
    let filled = values
        .iter()
        .fold(file.trim_end().to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        });
    filled + "\n"
}

/// The number that a query parameter holds, or none.
pub(crate) fn parameter(request: &Request<Incoming>, name: &str) -> Option<u64> {
    let query = request.uri().query()?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?
        .parse()
        .ok()
}
