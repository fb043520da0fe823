//! What the tests share: users, hubs, containers, conditions with a deadline.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use outrigger_local::entry::{ContainerSpec, EtcFiles, command, exit_code};

/// As whom a test runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever started the tests.
    Own,
    /// `nobody`, when root started the tests.
    Nobody,
}

/// The number of `nobody`.
const NOBODY: u32 = 65_534;
/// On two busy cores everything here takes well under a second.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) type Test = (&'static str, fn(User) -> Result<(), String>);

pub(crate) fn users() -> Vec<User> {
    if nix::unistd::geteuid().is_root() {
        vec![User::Own, User::Nobody]
    } else {
        vec![User::Own]
    }
}

impl User {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "own_user",
            Self::Nobody => "nobody",
        }
    }

    /// This program as this user.
    pub(crate) fn command(self) -> Command {
        let mut command = match self {
            Self::Own => Command::new("/proc/self/exe"),
            Self::Nobody => {
                let mut command = Command::new(copy_for_everybody());
                command.uid(NOBODY).gid(NOBODY);
                command
            }
        };
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// A folder that only this user may enter, and that goes with the returned value.
    pub(crate) fn folder(self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if self == Self::Nobody {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        folder
    }

    /// A hub inside its namespaces that plays a scenario.
    pub(crate) fn hub(self, scenario: &str, arguments: &[&Path]) -> Command {
        let mut command = self.command();
        command
            .args(["__hub", "--parent", &std::process::id().to_string(), "--"])
            .args(["hub", scenario])
            .args(arguments);
        command
    }

    /// The same outside of any namespace.
    pub(crate) fn plain_hub(self, scenario: &str) -> Command {
        let mut command = self.command();
        command
            .args([
                "__hub",
                "--plain",
                "--parent",
                &std::process::id().to_string(),
            ])
            .args(["--", "hub", scenario]);
        command
    }

    /// Plays a scenario to its end; gives what it said on stdout.
    pub(crate) fn play(self, scenario: &str, arguments: &[&Path]) -> Result<String, String> {
        let output = self
            .hub(scenario, arguments)
            .output()
            .map_err(|error| error.to_string())?;
        well(&output)
    }
}

/// The folder of [`copy_for_everybody`].
static COPY: Mutex<Option<tempfile::TempDir>> = Mutex::new(None);

/// A copy of this program that every user reaches: the target folder may be in root's home.
fn copy_for_everybody() -> PathBuf {
    let mut copy = COPY.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = copy.get_or_insert_with(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::copy(own_program(), folder.path().join("tests")).unwrap();
        folder
    });
    folder.path().join("tests")
}

/// Removes what the tests made for all of them.
pub(crate) fn clean_up() {
    COPY.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// What a process said, if it ended well.
pub(crate) fn well(output: &Output) -> Result<String, String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!(
        "{}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Waits for a condition in steps; panics with the last state at the deadline.
pub(crate) fn eventually<T: Debug>(what: &str, mut state: impl FnMut() -> Result<(), T>) {
    let start = SystemTime::now();
    loop {
        match state() {
            Ok(()) => return,
            Err(last) if start.elapsed().is_ok_and(|waited| waited > DEADLINE) => {
                panic!("{what}: last seen {last:?}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A container of a sandbox with its own process 1.
pub(crate) fn container(sandbox: i32, argv: &[&str]) -> ContainerSpec {
    ContainerSpec {
        sandbox: Some(sandbox),
        argv: argv.iter().map(OsString::from).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin:/usr/sbin:/sbin".into())],
        etc: EtcFiles {
            resolv_conf: "nameserver 10.77.0.1\n".into(),
            hosts: "127.0.0.1 localhost\n".into(),
            hostname: "pod\n".into(),
        },
        pid_namespace: true,
        ..ContainerSpec::default()
    }
}

/// A container that runs a role of this program.
pub(crate) fn workload(sandbox: i32, role: &[&str]) -> ContainerSpec {
    let own = own_program();
    let mut argv = vec![own.to_str().unwrap(), "workload"];
    argv.extend(role);
    container(sandbox, &argv)
}

pub(crate) fn own_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// Runs a container to its end: its exit code and what it said.
pub(crate) async fn run(spec: &ContainerSpec) -> (i32, String) {
    let output = command(spec)
        .unwrap()
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    (exit_code(output.status), said.trim_end().to_owned())
}
