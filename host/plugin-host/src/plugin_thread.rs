//! The thread on which guests run, with a runtime of its own: a busy guest takes turns with other
//! guests there, and never holds up the runtime that answers probes.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::thread;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::error::HostError;
use crate::limits::{CALLS_AT_ONCE_MAX, QUEUE_MAX};

type Running = Pin<Box<dyn Future<Output = ()>>>;
type Job = Box<dyn FnOnce() -> Running + Send>;

/// Hands jobs to the thread. The thread ends when the last of these is dropped and its jobs are done.
#[derive(Debug, Clone)]
pub(crate) struct PluginThread(mpsc::Sender<Job>);

/// Why a job did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobError {
    /// Too many wait.
    Overloaded,
    /// It panicked: a fault of the host.
    Panicked(String),
}

impl PluginThread {
    pub(crate) fn start() -> Result<Self, HostError> {
        const NAME: &str = "plugins";
        let fail = |source| HostError::Thread { name: NAME, source };
        let (sender, jobs) = mpsc::channel(QUEUE_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("plugin-files")
            .max_blocking_threads(CALLS_AT_ONCE_MAX)
            .build()
            .map_err(fail)?;
        thread::Builder::new()
            .name(NAME.to_owned())
            .spawn(move || runtime.block_on(serve(jobs)))
            .map_err(fail)?;
        Ok(Self(sender))
    }

    /// Runs a job on the thread and waits for its result.
    ///
    /// # Cancel safety
    /// When the future is dropped, the job's future is dropped as well, at its next wait.
    pub(crate) async fn run<T, F>(
        &self,
        job: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (mut reply, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            Box::pin(async move {
                if reply.is_closed() {
                    return;
                }
                let work = AssertUnwindSafe(async move { job().await }).catch_unwind();
                let outcome = tokio::select! {
                    outcome = work => outcome,
                    () = reply.closed() => return,
                };
                // Whoever asked may have gone meanwhile.
                let _heard = reply
                    .send(outcome.map_err(|panic| JobError::Panicked(panic_message(&*panic))))
                    .is_ok();
            })
        });
        self.0.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => JobError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => {
                JobError::Panicked("the plugin thread has ended".to_owned())
            }
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(JobError::Panicked("the plugin thread has ended".to_owned())))
    }
}

async fn serve(mut jobs: mpsc::Receiver<Job>) {
    let mut running: FuturesUnordered<Running> = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = running.next() => {}
            job = jobs.recv(), if running.len() < CALLS_AT_ONCE_MAX => match job {
                Some(job) => running.push(job()),
                None => break,
            },
        }
    }
    while running.next().await.is_some() {}
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn jobs_take_turns_and_answer() {
        let thread = PluginThread::start().unwrap();
        let gate = Arc::new(Notify::new());
        let waits = Arc::clone(&gate);
        let first = thread.run(move || async move {
            waits.notified().await;
            1
        });
        let second = thread.run(move || async move {
            gate.notify_one();
            2
        });
        assert_eq!(tokio::join!(first, second), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn a_panic_costs_its_job_alone() {
        let thread = PluginThread::start().unwrap();
        let result: Result<(), _> = thread.run(|| async { panic!("oh") }).await;
        assert_eq!(result, Err(JobError::Panicked("oh".to_owned())));
        assert_eq!(thread.run(|| async { 1 }).await, Ok(1));
    }

    #[tokio::test]
    async fn jobs_beyond_the_queue_are_refused() {
        let thread = PluginThread::start().unwrap();
        let pending = || thread.run(std::future::pending::<()>);
        let mut waiting: FuturesUnordered<_> = (0..=QUEUE_MAX + CALLS_AT_ONCE_MAX)
            .map(|_| pending())
            .collect();
        // All are submitted at the first poll; the thread takes a few of them at once.
        assert_eq!(waiting.next().await, Some(Err(JobError::Overloaded)));
    }

    #[tokio::test]
    async fn a_job_whose_asker_has_gone_is_dropped() {
        struct Told(Option<oneshot::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _heard = self.0.take().map(|told| told.send(()));
            }
        }
        let thread = PluginThread::start().unwrap();
        let (told, dropped) = oneshot::channel();
        let (began, running) = oneshot::channel();
        let told = Told(Some(told));
        let job = thread.run(move || async move {
            let _told = told;
            began.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        tokio::select! {
            _ = job => unreachable!("it never answers"),
            running = running => running.unwrap(),
        }
        dropped.await.unwrap();
    }
}
