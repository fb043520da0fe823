//! A running `outrigger up`, as a test holds it.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Http, eventually, programs};

/// How many clusters of real databases run at the same time: more of them than processors only
/// make each other's elections time out.
static SLOTS: Semaphore = Semaphore::const_new(2);

/// Ctrl-C drains: with everything on one machine that takes seconds.
const DRAIN: Duration = Duration::from_secs(30);

/// The second Ctrl-C kills.
const KILL: Duration = Duration::from_secs(5);

/// Between two Ctrl-C of one who does not wait.
const AGAIN: Duration = Duration::from_millis(500);

/// How often such a one types it.
const TIMES: u32 = 10;

/// How much of each log a report shows.
const REPORT_LINES: usize = 150;

/// What a command of the binary did.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit code {:?}\n{}{}",
            self.code, self.stdout, self.stderr
        )
    }
}

impl Output {
    /// The standard output of a command that must succeed.
    ///
    /// # Panics
    /// When it did not; the message shows what it said.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.stdout
    }
}

/// A running `outrigger up` with a state folder of its own. Dropped, it is stopped as Ctrl-C stops
/// it; when the test has failed, everything that tells why is shown first.
#[derive(Debug)]
pub struct Up {
    child: Child,
    state: TempDir,
    stdout: Arc<Mutex<Vec<String>>>,
    /// Closed once nobody holds the standard output any more.
    ended: mpsc::Receiver<()>,
    finished: Option<ExitStatus>,
    _slot: SemaphorePermit<'static>,
}

impl Up {
    /// Starts `outrigger up INPUT --json ARGS…` once a slot is free.
    ///
    /// # Panics
    /// When the binary cannot be built or started.
    pub async fn start(input: &Path, args: &[&str]) -> Self {
        let state = tempfile::Builder::new()
            .prefix("outrigger-")
            .tempdir()
            .unwrap();
        Self::start_with(input, state, args).await
    }

    /// The same with a state folder that an earlier one left: see [`Up::stop`].
    ///
    /// # Panics
    /// When the binary cannot be built or started.
    pub async fn start_with(input: &Path, state: TempDir, args: &[&str]) -> Self {
        let slot = SLOTS.acquire().await.unwrap();
        let mut child = Command::new(programs::outrigger())
            .arg("up")
            .arg(input)
            .arg("--state")
            .arg(state.path())
            .arg("--json")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(stderr_file(state.path())).unwrap())
            .spawn()
            .unwrap();
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let (alive, ended) = mpsc::channel();
        let (pipe, lines) = (child.stdout.take().unwrap(), Arc::clone(&stdout));
        std::thread::spawn(move || {
            let _alive_until_here: mpsc::Sender<()> = alive;
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            state,
            stdout,
            ended,
            finished: None,
            _slot: slot,
        }
    }

    /// The folder with everything that this `up` keeps.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Runs another command of the binary against this `up`, as from a second terminal.
    ///
    /// # Panics
    /// When the binary cannot be started.
    pub async fn command(&self, args: &[&str]) -> Output {
        let (name, rest) = args.split_first().unwrap();
        let state = self.state.path().to_str().unwrap();
        run(&[&[*name, "--state", state], rest].concat()).await
    }

    /// What `outrigger ps --json` says now.
    pub async fn ps(&self) -> Result<Value, String> {
        let output = self.command(&["ps", "--json"]).await;
        if output.code != Some(0) {
            return Err(output.to_string());
        }
        serde_json::from_str(&output.stdout).map_err(|error| format!("{error}: {output}"))
    }

    /// The JSON lines that `up` has written so far.
    ///
    /// # Panics
    /// When a line is no JSON: then standard output is of no use to programs.
    pub fn events(&self) -> Vec<Value> {
        let lines = self.stdout.lock().unwrap();
        let parse = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in `{line}`"))
        };
        lines.iter().map(parse).collect()
    }

    /// What `up` has written for people so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(stderr_file(self.state.path())).unwrap_or_default()
    }

    /// The sidecars' own sockets, by the folders they are in: one for each replica that has started.
    pub fn sidecar_sockets(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        find(self.state.path(), OsStr::new("admin.sock"), &mut found);
        found.sort();
        found
    }

    /// The sidecar of one replica, through its own socket.
    ///
    /// # Panics
    /// When there is none yet; the message lists those that there are.
    #[track_caller]
    pub fn sidecar(&self, pod: &str) -> Http {
        let Some(sidecar) = self.started_sidecar(pod) else {
            let sockets = self.sidecar_sockets();
            panic!("{pod} has no sidecar's socket; there are {sockets:?}")
        };
        sidecar
    }

    /// The same; none while it has not started.
    pub fn started_sidecar(&self, pod: &str) -> Option<Http> {
        let sockets = self.sidecar_sockets();
        let is_of_pod = |path: &&PathBuf| path.components().any(|part| part.as_os_str() == pod);
        sockets.iter().find(is_of_pod).map(Http::unix)
    }

    /// The names of all programs that it runs now, at whatever depth; its own is the first.
    pub fn programs(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut left = vec![self.pid()];
        while let Some(pid) = left.pop() {
            // Those that end meanwhile have no name and no children any more.
            if let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) {
                names.push(name.trim_end().to_owned());
                left.extend(children(pid));
            }
        }
        names
    }

    /// Sends a signal to the process that the user started, and to no other.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        signal::kill(self.pid(), signal).unwrap();
    }

    /// Ctrl-C: a terminal sends SIGINT to the process that the user started and to those that this
    /// one started in turn. What has ended meanwhile needs no signal.
    pub fn interrupt(&self) {
        let own = self.pid();
        for pid in std::iter::once(own).chain(children(own)) {
            let _ended_already = signal::kill(pid, Signal::SIGINT);
        }
    }

    /// Waits until `up` has ended by itself.
    ///
    /// # Panics
    /// When the deadline passes first.
    pub async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        if let Some(status) = self.finished {
            return status;
        }
        let child = &mut self.child;
        let status = eventually(deadline, "outrigger up has ended", async || {
            child.try_wait().unwrap().ok_or("it is running")
        })
        .await;
        self.finished = Some(status);
        status
    }

    /// Stops it with Ctrl-C and gives its state folder, for a next run.
    ///
    /// # Panics
    /// When it does not stop in order within half a minute.
    pub async fn stop(mut self) -> (ExitStatus, TempDir) {
        self.interrupt();
        let status = self.ended(DRAIN).await;
        let next = tempfile::tempdir().unwrap();
        (status, std::mem::replace(&mut self.state, next))
    }

    /// Ends it without waiting for drains, as one who types Ctrl-C again and again does.
    pub fn cut_off(self) {
        for _ in 0..TIMES {
            self.interrupt();
            if self.ended.recv_timeout(AGAIN) == Err(mpsc::RecvTimeoutError::Disconnected) {
                break;
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Ctrl-C, Ctrl-C again, and at last SIGKILL, to the one process that was started here: the
    /// others end with it.
    fn take_down(&mut self) {
        if self.finished.is_some() {
            return;
        }
        for patience in [DRAIN, KILL] {
            self.interrupt();
            if self.ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Disconnected) {
                break;
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Everything that tells why a test failed.
    fn report(&self) -> String {
        let mut report = String::new();
        let mut section = |title: &str, text: &str| {
            report.extend(["\n--- ", title, "\n", &tail(text), "\n"]);
        };
        section("outrigger up, standard error", &self.stderr());
        section(
            "outrigger up, events",
            &self.stdout.lock().unwrap().join("\n"),
        );
        let mut logs = Command::new(programs::outrigger());
        logs.args(["logs", "--state"]).arg(self.state.path());
        match logs.output() {
            Ok(output) => section("outrigger logs", &String::from_utf8_lossy(&output.stdout)),
            Err(error) => section("outrigger logs", &error.to_string()),
        }
        for socket in self.sidecar_sockets() {
            for path in ["/status", "/timeline"] {
                let answer = get(&socket, path).unwrap_or_else(|error| error.to_string());
                section(&format!("{path} of {}", socket.display()), &answer);
            }
        }
        report
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
        self.take_down();
    }
}

/// Runs a command of the binary to its end.
///
/// # Panics
/// When the binary cannot be built or started.
pub async fn run(args: &[&str]) -> Output {
    let output = tokio::process::Command::new(programs::outrigger())
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn stderr_file(state: &Path) -> PathBuf {
    state.join("test-stderr.log")
}

/// The processes that any thread of one has started and that run now.
fn children(pid: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let lists = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = |list: String| -> Vec<Pid> {
        let numbers = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        numbers.map(Pid::from_raw).collect()
    };
    lists.flat_map(pids).collect()
}

/// Files of a name below a folder; folders that cannot be read hold none.
fn find(folder: &Path, name: &OsStr, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            find(&entry.path(), name, found);
        } else if entry.file_name() == name {
            found.push(entry.path());
        }
    }
}

/// A GET without a runtime, for reports from `drop`.
fn get(socket: &Path, path: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let left_out = lines.len().saturating_sub(REPORT_LINES);
    let kept = lines[left_out..].join("\n");
    if left_out == 0 {
        kept
    } else {
        format!("({left_out} lines before)\n{kept}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_the_end_of_a_long_log() {
        let long = (0..200)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .join("\n");
        let shown = tail(&long);
        assert!(shown.starts_with("(50 lines before)\n50\n"), "{shown}");
        assert!(shown.ends_with("\n199"), "{shown}");
    }

    #[test]
    fn sockets_are_found_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let pod = folder.path().join("a/agdb-0/state");
        fs::create_dir_all(&pod).unwrap();
        fs::write(pod.join("admin.sock"), "").unwrap();
        let mut found = Vec::new();
        find(folder.path(), OsStr::new("admin.sock"), &mut found);
        assert_eq!(found, [pod.join("admin.sock")]);
    }
}
