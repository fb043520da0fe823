//! Control in a pod, where nobody helps: signals reach the workload only where the pod shares one
//! process namespace.

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal as Unix, kill};
use nix::unistd::Pid;
use outrigger_plugin_host::BoxFuture;
use outrigger_profile::Signal;

use super::{ControlError, TurnGuard, WorkloadControl, signal_name};

/// How many processes are looked at: the kernel's own default for one namespace.
const PROCESSES_MAX: usize = 32 * 1024;

/// No coordinator. Signals are sent to the workload's main process where it can be seen, which is
/// with `shareProcessNamespace: true`; every turn is granted.
#[derive(Debug, Clone)]
pub struct NoControl {
    proc: PathBuf,
}

impl Default for NoControl {
    fn default() -> Self {
        Self::new()
    }
}

impl NoControl {
    /// Looks for the workload in `/proc`.
    pub fn new() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
        }
    }

    fn send(&self, signal: Signal) -> Result<(), ControlError> {
        let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        let pid = workload(&self.proc, own)?;
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

impl WorkloadControl for NoControl {
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
        Box::pin(async { Ok(TurnGuard::uncoordinated()) })
    }
}

/// The workload's main process. In a pod with one process namespace, process 1 is the pod's `pause`
/// and each container's main process has no parent that can be seen. Nothing is signalled unless
/// all of that is so and one process alone is left.
fn workload(proc: &Path, own: i32) -> Result<i32, ControlError> {
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
    match mains[..] {
        [pid] => Ok(pid),
        [] => Err(not_visible("no other container has a process".to_owned())),
        _ => Err(not_visible(format!(
            "the pod has {} other containers, and which of them is the workload cannot be told",
            mains.len()
        ))),
    }
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
        let folder = tempfile::tempdir().unwrap();
        for (pid, name, parent) in processes {
            let own = folder.path().join(pid.to_string());
            std::fs::create_dir(&own).unwrap();
            let stat = format!("{pid} ({name}) S {parent} 1 1 0 -1");
            std::fs::write(own.join("stat"), stat).unwrap();
        }
        workload(folder.path(), 21).map_err(|error| error.to_string())
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
}
