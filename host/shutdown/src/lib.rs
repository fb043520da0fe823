//! Signals, the phase of a process, its deadline, named tasks and readiness latches.
//!
//! The order in which a process ends: its parts are told by [`Shutdown`], each [`Tasks`] entry ends
//! by itself within the [`Deadline`], and whoever does not is named and left behind. A stuck part
//! never holds the exit.

mod deadline;
mod latch;
mod signal;
mod tasks;
mod token;

pub use deadline::Deadline;
pub use latch::{Latch, LatchError, Latches};
pub use signal::{Signals, SignalsError, StopSignal, signals};
pub use tasks::{Fault, FaultKind, Tasks};
pub use token::Shutdown;
