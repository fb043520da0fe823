//! Takes connections, a bounded number at a time, and serves HTTP/1 on each.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use outrigger_shutdown::{Shutdown, Tasks};
use outrigger_telemetry::names;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::limits;
use crate::metrics::Recorder;

/// After a failed accept, such as when the process has no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Server {
    pub(super) router: Router,
    pub(super) tasks: Tasks,
    pub(super) recorder: Recorder,
    pub(super) shutdown: Shutdown,
    pub(super) free: Arc<Semaphore>,
}

impl Server {
    /// Takes connections for ever. Those beyond the limit are closed at once and counted.
    pub(super) async fn serve<S, F>(&self, accept: impl Fn() -> F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = std::io::Result<S>>,
    {
        loop {
            let stream = match accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "A connection could not be taken");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
                self.recorder.count(names::HTTP_REJECTED, &[]);
                continue;
            };
            let router = self.router.clone();
            let shutdown = self.shutdown.clone();
            self.tasks.spawn_short("http connection", async move {
                one(stream, router, shutdown).await;
                drop(permit);
            });
        }
    }
}

async fn one<S>(stream: S, router: Router, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Bounds the wait between two requests of one connection too.
        .header_read_timeout(limits::HTTP_HEAD_TIMEOUT)
        .max_buf_size(limits::HTTP_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.triggered() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "A connection broke off");
    }
}
