//! `__exec`: a container, from its description to the running workload.
//!
//! With a process namespace there are two processes: the *outer* one, which the hub started, waits,
//! forwards signals and ends as the workload ended; the *inner* one is process 1 of the container
//! and becomes the workload. Without, there is only one, which becomes the workload.

use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::entry::{EXEC, OWN_PROGRAM, become_program, call_myself, die_with, failed};
use crate::namespace;
use crate::rootfs::{self, RealHost};

/// What the outer process is called while it waits: in `ps`, and for [`signal`].
const WAITER: &str = "outrigger-wait";
const WAITER_NAME: &CStr = c"outrigger-wait";

/// What the outer process hands on to the workload.
const FORWARDED: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// A file or folder of this machine inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Its absolute path on this machine; it must exist.
    pub source: PathBuf,
    /// Its absolute path in the container.
    pub target: PathBuf,
    /// Whether the container may only read it.
    pub read_only: bool,
}

/// The files of `/etc` that tell a container who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcFiles {
    /// Text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Text of `/etc/hosts`.
    pub hosts: String,
    /// Text of `/etc/hostname`.
    pub hostname: String,
}

/// The user and group as which a workload sees itself. On this machine it stays the user who ran
/// `up`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// Numeric user.
    pub user: u32,
    /// Numeric group.
    pub group: u32,
}

/// A container.
#[derive(Clone, Default)]
pub struct ContainerSpec {
    /// [`crate::entry::Sandbox::pid`] of its pod; none runs the workload as a plain process of this
    /// machine, and then `mounts`, `etc`, `pid_namespace` and `run_as` have no effect.
    pub sandbox: Option<i32>,
    /// The program, looked up in the `PATH` of `env` inside the container, and its arguments.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working folder in the container; `/` if none.
    pub cwd: Option<PathBuf>,
    /// What it sees besides the files of this machine. They win over those.
    pub mounts: Vec<Mount>,
    /// Its identity.
    pub etc: EtcFiles,
    /// Whether it has its own process 1.
    pub pid_namespace: bool,
    /// As whom it sees itself.
    pub run_as: RunAs,
}

impl fmt::Debug for ContainerSpec {
    /// Without the values of variables, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerSpec")
            .field("sandbox", &self.sandbox)
            .field("argv", &self.argv)
            .field(
                "env",
                &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            )
            .field("cwd", &self.cwd)
            .field("mounts", &self.mounts)
            .field("pid_namespace", &self.pid_namespace)
            .field("run_as", &self.run_as)
            .finish_non_exhaustive()
    }
}

/// A path of a container is not UTF-8.
#[derive(Debug, thiserror::Error)]
#[error("a path of the container cannot be handed on: {0}")]
pub struct CommandError(#[source] serde_json::Error);

/// A signal could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The process has ended.
    #[error("the container has ended")]
    Ended,
    /// The kernel refused.
    #[error("cannot send {signal}: {errno}")]
    Refused {
        /// Which.
        signal: Signal,
        /// Its answer.
        errno: Errno,
    },
}

/// What crosses from [`command`] to the `__exec` process, apart from the arguments and the
/// environment, which it has as its own. It is no secret: everyone can read a command line.
#[derive(Debug, Serialize, Deserialize)]
struct Setup {
    /// The process that must be alive.
    parent: i32,
    sandbox: Option<i32>,
    cwd: PathBuf,
    mounts: Vec<Mount>,
    etc: EtcFiles,
    pid_namespace: bool,
    run_as: RunAs,
    /// Set by the outer process for the inner.
    inner: bool,
}

/// The command that runs a container.
///
/// Its exit status is the workload's, see [`exit_code`]; 125 to 127 with a line on stderr when it
/// could not be started. It is in a process group of its own, so Ctrl-C does not reach it. It dies
/// with this process and with the drop of the child. The caller sets stdin, stdout and stderr, and
/// spawns it from a thread that lives on.
pub fn command(spec: &ContainerSpec) -> Result<tokio::process::Command, CommandError> {
    let setup = Setup {
        parent: i32::try_from(std::process::id()).unwrap_or(0),
        sandbox: spec.sandbox,
        cwd: spec.cwd.clone().unwrap_or_else(|| "/".into()),
        mounts: spec.mounts.clone(),
        etc: spec.etc.clone(),
        pid_namespace: spec.pid_namespace,
        run_as: spec.run_as,
        inner: false,
    };
    let mut command = tokio::process::Command::new(OWN_PROGRAM);
    command
        .arg0("outrigger")
        .arg(EXEC)
        .arg(serde_json::to_string(&setup).map_err(CommandError)?)
        .args(&spec.argv)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// Sends a signal to the workload of a container.
///
/// With a process namespace the workload is process 1: as in any container, a signal for which it
/// has no handler does nothing, except SIGKILL and SIGSTOP. The process that waits for it forwards
/// TERM, INT, HUP, QUIT, USR1 and USR2, and takes it along when killed; STOP and CONT, which nobody can
/// catch and forward, go to the workload itself.
pub fn signal(child: &tokio::process::Child, signal: Signal) -> Result<(), SignalError> {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .ok_or(SignalError::Ended)?;
    let target = match signal {
        Signal::SIGSTOP | Signal::SIGCONT => behind_waiter(pid),
        _ => pid,
    };
    match kill(Pid::from_raw(target), signal) {
        Ok(()) => Ok(()),
        Err(Errno::ESRCH) => Err(SignalError::Ended),
        Err(errno) => Err(SignalError::Refused { signal, errno }),
    }
}

/// The workload of the process that waits for it; a process that waits for none is the workload.
fn behind_waiter(pid: i32) -> i32 {
    let read =
        |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    if read("comm").trim_end() != WAITER {
        return pid;
    }
    read(&format!("task/{pid}/children"))
        .split_whitespace()
        .next()
        .and_then(|child| child.parse().ok())
        .unwrap_or(pid)
}

/// The exit code of a container as Kubernetes counts it: 128 plus the signal's number when a signal
/// ended it.
pub fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|number| 128 + number))
        .unwrap_or(255)
}

pub(super) fn run(args: &[OsString]) -> ExitCode {
    let Some((setup, argv)) = args.split_first() else {
        return failed("usage: __exec SETUP PROGRAM ARGUMENTS…");
    };
    let setup: Setup = match serde_json::from_slice(setup.as_bytes()) {
        Ok(setup) => setup,
        Err(error) => return failed(format_args!("cannot read the container's setup: {error}")),
    };
    let outcome = match (setup.sandbox, setup.inner) {
        (None, _) => plain(&setup, argv),
        (Some(_), true) => inner(&setup, argv),
        (Some(sandbox), false) => outer(setup, sandbox, argv),
    };
    outcome.unwrap_or_else(failed)
}

fn plain(setup: &Setup, argv: &[OsString]) -> Result<ExitCode, String> {
    if !die_with(setup.parent, Signal::SIGKILL) {
        return Err("the process that started the container is gone".to_owned());
    }
    enter_folder(&setup.cwd)?;
    Ok(become_program(argv))
}

fn outer(mut setup: Setup, sandbox: i32, argv: &[OsString]) -> Result<ExitCode, String> {
    if !die_with(setup.parent, Signal::SIGKILL) {
        return Err("the process that started the container is gone".to_owned());
    }
    join(sandbox)?;
    let own = CloneFlags::CLONE_NEWNS
        | if setup.pid_namespace {
            CloneFlags::CLONE_NEWPID
        } else {
            CloneFlags::empty()
        };
    unshare(own)
        .map_err(|errno| format!("cannot create the container's namespaces: {}", errno.desc()))?;
    namespace::make_mounts_private().map_err(|error| error.to_string())?;
    setup.inner = true;
    if !setup.pid_namespace {
        return inner(&setup, argv);
    }
    call_myself(WAITER_NAME);
    // Blocked before the child exists, so that none is lost. It inherits that and lets go of it.
    let mut signals = SigSet::from_iter(FORWARDED);
    signals.add(Signal::SIGCHLD);
    signals
        .thread_block()
        .map_err(|errno| format!("cannot hold back signals: {}", errno.desc()))?;
    setup.parent = i32::try_from(std::process::id()).unwrap_or(0);
    let text = serde_json::to_string(&setup).map_err(|error| error.to_string())?;
    // Not waited for through this handle: `wait_for` does.
    let child = std::process::Command::new(OWN_PROGRAM)
        .arg0("outrigger")
        .arg(EXEC)
        .arg(text)
        .args(argv)
        .spawn()
        .map_err(|error| format!("cannot start process 1: {error}"))?;
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    wait_for(Pid::from_raw(pid), &signals)
}

/// Forwards signals to process 1 until it ends; gives its exit code.
fn wait_for(child: Pid, signals: &SigSet) -> Result<ExitCode, String> {
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) | Err(Errno::EINTR) => {}
            Ok(signal) => {
                // One that has ended is found below.
                let _ignored = kill(child, signal);
            }
            Err(errno) => return Err(format!("cannot wait for signals: {}", errno.desc())),
        }
        let code = match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => code,
            Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(errno) => return Err(format!("cannot wait for process 1: {}", errno.desc())),
        };
        return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
    }
}

/// Enters the namespaces of a pod.
fn join(sandbox: i32) -> Result<(), String> {
    let kinds = [
        ("net", CloneFlags::CLONE_NEWNET),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
    ];
    for (name, kind) in kinds {
        let path = format!("/proc/{sandbox}/ns/{name}");
        let file = File::open(&path).map_err(|error| format!("cannot open {path}: {error}"))?;
        setns(file, kind).map_err(|errno| format!("cannot enter {path}: {}", errno.desc()))?;
    }
    Ok(())
}

fn inner(setup: &Setup, argv: &[OsString]) -> Result<ExitCode, String> {
    if setup.pid_namespace {
        bind_to_outer(setup.parent)?;
    }
    let program = argv.first().ok_or("no program is named")?;
    let plan = rootfs::plan(&RealHost, &setup.mounts, &setup.etc, &kept(setup, program))
        .map_err(|error| error.to_string())?;
    rootfs::apply(&plan).map_err(|error| error.to_string())?;
    enter_folder(&setup.cwd)?;
    // A user namespace of its own: the workload may do what it likes there, and nothing to the
    // mounts and links above.
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| {
        format!(
            "cannot create the container's user namespace: {}",
            errno.desc()
        )
    })?;
    namespace::map_ids((setup.run_as.user, 0), (setup.run_as.group, 0))
        .map_err(|error| error.to_string())?;
    // Again, because a change of user may forget it.
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| format!("cannot bind to the hub's life: {}", errno.desc()))?;
    Ok(become_program(argv))
}

/// Binds process 1 to the outer process, whose id as this still visible `/proc` counts it is
/// `parent`. In its own numbering process 1 has no parent that it could ask for.
fn bind_to_outer(parent: i32) -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| format!("cannot bind to the hub's life: {}", errno.desc()))?;
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("cannot read /proc/self/status: {error}"))?;
    let alive = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .is_some_and(|pid| pid.trim().parse() == Ok(parent));
    if alive {
        Ok(())
    } else {
        Err("the process that started the container is gone".to_owned())
    }
}

/// The paths that the container must see as they are on this machine.
fn kept(setup: &Setup, program: &OsStr) -> Vec<PathBuf> {
    [Path::new(program), &setup.cwd]
        .into_iter()
        .filter(|path| path.is_absolute())
        .map(Path::to_path_buf)
        .collect()
}

fn enter_folder(path: &Path) -> Result<(), String> {
    std::env::set_current_dir(path)
        .map_err(|error| format!("cannot enter the folder {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_by_signal_counts_128_and_its_number() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn the_values_of_variables_are_in_no_command_line_and_no_debug_output() {
        let spec = ContainerSpec {
            argv: vec!["db".into()],
            env: vec![("TOKEN".into(), "hunter2".into())],
            ..ContainerSpec::default()
        };
        let command = command(&spec).unwrap();
        let line: Vec<_> = command.as_std().get_args().collect();
        assert!(!format!("{line:?}").contains("hunter2"));
        assert!(!format!("{spec:?}").contains("hunter2"));
        assert!(format!("{spec:?}").contains("TOKEN"));
    }
}
