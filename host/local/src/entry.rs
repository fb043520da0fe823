//! The hidden processes of `up`: this same program, started again to become something else.
//!
//! Entering a namespace needs a process with one thread, so it cannot happen in the hub, which
//! runs a runtime, nor between `fork` and `exec`, which Rust calls unsafe for good reasons. `main`
//! therefore hands these first arguments to [`run`] before it starts anything:
//!
//! | argument | becomes | started by |
//! |---|---|---|
//! | `__probe` | tries whether namespaces can be had, and says so | [`crate::namespace::probe`] |
//! | `__hub` | enters the hub's namespaces, then this program with the remaining arguments | [`crate::up`] |
//! | `__sandbox` | the holder of a pod's namespaces, like a pause container | [`Sandbox::start`] |
//! | `__exec` | a container: its own mounts and processes, then the workload | [`command`] |
//!
//! # For the rest of this crate
//! - [`Sandbox`]: `start(hostname)`, `pid()`, `stop()`.
//! - [`ContainerSpec`] → [`command`] → a `tokio::process::Command` whose stdio the caller sets;
//!   [`signal`] sends a signal to the workload, [`exit_code`] reads its end.
//! - All of them end with the process that started them, however it ends. The kernel binds that to
//!   the *thread* that spawned, so spawn from a thread that lives on (the runtime's own, never
//!   `spawn_blocking`).

mod exec;
mod hub;
mod link;
mod probe;
mod sandbox;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;

pub use exec::{
    CommandError, ContainerSpec, EtcFiles, Mount, RunAs, SignalError, command, exit_code, signal,
};
pub use sandbox::{Sandbox, SandboxError};

pub(crate) use hub::arguments as hub_arguments;
pub(crate) use link::Link;

/// This program as the kernel knows it: the same one even after a file was put in its place.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// First argument: try whether namespaces can be had.
pub const PROBE: &str = "__probe";
/// First argument: the hub's namespaces, then the remaining arguments.
pub const HUB: &str = "__hub";
/// First argument: a pod's namespaces.
pub const SANDBOX: &str = "__sandbox";
/// First argument: a container.
pub const EXEC: &str = "__exec";

/// Exit code of a container that could not be set up.
pub const EXIT_SETUP: u8 = 125;
/// Exit code of a container whose program could not be run.
pub const EXIT_NOT_RUNNABLE: u8 = 126;
/// Exit code of a container whose program was not found.
pub const EXIT_NOT_FOUND: u8 = 127;

/// Whether a first argument is one of those that [`run`] takes.
pub fn is_entry_point(argument: &OsStr) -> bool {
    [PROBE, HUB, SANDBOX, EXEC]
        .iter()
        .any(|name| argument == *name)
}

/// Runs a hidden process; `args` begin with its name, without the program's own.
///
/// Returns when the process has done its work or failed; where another program takes its place it
/// does not return. *Assumes* that no other thread runs.
pub fn run(args: &[OsString]) -> ExitCode {
    let Some((name, rest)) = args.split_first() else {
        return failed("no hidden process is named");
    };
    match name.to_str() {
        Some(PROBE) => probe::run(),
        Some(HUB) => hub::run(rest),
        Some(SANDBOX) => sandbox::run(rest),
        Some(EXEC) => exec::run(rest),
        _ => failed(format_args!(
            "there is no hidden process {}",
            name.display()
        )),
    }
}

/// Says what went wrong on stderr, where the log of a container or of the hub picks it up.
fn failed(problem: impl Display) -> ExitCode {
    complain(problem);
    ExitCode::from(EXIT_SETUP)
}

fn complain(problem: impl Display) {
    // Nobody is left to tell when stderr is closed.
    let _ignored = writeln!(std::io::stderr(), "outrigger: {problem}");
}

/// Binds this process's life to that of the one that started it.
///
/// Returns false when the parent, whose id was `parent`, is gone already.
fn die_with(parent: i32, how: Signal) -> bool {
    prctl::set_pdeathsig(how).is_ok() && getppid().as_raw() == parent
}

/// The name under which `ps` and `top` show this process.
fn call_myself(name: &std::ffi::CStr) {
    // It is for people only.
    let _ignored = prctl::set_name(name);
}

/// Becomes another program; returns only when that failed.
///
/// The program starts with no signal held back, and with SIGPIPE as programs expect it.
fn become_program(argv: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = argv.split_first() else {
        return failed("no program is named");
    };
    if let Err(errno) = SigSet::empty().thread_set_mask() {
        return failed(format_args!("cannot release signals: {}", errno.desc()));
    }
    // The standard library's: it also undoes what Rust does to SIGPIPE.
    let error = Command::new(program).args(arguments).exec();
    complain(format_args!(
        "cannot start `{}`: {error}",
        program.display()
    ));
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound {
        EXIT_NOT_FOUND
    } else {
        EXIT_NOT_RUNNABLE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hidden_names_are_entry_points() {
        assert!(is_entry_point(OsStr::new("__exec")));
        assert!(!is_entry_point(OsStr::new("up")));
        assert!(!is_entry_point(OsStr::new("__compile")));
    }
}
