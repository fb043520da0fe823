//! Restarts of the workload for new configuration: in turn, drained first, and back in service
//! before the next replica's turn.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outrigger_plugin_host::DrainReason;
use outrigger_telemetry::names;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::alive::{self, Alive};
use super::process::{Place, Process};
use super::{After, Inner, Lifecycle, Phase, lock};
use crate::template::ActionFailure;

/// How long a drained workload may take to end by itself before its restart is asked for.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// How long the workload may take to become ready again before the next replica has its turn all the
/// same: a slow resync must not hold the others for ever.
const READY_WITHIN: Duration = Duration::from_mins(5);

/// Beyond the grace period, how long a workload may take to go away once its restart was asked for.
const GONE_SLACK: Duration = Duration::from_secs(5);

/// What a restart came to, for whoever asked for it: the workload runs with what was in place when it
/// was asked for, or why it does not.
pub(super) type Answer = Result<(), ActionFailure>;

/// The restarts that are wanted.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    wanted: Mutex<Wanted>,
    /// Told of each wish.
    came: Notify,
}

#[derive(Debug, Default)]
struct Wanted {
    /// Whether a task works at it.
    is_under_way: bool,
    /// The newest wish that no restart serves yet.
    next: Option<Wish>,
}

/// A restart that is wanted: all who want one before it begins want the same one.
#[derive(Debug)]
struct Wish {
    /// The newest reason.
    reason: String,
    asked: Vec<oneshot::Sender<Answer>>,
}

impl Wish {
    fn answer(self, answer: &Answer) {
        for asked in self.asked {
            // Whoever asked may have gone meanwhile.
            drop(asked.send(answer.clone()));
        }
    }
}

impl Restarts {
    pub(super) fn are_under_way(&self) -> bool {
        lock(&self.wanted).is_under_way
    }

    fn take(&self) -> Option<Wish> {
        lock(&self.wanted).next.take()
    }

    /// The reason of the next wish; where there is none, nothing is under way from now on.
    fn reason_or_end(&self) -> Option<String> {
        let mut wanted = lock(&self.wanted);
        let reason = wanted.next.as_ref().map(|wish| wish.reason.clone());
        wanted.is_under_way = reason.is_some();
        reason
    }

    /// Waits until one more is wanted.
    async fn another(&self) {
        while lock(&self.wanted).next.is_none() {
            self.came.notified().await;
        }
    }
}

pub(super) fn request(inner: &Arc<Inner>, reason: String) -> oneshot::Receiver<Answer> {
    let (answer, receiver) = oneshot::channel();
    let must_begin = {
        let mut wanted = lock(&inner.restarts.wanted);
        match &mut wanted.next {
            Some(wish) => {
                wish.reason = reason;
                wish.asked.push(answer);
            }
            none => {
                *none = Some(Wish {
                    reason,
                    asked: vec![answer],
                });
            }
        }
        !std::mem::replace(&mut wanted.is_under_way, true)
    };
    inner.restarts.came.notify_one();
    if must_begin {
        let owned = Arc::clone(inner);
        inner.tasks.spawn_short("restart", async move {
            let restart = Restart { inner: &owned };
            while let Some(reason) = owned.restarts.reason_or_end() {
                restart.take_turn(&reason).await;
            }
        });
    }
    receiver
}

/// What a restart came to once the workload had been taken down, or where it did not have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replaced {
    /// It runs anew.
    Anew,
    /// This replica is leaving, it is not started again.
    Leaving,
}

struct Restart<'a> {
    inner: &'a Arc<Inner>,
}

impl Restart<'_> {
    /// Everything that is wanted, in one turn.
    async fn take_turn(&self, reason: &str) {
        let setup = &self.inner.setup;
        // A sidecar that was restarted alone is starting while its workload runs.
        if *self.inner.phase.borrow() == Phase::Starting
            && alive::is_alive(&setup.workload_host, &self.inner.profile().workload).await
                != Alive::Yes
        {
            self.tell(
                "needless",
                "no restart is needed, the workload has not started yet",
            );
            if let Some(wish) = self.inner.restarts.take() {
                wish.answer(&Ok(()));
            }
            return;
        }
        setup.timeline.record(
            "restart",
            format!("a restart of the workload is wanted: {reason}"),
            [("reason", reason.into())],
        );
        let mut leaving = self.inner.leaving.subscribe();
        let turn = tokio::select! {
            turn = setup.control.acquire_turn(reason) => turn,
            _ = leaving.wait_for(|leaving| *leaving) => {
                self.tell("needless", "this replica is leaving, it waits for no turn to restart");
                if let Some(wish) = self.inner.restarts.take() {
                    wish.answer(&Ok(()));
                }
                return;
            }
        };
        let turn = match turn {
            Ok(turn) => turn,
            Err(error) => {
                let failure = ActionFailure::from(error);
                self.tell("failed", format!("the restart failed: {failure}"));
                if let Some(wish) = self.inner.restarts.take() {
                    wish.answer(&Err(failure));
                }
                return;
            }
        };
        if !turn.coordinated {
            tracing::info!("Nobody counts turns here: other replicas may restart at the same time");
        }
        // What is wanted while this replica is not ready again is the newer configuration, or the
        // one before that is to return: it is served in the same turn.
        while let Some(wish) = self.inner.restarts.take() {
            let began = Instant::now();
            match self.replace(&wish.reason).await {
                Ok(Replaced::Anew) => {
                    wish.answer(&Ok(()));
                    self.until_ready(began).await;
                }
                Ok(Replaced::Leaving) => {
                    wish.answer(&Ok(()));
                    self.tell("needless", "this replica is leaving, it is not restarted");
                }
                Err(failure) => {
                    self.tell("failed", format!("the restart failed: {failure}"));
                    wish.answer(&Err(failure));
                }
            }
        }
        if let Err(error) = turn.release().await {
            setup.timeline.record(
                "restart",
                format!("the turn could not be given back: {error}"),
                [],
            );
        }
    }

    /// Drains the workload and has it started anew.
    async fn replace(&self, reason: &str) -> Result<Replaced, ActionFailure> {
        let setup = &self.inner.setup;
        let workload = self.inner.profile().workload.clone();
        let lifecycle = Lifecycle {
            inner: Arc::clone(self.inner),
        };
        // From before the drain: one of its steps may end the workload.
        let process = Process::now(Place::of(&setup.workload_host, &workload));
        let mut ended = std::pin::pin!(async {
            match &process {
                // It may be there again before anybody has looked.
                Some(process) => process.ended().await,
                None => alive::until(&setup.workload_host, &workload, Alive::No).await,
            }
        });
        let mut gone = false;
        let drain = lifecycle.drain(DrainReason::ConfigChange, After::Restart);
        let mut drain = std::pin::pin!(drain);
        loop {
            tokio::select! {
                () = &mut ended, if !gone => gone = true,
                _ = &mut drain => break,
            }
        }
        if *self.inner.leaving.borrow() {
            return Ok(Replaced::Leaving);
        }
        if !gone && !workload.ports.is_empty() {
            gone = tokio::time::timeout(ENDS_WITHIN, &mut ended).await.is_ok();
        }
        if !gone {
            if let Err(error) = setup.control.restart(reason).await {
                // It runs on with the configuration that it has: better than not at all.
                self.inner.back_in_service();
                return Err(error.into());
            }
            let within = setup.grace_period + GONE_SLACK;
            if !workload.ports.is_empty() && tokio::time::timeout(within, &mut ended).await.is_err()
            {
                self.inner.back_in_service();
                let seconds = within.as_secs();
                return Err(ActionFailure::passing(format!(
                    "the workload did not end within {seconds} s"
                )));
            }
        }
        if *self.inner.leaving.borrow() {
            return Ok(Replaced::Leaving);
        }
        self.inner.back_in_service();
        Ok(Replaced::Anew)
    }

    /// Keeps the turn until the replica is ready again, for a while; less where a restart is wanted
    /// once more.
    async fn until_ready(&self, began: Instant) {
        let mut health = self.inner.setup.health.clone();
        let ready = health.wait_for(|report| report.readiness.pass);
        let mut leaving = self.inner.leaving.subscribe();
        tokio::select! {
            ready = tokio::time::timeout(READY_WITHIN, ready) => match ready {
                Ok(Ok(_)) => self.tell("done", format!(
                    "the workload runs with its new configuration and is ready, after {:.1} s",
                    began.elapsed().as_secs_f64()
                )),
                Ok(Err(_)) => self.tell("unready", "the sidecar is ending"),
                Err(_) => self.tell("unready", format!(
                    "the workload was restarted and is not ready after {} s",
                    READY_WITHIN.as_secs()
                )),
            },
            () = self.inner.restarts.another() => {
                self.tell("unready", "the workload was restarted, and is wanted anew before it was ready");
            }
            _ = leaving.wait_for(|leaving| *leaving) => {
                self.tell("unready", "this replica is leaving");
            }
        }
    }

    fn tell(&self, result: &'static str, message: impl Into<String>) {
        let setup = &self.inner.setup;
        setup.timeline.record("restart", message, []);
        setup.recorder.count(names::RESTARTS, &[("result", result)]);
    }
}
