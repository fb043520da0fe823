//! Everything that runs, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{Instrument, error, info_span, warn};

use crate::{Deadline, Shutdown};

/// How often those that still run are named while [`Tasks::finish`] waits.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// The owner of every task of a process. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shutdown: Shutdown,
    set: Mutex<JoinSet<()>>,
    running: watch::Sender<BTreeMap<u64, String>>,
    next_id: Mutex<u64>,
    fault: watch::Sender<Option<Fault>>,
}

/// A task that ended when it should not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The task.
    pub task: String,
    /// How it ended.
    pub kind: FaultKind,
}

/// How a task ended when it should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It panicked.
    Panicked,
    /// It returned, though nobody had asked for an end.
    EndedEarly,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::Panicked => write!(f, "{} panicked", self.task),
            FaultKind::EndedEarly => write!(f, "{} ended early", self.task),
        }
    }
}

impl Tasks {
    /// No tasks yet. After `shutdown` is triggered, ending is what tasks should do.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            inner: Arc::new(Inner {
                shutdown,
                set: Mutex::new(JoinSet::new()),
                running: watch::Sender::new(BTreeMap::new()),
                next_id: Mutex::new(0),
                fault: watch::Sender::new(None),
            }),
        }
    }

    /// The token that ends these tasks.
    pub fn shutdown(&self) -> &Shutdown {
        &self.inner.shutdown
    }

    /// Starts a task that is meant to run until shutdown: its earlier end is a [`Fault`].
    pub fn spawn<F>(&self, name: impl Into<String>, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name.into(), true, future);
    }

    /// Starts a task that ends by itself, such as the service of one connection; only a panic of
    /// it is a [`Fault`].
    pub fn spawn_short<F>(&self, name: impl Into<String>, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name.into(), false, future);
    }

    fn start<F>(&self, name: String, lasting: bool, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = {
            let mut next = lock(&self.inner.next_id);
            *next += 1;
            *next
        };
        // Both are for log lines. Only what ends by itself is exported as a trace: the telemetry
        // crate leaves out what has this target.
        let span = if lasting {
            info_span!(target: "outrigger_shutdown::lasting", "task", task.name = %name)
        } else {
            info_span!("task", task.name = %name)
        };
        self.inner.running.send_modify(|running| {
            running.insert(id, name);
        });
        let mut guard = Guard {
            id,
            lasting,
            returned: false,
            inner: Arc::clone(&self.inner),
        };
        let mut set = lock(&self.inner.set);
        // What has ended is let go of, so that short tasks do not pile up.
        while set.try_join_next().is_some() {}
        set.spawn(
            async move {
                future.await;
                guard.returns();
            }
            .instrument(span),
        );
    }

    /// The names of those that run now, sorted; a name once for each task that has it.
    pub fn still_running(&self) -> Vec<String> {
        let mut names: Vec<String> = self.inner.running.borrow().values().cloned().collect();
        names.sort();
        names
    }

    /// Waits for the first task that ends when it should not; at once when one has.
    ///
    /// # Cancel safety
    /// Safe: it holds no state.
    pub async fn fault(&self) -> Fault {
        let mut receiver = self.inner.fault.subscribe();
        let fault = receiver
            .wait_for(Option::is_some)
            .await
            .expect("the sender lives as long as self")
            .clone();
        fault.expect("it was waited for")
    }

    /// Waits until every task has ended or the deadline has passed; those that still run are named
    /// on the log every five seconds. What is left is aborted, and its names are the answer: empty
    /// when all ended by themselves.
    ///
    /// A task that never yields cannot be aborted: the caller ends its runtime with
    /// `shutdown_background` so that it cannot hold the exit either.
    pub async fn finish(&self, deadline: Deadline) -> Vec<String> {
        let mut running = self.inner.running.subscribe();
        let mut report =
            tokio::time::interval_at(tokio::time::Instant::now() + REPORT_EVERY, REPORT_EVERY);
        loop {
            tokio::select! {
                biased;
                _ = running.wait_for(BTreeMap::is_empty) => return Vec::new(),
                () = deadline.wait() => break,
                _ = report.tick() => warn!(
                    tasks = self.still_running().join(", "),
                    remaining_seconds = deadline.remaining().as_secs(),
                    "Tasks still run"
                ),
            }
        }
        let left = self.still_running();
        error!(tasks = left.join(", "), "Tasks did not end in time");
        lock(&self.inner.set).abort_all();
        left
    }
}

/// Takes a task off the list when its future is dropped: because it returned, panicked or was aborted.
#[derive(Debug)]
struct Guard {
    id: u64,
    lasting: bool,
    returned: bool,
    inner: Arc<Inner>,
}

impl Guard {
    /// A method, so that the future owns the whole guard and not a copy of its flag.
    fn returns(&mut self) {
        self.returned = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let kind = if std::thread::panicking() {
            Some(FaultKind::Panicked)
        } else if self.returned && self.lasting && !self.inner.shutdown.is_triggered() {
            Some(FaultKind::EndedEarly)
        } else {
            None
        };
        if let Some(kind) = kind {
            let task = self
                .inner
                .running
                .borrow()
                .get(&self.id)
                .cloned()
                .unwrap_or_default();
            let fault = Fault { task, kind };
            error!(task.name = %fault.task, fault = %fault, "A task ended when it should not");
            self.inner.fault.send_if_modified(|first| {
                let empty = first.is_none();
                if empty {
                    *first = Some(fault);
                }
                empty
            });
        }
        self.inner.running.send_modify(|running| {
            running.remove(&self.id);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that could panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> (Tasks, Shutdown) {
        let shutdown = Shutdown::new();
        (Tasks::new(shutdown.clone()), shutdown)
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_end_on_the_word_leave_nobody_behind() {
        let (tasks, shutdown) = tasks();
        let word = shutdown.clone();
        tasks.spawn("discovery", async move {
            word.triggered().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
        assert_eq!(tasks.still_running(), ["discovery"]);
        shutdown.trigger("test");
        let left = tasks.finish(Deadline::after(Duration::from_secs(10))).await;
        assert!(left.is_empty());
        assert!(tasks.still_running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_task_is_named_at_the_deadline_and_cannot_hold_the_exit() {
        let (tasks, shutdown) = tasks();
        tasks.spawn("files", std::future::pending());
        let word = shutdown.clone();
        tasks.spawn("health", async move { word.triggered().await });
        shutdown.trigger("test");
        let deadline = Deadline::after(Duration::from_secs(12));
        assert_eq!(tasks.finish(deadline).await, ["files"]);
        assert_eq!(deadline.elapsed(), Duration::from_secs(12));
    }

    #[tokio::test]
    async fn a_panic_is_a_fault_with_the_name_of_the_task() {
        let (tasks, _shutdown) = tasks();
        tasks.spawn_short("connection", async { panic!("on purpose") });
        assert_eq!(tasks.fault().await.to_string(), "connection panicked");
        tasks.finish(Deadline::after(Duration::from_secs(1))).await;
        assert!(tasks.still_running().is_empty());
    }

    #[tokio::test]
    async fn a_lasting_task_that_returns_before_shutdown_is_a_fault() {
        let (tasks, _shutdown) = tasks();
        tasks.spawn_short("connection", async {});
        tasks.spawn("discovery", async {});
        assert_eq!(
            tasks.fault().await,
            Fault {
                task: "discovery".into(),
                kind: FaultKind::EndedEarly
            }
        );
    }

    #[tokio::test]
    async fn an_end_after_shutdown_is_no_fault() {
        let (tasks, shutdown) = tasks();
        shutdown.trigger("test");
        tasks.spawn("discovery", async {});
        tasks.finish(Deadline::after(Duration::from_secs(1))).await;
        assert_eq!(*tasks.inner.fault.borrow(), None);
    }
}
