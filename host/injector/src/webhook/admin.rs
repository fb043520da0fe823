//! The port for the kubelet and for Prometheus: `/live`, `/ready` (and by their customary names `/healthz`
//! and `/readyz`), `/metrics`. It only reads.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::{ACCEPT_AGAIN, Server, limits, metrics};

/// Answers until the webhook lets go of its connections.
pub(super) async fn serve(listener: TcpListener, server: Arc<Server>) {
    let free = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.closing.triggered() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "A connection for probes or metrics could not be taken");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            server.metrics.rejected("admin-connections");
            continue;
        };
        let own = Arc::clone(&server);
        server.tasks.spawn_short("webhook probe", async move {
            one(own, stream).await;
            drop(permit);
        });
    }
}

async fn one(server: Arc<Server>, stream: TcpStream) {
    let answering = Arc::clone(&server);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Bounds the time between two requests as well: places are few, and all that is asked for here
        // may be asked again.
        .header_read_timeout(limits::HEAD_TIMEOUT)
        .max_buf_size(limits::HEAD_BYTES_MAX as usize)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                let response = answer(&answering, request.method(), request.uri().path());
                async { Ok::<_, Infallible>(response) }
            }),
        );
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = server.closing.triggered() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "A connection for probes or metrics broke off");
    }
}

fn answer(server: &Server, method: &Method, path: &str) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let (status, kind, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/healthz" | "/live") => {
            (StatusCode::OK, TEXT, "ok\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, "/readyz" | "/ready") => match server.missing() {
            missing if missing.is_empty() => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            missing => (
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                format!("not ready: {}\n", missing.join("; ")),
            ),
        },
        (&Method::GET | &Method::HEAD, "/metrics") => (
            StatusCode::OK,
            metrics::CONTENT_TYPE,
            server.metrics.exposition(server, SystemTime::now()),
        ),
        (&Method::GET | &Method::HEAD, _) => (
            StatusCode::NOT_FOUND,
            TEXT,
            "there are /live, /ready and /metrics\n".to_owned(),
        ),
        _ => (
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "this port only reads\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
