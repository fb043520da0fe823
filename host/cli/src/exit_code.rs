//! The exit codes of every command, in one place; the README lists them.

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
    /// A status of its own, such as that of `up --exec`.
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
