//! One connection: TLS, then HTTP/1.1 or HTTP/2 as the client asks for, within its time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use outrigger_shutdown::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::Server;
use super::handler::{Body, handle};
use super::limits;
use super::watched::{Activity, Phase, PhaseClock, Watched};

/// Serves it until it ends, whoever ends it.
pub(super) async fn serve<S>(server: &Arc<Server>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = match timeout(limits::HANDSHAKE_TIMEOUT, server.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            server.metrics.rejected("handshake");
            debug!(%error, "A TLS handshake failed");
            return;
        }
        Err(_) => {
            server.metrics.rejected("handshake");
            debug!("A TLS handshake took too long");
            return;
        }
    };
    server.metrics.shook_hands();
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let activity = Arc::new(Activity::default());
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let begun = Instant::now();
    let service = {
        let server = Arc::clone(server);
        let activity = Arc::clone(&activity);
        service_fn(move |request| {
            let server = Arc::clone(&server);
            let answer = handle(Arc::clone(&server), Arc::clone(&activity), request);
            async move {
                let mut answer = answer.await;
                // API servers speak HTTP/1.1, and send no review again whose connection went meanwhile: it
                // is with an answer that they learn that there will be no other.
                if !http2 && server.lets_go(begun) {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(answer)
            }
        })
    };
    let clock = PhaseClock::new(activity, !http2);
    if http2 {
        let connection = http2::Builder::new(Requests(server.tasks.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::STREAMS_MAX)
            .max_header_list_size(limits::HEAD_BYTES_MAX)
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(1 << 20)
            .max_send_buf_size(256 << 10)
            .serve_connection(io, service);
        watch(server, connection, clock, server.connection_life).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // That would bound the time between requests as well: the watch is more patient there.
            .header_read_timeout(None)
            .max_buf_size(limits::HEAD_BYTES_MAX as usize)
            .serve_connection(io, service);
        watch(server, connection, clock, None).await;
    }
}

/// A connection that can be asked to end.
trait Graceful: Future<Output = hyper::Result<()>> {
    /// Answers what it has taken and takes nothing more.
    fn end(self: Pin<&mut Self>);
}

impl<I, S> Graceful for http1::Connection<I, S>
where
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> Graceful for http2::Connection<I, S, E>
where
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, Body>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Drives a connection until it ends, its time is over, or the webhook ends. `life` is after which time it
/// is asked to end.
async fn watch<C: Graceful>(
    server: &Server,
    connection: C,
    mut clock: PhaseClock,
    life: Option<Duration>,
) {
    let mut connection = std::pin::pin!(connection);
    let mut word = std::pin::pin!(over_or_closing(server, life));
    let mut asked = false;
    let (_, first) = clock.read();
    let mut alarm = std::pin::pin!(tokio::time::sleep_until(first));
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                if let Err(error) = ended {
                    debug!(%error, "A connection broke off");
                }
                return Poll::Ready(());
            }
            if !asked && word.as_mut().poll(cx).is_ready() {
                asked = true;
                connection.as_mut().end();
                continue;
            }
            let (phase, until) = clock.read();
            // The alarm is only ever moved when it must ring earlier, or when it has rung: most
            // requests leave it alone.
            if until < alarm.deadline() {
                alarm.as_mut().reset(until);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() < until {
                alarm.as_mut().reset(until);
            } else if phase == Phase::Idle {
                clock.close();
                connection.as_mut().end();
            } else {
                debug!(?phase, "A connection took too long");
                return Poll::Ready(());
            }
        }
    })
    .await;
}

/// Waits until a connection that begins now is to end.
async fn over_or_closing(server: &Server, life: Option<Duration>) {
    let closing = server.closing.triggered();
    match life {
        // Whichever comes first.
        Some(life) => drop(timeout(life, closing).await),
        None => closing.await,
    }
}

/// The requests of HTTP/2 connections are tasks.
#[derive(Debug, Clone)]
struct Requests(Tasks);

impl<F> Executor<F> for Requests
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        self.0.spawn_short("review", request);
    }
}
