//! The signals by which a process is asked to end.

use std::fmt;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// One request to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSignal {
    /// `SIGINT` or `SIGTERM`.
    pub name: &'static str,
    /// 1 for the first of either kind: end in order. From 2 on somebody insists: end at once.
    pub count: u32,
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The requests to end, in the order in which they came.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    count: u32,
}

/// The handlers could not be set.
#[derive(Debug, thiserror::Error)]
#[error("signal handlers could not be set")]
pub struct SignalsError(#[source] std::io::Error);

/// Listens for SIGINT and SIGTERM from now on; their default action is off for the rest of the
/// process's life.
pub fn signals() -> Result<Signals, SignalsError> {
    Ok(Signals {
        interrupt: signal(SignalKind::interrupt()).map_err(SignalsError)?,
        terminate: signal(SignalKind::terminate()).map_err(SignalsError)?,
        count: 0,
    })
}

impl Signals {
    /// Waits for the next one. Several of one kind that come at once are one.
    ///
    /// # Cancel safety
    /// Safe: no signal is lost.
    pub async fn next(&mut self) -> StopSignal {
        let name = tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        };
        self.count += 1;
        StopSignal {
            name,
            count: self.count,
        }
    }
}
