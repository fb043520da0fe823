//! One sidecar without a cluster around it, in folders of its own: for what it says of its input and
//! sends to others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{Http, Output, programs};

/// From a start to an end by itself, or from a signal to the end.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// The folders and the environment of `outrigger sidecar` as replica `db-0`.
#[derive(Debug)]
pub struct SidecarPod {
    folder: TempDir,
    env: BTreeMap<String, String>,
}

impl SidecarPod {
    /// A pod with this profile. Its server takes any free port of the loopback interface.
    ///
    /// # Panics
    /// When its folders cannot be made.
    pub fn new(profile: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("outrigger-sidecar-")
            .tempdir()
            .unwrap();
        let mut env = BTreeMap::from(
            [
                ("POD_NAME", "db-0"),
                ("OUTRIGGER_REPLICAS", "1"),
                ("OUTRIGGER_LISTEN", "127.0.0.1:0"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        for (variable, name) in [
            ("OUTRIGGER_PROFILE_DIR", "profile"),
            ("OUTRIGGER_SECRETS_DIR", "secrets"),
            ("OUTRIGGER_FILES_DIR", "files"),
            ("OUTRIGGER_STATE_DIR", "state"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            env.insert(variable.to_owned(), path.to_str().unwrap().to_owned());
        }
        let pod = Self { folder, env };
        pod.write("profile/outrigger.yaml", profile);
        pod
    }

    /// The folder with `profile`, `secrets`, `files` and `state`.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The same with another variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Writes a file below the folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Every file that was rendered or half rendered: those below `files`.
    pub fn rendered(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files(&self.path().join("files"), &mut found);
        found.sort();
        found
    }

    /// What the sidecar says on its own socket, once it is there.
    pub fn http(&self) -> Http {
        Http::unix(self.path().join("state/admin.sock"))
    }

    /// Runs a sidecar that is expected to end by itself. This folder's path reads `POD` in what it
    /// wrote, and log lines are left out: the message of a command that fails stays.
    ///
    /// # Panics
    /// When it does not end within half a minute.
    pub async fn run(&self) -> Output {
        self.start().ended().await
    }

    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self) -> RunningSidecar<'_> {
        let child = Command::new(programs::outrigger())
            .arg("sidecar")
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        RunningSidecar { pod: self, child }
    }
}

/// A sidecar that runs; killed when dropped.
#[derive(Debug)]
pub struct RunningSidecar<'a> {
    pod: &'a SidecarPod,
    child: Child,
}

impl RunningSidecar<'_> {
    /// Ends it as a kubelet does, with SIGTERM, and waits until it has ended.
    ///
    /// # Panics
    /// When it has ended already, or does not end within half a minute.
    pub async fn terminate(self) -> Output {
        let pid = self.child.id().expect("it runs");
        signal::kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGTERM).unwrap();
        self.ended().await
    }

    async fn ended(self) -> Output {
        let output = timeout(ENDS_WITHIN, self.child.wait_with_output())
            .await
            .expect("the sidecar ends")
            .unwrap();
        let folder = self.pod.path().to_str().unwrap();
        let text = |bytes: &[u8]| -> String {
            let text = String::from_utf8_lossy(bytes).replace(folder, "POD");
            let lines = text.lines().filter(|line| !line.starts_with('{'));
            lines.flat_map(|line| [line, "\n"]).collect()
        };
        Output {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}
