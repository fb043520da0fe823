//! Control in a pod: signals reach the workload only where the pod shares one process namespace, and
//! turns are counted only where the pod may use Leases.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal as Unix, kill};
use nix::unistd::Pid;
use outrigger_plugin_host::BoxFuture;
use outrigger_profile::Signal;
use outrigger_profile::layout::WORKLOAD_VARIABLE;

use super::{ControlError, TurnGuard, WorkloadControl, signal_name};
use crate::cluster::LeaseTurns;

/// How many processes are looked at: the kernel's own default for one namespace.
const PROCESSES_MAX: usize = 32 * 1024;

/// How much of a process's variables is read: what the kernel lets a process start with.
const ENVIRON_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Signals are sent to the workload's main process where it can be seen, which is with
/// `shareProcessNamespace: true`. Without an API server every turn is granted.
#[derive(Debug, Clone)]
pub struct PodControl {
    proc: PathBuf,
    /// The workload's container.
    container: String,
    turns: Option<LeaseTurns>,
}

impl PodControl {
    /// Looks for the workload, which is this container, in `/proc`.
    pub fn new(container: impl Into<String>, turns: Option<LeaseTurns>) -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            container: container.into(),
            turns,
        }
    }

    fn send(&self, signal: Signal) -> Result<(), ControlError> {
        let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        let pid = workload(&self.proc, own, &self.container)?;
        let unix = match signal {
            Signal::Hup => Unix::SIGHUP,
            Signal::Int => Unix::SIGINT,
            Signal::Quit => Unix::SIGQUIT,
            Signal::Term => Unix::SIGTERM,
            Signal::Usr1 => Unix::SIGUSR1,
            Signal::Usr2 => Unix::SIGUSR2,
        };
        kill(Pid::from_raw(pid), unix).map_err(|error| ControlError::Signal {
            signal: signal_name(signal),
            pid,
            source: error.into(),
        })
    }
}

impl WorkloadControl for PodControl {
    fn signal(&self, signal: Signal) -> BoxFuture<'_, Result<(), ControlError>> {
        Box::pin(async move { self.send(signal) })
    }

    /// Ends the workload by SIGTERM; the kubelet starts it again.
    fn restart<'a>(&'a self, _reason: &'a str) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move { self.send(Signal::Term) })
    }

    fn acquire_turn<'a>(
        &'a self,
        _reason: &'a str,
    ) -> BoxFuture<'a, Result<TurnGuard, ControlError>> {
        Box::pin(async {
            match &self.turns {
                Some(turns) => turns.acquire().await,
                None => Ok(TurnGuard::uncoordinated()),
            }
        })
    }
}

/// The workload's main process. In a pod with one process namespace, process 1 is the pod's `pause`
/// and each container's main process has no parent that can be seen. Among several, the variable that the
/// injector gives the workload's container tells which it is, where it can be read, which takes the same
/// user id. Nothing is signalled unless all of that is so and one process alone is left.
fn workload(proc: &Path, own: i32, container: &str) -> Result<i32, ControlError> {
    let not_visible = |reason: String| ControlError::NotVisible { reason };
    match process(proc, 1) {
        Some(first) if first.name == "pause" => {}
        _ => {
            return Err(not_visible(
                "the pod does not share one process namespace".to_owned(),
            ));
        }
    }
    let own_root = root_of(proc, own);
    let entries = std::fs::read_dir(proc)
        .map_err(|error| not_visible(format!("{}: {error}", proc.display())))?;
    let mut mains: Vec<i32> = entries
        .take(PROCESSES_MAX)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != 1 && Some(*pid) != own_root)
        .filter(|pid| process(proc, *pid).is_some_and(|process| process.parent == 0))
        .collect();
    mains.sort_unstable();
    if mains.len() > 1 {
        let marked: Vec<i32> = mains
            .iter()
            .copied()
            .filter(|pid| is_marked(proc, *pid, container))
            .collect();
        if !marked.is_empty() {
            mains = marked;
        }
    }
    match mains[..] {
        [pid] => Ok(pid),
        [] => Err(not_visible("no other container has a process".to_owned())),
        _ => Err(not_visible(format!(
            "the pod has {} other containers, and which of them is the workload cannot be told",
            mains.len()
        ))),
    }
}

/// Whether a process was started with the variable that marks the workload's container.
fn is_marked(proc: &Path, pid: i32, container: &str) -> bool {
    let mark = format!("{WORKLOAD_VARIABLE}={container}");
    let Ok(file) = File::open(proc.join(pid.to_string()).join("environ")) else {
        return false;
    };
    let mut variables = Vec::new();
    // What is cut off is not found, and then nothing is guessed.
    let read = file.take(ENVIRON_BYTES_MAX).read_to_end(&mut variables);
    read.is_ok()
        && variables
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
}

/// The topmost process above this one that can be seen.
fn root_of(proc: &Path, mut pid: i32) -> Option<i32> {
    // Bounded, as parents may change while they are read.
    for _ in 0..64 {
        let parent = process(proc, pid)?.parent;
        if parent == 0 {
            return Some(pid);
        }
        pid = parent;
    }
    None
}

struct Process {
    name: String,
    parent: i32,
}

/// Reads `/proc/<pid>/stat`: `pid (name) state ppid …`, where the name may hold anything.
fn process(proc: &Path, pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let parent = after.split_whitespace().nth(1)?.parse().ok()?;
    Some(Process { name, parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(processes: &[(i32, &str, i32)]) -> Result<i32, String> {
        found_among(processes, &[])
    }

    fn found_among(
        processes: &[(i32, &str, i32)],
        variables: &[(i32, &str)],
    ) -> Result<i32, String> {
        let folder = tempfile::tempdir().unwrap();
        for (pid, name, parent) in processes {
            let own = folder.path().join(pid.to_string());
            std::fs::create_dir(&own).unwrap();
            let stat = format!("{pid} ({name}) S {parent} 1 1 0 -1");
            std::fs::write(own.join("stat"), stat).unwrap();
        }
        for (pid, variables) in variables {
            let environ = folder.path().join(pid.to_string()).join("environ");
            std::fs::write(environ, variables).unwrap();
        }
        workload(folder.path(), 21, "db").map_err(|error| error.to_string())
    }

    #[test]
    fn the_other_containers_main_process_is_the_workload() {
        let pid = found(&[
            (1, "pause", 0),
            (7, "agdb) S 1 (x", 0),
            (9, "agdb", 7),
            (20, "sh", 0),
            (21, "outrigger", 20),
        ]);
        assert_eq!(pid, Ok(7));
    }

    #[test]
    fn nothing_is_signalled_outside_a_pod() {
        let error = found(&[
            (1, "systemd", 0),
            (2, "kthreadd", 0),
            (20, "sh", 1),
            (21, "outrigger", 20),
        ])
        .unwrap_err();
        assert!(error.ends_with("the pod does not share one process namespace"));
    }

    #[test]
    fn two_other_containers_are_not_guessed_between() {
        let error = found(&[
            (1, "pause", 0),
            (7, "a", 0),
            (8, "b", 0),
            (21, "outrigger", 0),
        ])
        .unwrap_err();
        assert!(error.contains("2 other containers"), "{error}");
    }

    #[test]
    fn among_several_containers_the_marked_one_is_the_workload() {
        let pod = [
            (1, "pause", 0),
            (7, "proxy", 0),
            (8, "db", 0),
            (9, "other", 0),
            (21, "outrigger", 0),
        ];
        let marked = |one: &'static str| {
            [
                (7, "PATH=/bin\0OUTRIGGER_WORKLOAD=dbx\0"),
                (8, one),
                (9, "X=OUTRIGGER_WORKLOAD=db\0"),
            ]
        };
        let pid = found_among(&pod, &marked("A=1\0OUTRIGGER_WORKLOAD=db\0B=2\0"));
        assert_eq!(pid, Ok(8));
        let error = found_among(&pod, &marked("A=1\0")).unwrap_err();
        assert!(error.contains("3 other containers"), "{error}");
    }
}
