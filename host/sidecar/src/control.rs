//! What can be done to the workload's process from beside it: signals, restarts, and whose turn it
//! is to restart.

use std::fmt;
use std::time::Duration;

use outrigger_plugin_host::BoxFuture;
use outrigger_profile::Signal;

mod hub;
mod shared_pid;

pub use hub::HubControl;
pub use shared_pid::PodControl;

/// A way to act on the workload's process. What there is depends on where the sidecar runs:
/// [`HubControl`] under `outrigger up`, [`PodControl`] in a pod.
pub trait WorkloadControl: fmt::Debug + Send + Sync + 'static {
    /// Sends a signal to the workload's main process.
    fn signal(&self, signal: Signal) -> BoxFuture<'_, Result<(), ControlError>>;

    /// Stops the workload, with its grace period, and has it started again. Returns once that is
    /// under way.
    fn restart<'a>(&'a self, reason: &'a str) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Waits until this replica may restart: one at a time in the StatefulSet, where somebody keeps
    /// count. Give it back with [`TurnGuard::release`].
    ///
    /// # Cancel safety
    /// A cancelled wait gives up its place in the queue.
    fn acquire_turn<'a>(
        &'a self,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<TurnGuard, ControlError>>;
}

/// Why the workload could not be acted upon.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The workload's process cannot be seen from here.
    #[error("the workload's process cannot be seen from the sidecar: {reason}")]
    NotVisible {
        /// Why.
        reason: String,
    },
    /// The workload's process does not take signals from here.
    #[error("the signal {signal} to process {pid} was refused")]
    Signal {
        /// The signal.
        signal: &'static str,
        /// The process.
        pid: i32,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The hub of `outrigger up` does not answer.
    #[error("the hub does not answer {act}: {reason}")]
    Hub {
        /// What was asked.
        act: &'static str,
        /// Why there is no answer.
        reason: String,
    },
    /// The hub of `outrigger up` refuses.
    #[error("the hub refuses {act} with status {status}: {message}")]
    Refused {
        /// What was asked.
        act: &'static str,
        /// The HTTP status.
        status: u16,
        /// What the hub says.
        message: String,
    },
    /// The Lease of turns cannot be written.
    #[error("the Lease of turns to restart cannot be written: {reason}")]
    Turn {
        /// Why.
        reason: String,
    },
    /// The turn did not come.
    #[error("this replica's turn to restart did not come within {} s", .after.as_secs())]
    NoTurn {
        /// How long it was waited for.
        after: Duration,
    },
}

impl ControlError {
    /// Whether it may go well another time, with nothing changed.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Hub { .. } | Self::Refused { .. } | Self::Turn { .. } | Self::NoTurn { .. } => {
                true
            }
            Self::NotVisible { .. } | Self::Signal { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotVisible { .. } => Some(
                "set `shareProcessNamespace: true` in the pod template, or use `on-change: {action: http}` where the workload can reload by a request",
            ),
            Self::Signal { .. } => Some(
                "run the sidecar and the workload under the same user id, or use `action: http`",
            ),
            Self::NoTurn { .. } => {
                Some("look at the replicas before it: one of them does not become ready")
            }
            Self::Hub { .. } | Self::Refused { .. } | Self::Turn { .. } => None,
        }
    }
}

/// The name of a signal, without `SIG`: what the hub takes.
pub fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Hup => "HUP",
        Signal::Int => "INT",
        Signal::Quit => "QUIT",
        Signal::Term => "TERM",
        Signal::Usr1 => "USR1",
        Signal::Usr2 => "USR2",
    }
}

/// Permission to restart this replica's workload. Dropping it gives it back too, as well as that can
/// be done without waiting.
#[must_use = "dropping a turn gives it back"]
pub struct TurnGuard {
    held: Option<Box<dyn HeldTurn>>,
    /// Whether somebody counts turns here; without that, every replica has its turn at once.
    pub coordinated: bool,
}

/// A turn that somebody counts.
pub(crate) trait HeldTurn: Send + Sync {
    fn give_back(self: Box<Self>) -> BoxFuture<'static, Result<(), ControlError>>;
    /// Gives back in the background.
    fn abandon(self: Box<Self>);
}

impl TurnGuard {
    /// A turn where nobody counts them.
    pub fn uncoordinated() -> Self {
        Self {
            held: None,
            coordinated: false,
        }
    }

    /// A turn that is counted.
    pub(crate) fn held(held: Box<dyn HeldTurn>) -> Self {
        Self {
            held: Some(held),
            coordinated: true,
        }
    }

    /// Gives the turn back and waits for that.
    pub async fn release(mut self) -> Result<(), ControlError> {
        match self.held.take() {
            Some(held) => held.give_back().await,
            None => Ok(()),
        }
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.abandon();
        }
    }
}

impl fmt::Debug for TurnGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnGuard")
            .field("coordinated", &self.coordinated)
            .finish_non_exhaustive()
    }
}
