//! `outrigger up`: from options to a running cluster and back.
//!
//! Two processes. The *front* is what the user started: it reads and checks the manifests, installs
//! programs, starts the hub, shows what happens, runs `--exec`, and asks the hub to end. The *hub*
//! lives in its own namespaces and does the rest. They share the state folder and talk over
//! `hub.sock`, like every other terminal.

mod address;
mod display;
mod front;
mod hub;
mod names;
mod ports;
mod setup;
mod state;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use outrigger_profile::Findings;

pub use display::table;

/// First argument of the hub's own process, once its namespaces are entered: `main` hands the rest
/// to [`run_hub`].
pub const HUB_PROCESS: &str = "__up";

/// What the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct UpOptions {
    /// Folders and files.
    pub inputs: Vec<PathBuf>,
    /// Instead of the manifest's number.
    pub replicas: Option<u32>,
    /// Run with `/bin/sh -c` when all are ready.
    pub exec: Option<String>,
    /// Do not end when that command has.
    pub keep: bool,
    /// Events as JSON lines on standard output.
    pub json: bool,
    /// How long all may take to become ready; with `exec` it ends everything, otherwise it is told.
    pub timeout: Duration,
    /// Where volumes and logs are kept; none = a folder of its own for these inputs.
    pub state: Option<PathBuf>,
    /// Without namespaces.
    pub plain: bool,
    /// Whether missing programs are installed.
    pub install: bool,
    /// Whether colours are shown.
    pub color: bool,
    /// Whether standard error is a terminal: progress is shown there.
    pub terminal: bool,
}

/// What the environment says; only the command line reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The root of all states, such as `~/.local/state/outrigger`.
    pub state: PathBuf,
    /// The cache, such as `~/.cache/outrigger`; programs are installed below.
    pub cache: PathBuf,
    /// The folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// This program's file.
    pub outrigger: PathBuf,
    /// Variables that the sidecars get as they are: `OUTRIGGER_LOG`, `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub sidecar_env: BTreeMap<String, String>,
}

/// It could not run. [`UpError::Findings`] is bad input, everything else a failure.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// What it was given is wrong.
    #[error("{0}")]
    Findings(Findings),
    /// Namespaces are refused.
    #[error(
        "this machine refuses the namespaces that keep replicas apart: {reason}\n  hint: \
         `--plain` runs them side by side, each on a loopback address of its own"
    )]
    Refused {
        /// Why, and what would allow them.
        reason: String,
    },
    /// Another one runs with the same state.
    #[error(
        "an `outrigger up` with the process id {pid} uses {state} already\n  hint: stop it with \
         `outrigger down --state {state}`, or choose another folder with `--state`"
    )]
    Locked {
        /// The process.
        pid: String,
        /// The state folder.
        state: String,
    },
    /// A program could not be installed.
    #[error(transparent)]
    Install(#[from] crate::program::InstallError),
    /// A file or folder.
    #[error("cannot {doing} {path}")]
    File {
        /// A verb.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The process could not prepare itself.
    #[error("cannot prepare to run")]
    Prepare(#[source] std::io::Error),
    /// The hub ended before it answered.
    #[error("the hub ended before it was there:\n{said}")]
    Hub {
        /// The end of its log.
        said: String,
    },
    /// No socket for the hub's wishes.
    #[error(transparent)]
    Forward(#[from] crate::forward::ForwardError),
    /// The conversation with the hub broke.
    #[error(transparent)]
    Client(#[from] crate::hub_client::ClientError),
}

/// How it ended well enough to have an exit code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpEnd {
    /// It was stopped in order: 0.
    Done,
    /// Something failed on the way, and was told: 1.
    Failed,
    /// Not all were ready in time: 3.
    NotReady,
    /// `--exec`'s own status.
    Exec(u8),
    /// Ctrl-C ended it before all had been ready, or twice: 130.
    Interrupted,
}

impl UpEnd {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NotReady => 3,
            Self::Exec(code) => code,
            Self::Interrupted => 130,
        }
    }
}

/// Runs until everything has ended. *Assumes* that no runtime runs in this thread.
pub fn run(options: &UpOptions, places: &Places) -> Result<UpEnd, UpError> {
    front::run(options, places)
}

/// The hub's own process; `args` are those after [`HUB_PROCESS`].
pub fn run_hub(args: &[OsString]) -> ExitCode {
    hub::run(args)
}
