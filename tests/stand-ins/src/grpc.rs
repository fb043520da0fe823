//! The standard gRPC health check, by hand: one call with one field each way.

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request names one service; longer ones are not asked for.
const REQUEST_BYTES_MAX: usize = 1024;

const PATH: &str = "/grpc.health.v1.Health/Check";

/// gRPC's own numbers for a call that went well, one that there is not, and something that is not known.
const OK: u8 = 0;
const UNIMPLEMENTED: u8 = 12;
const NOT_FOUND: u8 = 5;

/// `status: SERVING`, behind the five bytes of a message's head.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 1];

type Trailers = std::future::Ready<Option<Result<HeaderMap, Infallible>>>;
type Answer = Response<WithTrailers<Full<Bytes>, Trailers>>;

/// Serves until it is dropped. `serves` says of a service's name whether it is there; the empty name is the
/// whole server.
pub(crate) async fn health<F>(listener: TcpListener, serves: F)
where
    F: Fn(&str) -> bool + Clone + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let serves = serves.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let serves = serves.clone();
                        async move { Ok::<_, Infallible>(check(request, serves).await) }
                    });
                    // A client that goes away is its own business.
                    let served = http2::Builder::new(TokioExecutor::new())
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service);
                    drop(served.await);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn check(request: Request<Incoming>, serves: impl Fn(&str) -> bool) -> Answer {
    if request.uri().path() != PATH {
        return answer(&[], UNIMPLEMENTED);
    }
    let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX);
    let message = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return answer(&[], UNIMPLEMENTED),
    };
    // The head's five bytes, then the field's tag and its length.
    let name = message.get(7..).unwrap_or_default();
    if serves(&String::from_utf8_lossy(name)) {
        answer(SERVING, OK)
    } else {
        answer(&[], NOT_FOUND)
    }
}

fn answer(message: &'static [u8], status: u8) -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    let body = Full::new(Bytes::from_static(message)).with_trailers(ready(Some(Ok(trailers))));
    let mut answer = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
