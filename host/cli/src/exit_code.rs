//! The exit codes of every command, in one place; the README lists them.
//!
//! 0, 1 and 2 are those of every command. `up` has more: 3 when, with `--exec`, not all replicas were ready
//! in time; 130 when it was interrupted, as `roll` in a cluster; otherwise the status of `--exec`'s command.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it was asked to.
    Done,
    /// It failed while doing it.
    Failed,
    /// What it was given is wrong: options, manifests or profile.
    BadInput,
    /// A status of its own: 3, 130, or that of the command of `up --exec`.
    Status(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::Status(status) => status,
        })
    }
}
