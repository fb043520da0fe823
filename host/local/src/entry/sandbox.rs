//! `__sandbox`: the holder of a pod's network, host name and IPC namespaces, like a pause container.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::{ExitCode, Stdio};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::entry::{OWN_PROGRAM, SANDBOX, call_myself, die_with, failed, link};

const READY: &[u8] = b"ready\n";

/// A pod's sandbox could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The process did not start or could not be talked to.
    #[error("cannot start the sandbox of {hostname}: {source}")]
    Start {
        /// The pod.
        hostname: String,
        /// Why.
        source: std::io::Error,
    },
    /// The process ended; it said why on stderr.
    #[error("the sandbox of {hostname} ended before it was ready")]
    Ended {
        /// The pod.
        hostname: String,
    },
}

/// The namespaces of one pod, held by a process that does nothing else.
///
/// *Guarantees*: they end with [`Sandbox::stop`], with the drop of this value, and with the process
/// that started them. The pod's containers keep theirs until they end.
#[derive(Debug)]
pub struct Sandbox {
    child: Child,
    pid: i32,
}

impl Sandbox {
    /// Starts a sandbox whose host name is `hostname`. It has no network but an idle loopback until
    /// [`crate::network::Network::attach`].
    ///
    /// *Cancel safe*: a dropped call leaves no process.
    pub async fn start(hostname: &str) -> Result<Self, SandboxError> {
        let start = |source| SandboxError::Start {
            hostname: hostname.to_owned(),
            source,
        };
        let ended = || SandboxError::Ended {
            hostname: hostname.to_owned(),
        };
        let mut child = Command::new(OWN_PROGRAM)
            .arg0("outrigger")
            .arg(SANDBOX)
            .args(["--parent", &std::process::id().to_string()])
            .args(["--hostname", hostname])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(ended)?;
        let mut said = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout
                .take(READY.len() as u64)
                .read_to_end(&mut said)
                .await
                .map_err(start)?;
        }
        if said != READY {
            return Err(ended());
        }
        Ok(Self { child, pid })
    }

    /// The process whose namespaces they are.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Ends the sandbox and waits until it has ended.
    pub async fn stop(mut self) {
        drop(self.child.stdin.take());
        // It ends when its stdin closes; an error means that it is gone already.
        let _ignored = self.child.wait().await;
    }
}

pub(super) fn run(args: &[OsString]) -> ExitCode {
    if args.first().is_some_and(|arg| arg == link::CONFIGURE) {
        return link::run(&args[1..]);
    }
    let [_, parent, _, hostname] = args else {
        return failed("usage: __sandbox --parent PID --hostname NAME");
    };
    let Some(parent) = parent.to_str().and_then(|pid| pid.parse().ok()) else {
        return failed("the sandbox's parent is not a number");
    };
    call_myself(c"outrigger-pause");
    if !die_with(parent, Signal::SIGKILL) {
        return failed("the process that started the sandbox is gone");
    }
    match hold(hostname) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => failed(format_args!("cannot create a sandbox: {}", errno.desc())),
    }
}

fn hold(hostname: &OsString) -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)?;
    // Kubernetes cuts a name that the kernel would refuse.
    let name = hostname.to_string_lossy();
    let cut: String = name.chars().take(63).collect();
    nix::unistd::sethostname(cut.trim_end_matches(['-', '.']))?;
    // As container runtimes do: a workload that is not root may listen on port 80. A kernel
    // without this setting changes nothing for the others.
    let _ignored = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let io = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    std::io::stdout().write_all(READY).map_err(io)?;
    std::io::stdout().flush().map_err(io)?;
    let mut nothing = [0; 16];
    loop {
        match std::io::stdin().read(&mut nothing) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io(error)),
        }
    }
}
