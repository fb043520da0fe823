//! What a connection does, told by its stream and its requests to whoever watches over its time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::limits;

/// What happens on one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    in_flight: AtomicU32,
    served: AtomicU64,
    /// Bytes have come that belong to no request yet.
    heard: AtomicBool,
    /// The rest of a body is left unread.
    left_unread: AtomicBool,
    closing: AtomicBool,
}

impl Activity {
    /// A request has begun; it ends with the guard.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.heard.store(false, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// The rest of a body will not be read, so whoever sends it should get the answer before the end.
    pub(super) fn leave_unread(&self) {
        self.left_unread.store(true, Ordering::Relaxed);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.served.fetch_add(1, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection is doing, which decides how long it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not asked for anything yet.
    Fresh,
    /// A request's head is on its way.
    Head,
    /// Requests are being answered.
    Busy,
    /// It had an answer and may ask again.
    Idle,
    /// It has been told to end.
    Closing,
}

/// Since when a connection has been in its phase.
#[derive(Debug)]
pub(super) struct PhaseClock {
    activity: Arc<Activity>,
    /// Whether bytes between requests are the head of one; in HTTP/2 they may be anything.
    heads: bool,
    phase: Phase,
    served: u64,
    since: Instant,
}

impl PhaseClock {
    pub(super) fn new(activity: Arc<Activity>, heads: bool) -> Self {
        Self {
            activity,
            heads,
            phase: Phase::Fresh,
            served: 0,
            since: Instant::now(),
        }
    }

    /// The phase now, and until when it may last.
    pub(super) fn read(&mut self) -> (Phase, Instant) {
        let activity = &self.activity;
        let served = activity.served.load(Ordering::Relaxed);
        let phase = if activity.closing.load(Ordering::Relaxed) {
            Phase::Closing
        } else if activity.in_flight.load(Ordering::Relaxed) > 0 {
            Phase::Busy
        } else if self.heads && activity.heard.load(Ordering::Relaxed) {
            Phase::Head
        } else if served > 0 {
            Phase::Idle
        } else {
            Phase::Fresh
        };
        if (phase, served) != (self.phase, self.served) {
            self.phase = phase;
            self.served = served;
            self.since = Instant::now();
        }
        (phase, self.since + span(phase))
    }

    pub(super) fn close(&self) {
        self.activity.closing.store(true, Ordering::Relaxed);
    }
}

fn span(phase: Phase) -> Duration {
    match phase {
        Phase::Fresh => limits::FIRST_REQUEST_TIMEOUT,
        Phase::Head => limits::HEAD_TIMEOUT,
        // Each request has its own limit, and each end of one begins this anew.
        Phase::Busy => limits::TOTAL_TIMEOUT * 2,
        Phase::Idle => limits::IDLE_TIMEOUT,
        Phase::Closing => limits::DISCARD_TIMEOUT,
    }
}

/// A stream that tells what happens on it.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && self.activity.in_flight.load(Ordering::Relaxed) == 0 {
            self.activity.heard.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends our side, and where a body was left unread throws the rest of it away, so that its sender
    /// comes to read the answer. The time for that is the closing phase's.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.activity.closing.store(true, Ordering::Relaxed);
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        if !self.activity.left_unread.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // It has ended, in order or not.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
