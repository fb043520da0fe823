//! Restarts of the workload for new configuration: in turn, drained first, and back in service
//! before the next replica's turn.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outrigger_plugin_host::DrainReason;
use outrigger_telemetry::names;
use tokio::time::Instant;

use super::alive::{self, Alive};
use super::{After, Inner, Lifecycle, Phase, lock};

/// How long a drained workload may take to end by itself before its restart is asked for.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// How long the workload may take to become ready again before the next replica has its turn all the
/// same: a slow resync must not hold the others for ever.
const READY_WITHIN: Duration = Duration::from_mins(5);

/// Beyond the grace period, how long a workload may take to go away once its restart was asked for.
const GONE_SLACK: Duration = Duration::from_secs(5);

/// How far a restart is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// None is wanted.
    #[default]
    None,
    /// It waits for its turn: whoever wants one now is served by it.
    Waiting,
    /// It is under way; and whether another is wanted after it.
    UnderWay { again: bool },
}

pub(super) fn is_under_way(stage: &Mutex<Stage>) -> bool {
    *lock(stage) != Stage::None
}

pub(super) fn request(inner: &Arc<Inner>, reason: String) {
    {
        let mut stage = lock(&inner.restart);
        match &mut *stage {
            Stage::None => *stage = Stage::Waiting,
            Stage::Waiting => return,
            Stage::UnderWay { again } => {
                *again = true;
                return;
            }
        }
    }
    let owned = Arc::clone(inner);
    inner.tasks.spawn_short("restart", async move {
        loop {
            let result = Restart {
                inner: &owned,
                began: Instant::now(),
            }
            .run(&reason)
            .await;
            let word = match &result {
                Ok(told) => {
                    owned.setup.timeline.record("restart", told.clone(), []);
                    "done"
                }
                Err(problem) => {
                    owned.setup.timeline.record(
                        "restart",
                        format!("the restart failed: {problem}"),
                        [],
                    );
                    "failed"
                }
            };
            let labels = [("result", word)];
            owned.setup.recorder.count(names::RESTARTS, &labels);
            let mut stage = lock(&owned.restart);
            if (*stage == Stage::UnderWay { again: true }) && result.is_ok() {
                *stage = Stage::Waiting;
            } else {
                *stage = Stage::None;
                return;
            }
        }
    });
}

struct Restart<'a> {
    inner: &'a Arc<Inner>,
    began: Instant,
}

impl Restart<'_> {
    async fn run(&self, reason: &str) -> Result<String, String> {
        let setup = &self.inner.setup;
        // A sidecar that was restarted alone is starting while its workload runs.
        if *self.inner.phase.borrow() == Phase::Starting
            && alive::is_alive(&setup.workload_host, &self.inner.profile().workload).await
                != Alive::Yes
        {
            return Ok("no restart is needed, the workload has not started yet".to_owned());
        }
        setup.timeline.record(
            "restart",
            format!("a restart of the workload is wanted: {reason}"),
            [("reason", reason.into())],
        );
        let turn = setup
            .control
            .acquire_turn(reason)
            .await
            .map_err(|error| error.to_string())?;
        *lock(&self.inner.restart) = Stage::UnderWay { again: false };
        if !turn.coordinated {
            tracing::info!("Nobody counts turns here: other replicas may restart at the same time");
        }
        let result = self.in_turn(reason).await;
        if let Err(error) = turn.release().await {
            setup.timeline.record(
                "restart",
                format!("the turn could not be given back: {error}"),
                [],
            );
        }
        result
    }

    async fn in_turn(&self, reason: &str) -> Result<String, String> {
        let setup = &self.inner.setup;
        let workload = self.inner.profile().workload.clone();
        let lifecycle = Lifecycle {
            inner: Arc::clone(self.inner),
        };
        // From before the drain: one of its steps may end the workload.
        let mut ended = std::pin::pin!(alive::until(&setup.workload_host, &workload, Alive::No));
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
            return Ok("this replica is leaving, it is not restarted".to_owned());
        }
        if !gone && !workload.ports.is_empty() {
            gone = tokio::time::timeout(ENDS_WITHIN, &mut ended).await.is_ok();
        }
        if !gone {
            if let Err(error) = setup.control.restart(reason).await {
                // It runs on with the configuration that it has: better than not at all.
                self.inner.back_in_service();
                return Err(error.to_string());
            }
            let within = setup.grace_period + GONE_SLACK;
            if !workload.ports.is_empty() && tokio::time::timeout(within, &mut ended).await.is_err()
            {
                self.inner.back_in_service();
                return Err(format!(
                    "the workload did not end within {} s",
                    within.as_secs()
                ));
            }
        }
        if *self.inner.leaving.borrow() {
            return Ok("this replica is leaving, it is not restarted".to_owned());
        }
        self.inner.back_in_service();
        let mut health = setup.health.clone();
        let ready = health.wait_for(|report| report.readiness.pass);
        let mut leaving = self.inner.leaving.subscribe();
        tokio::select! {
            ready = tokio::time::timeout(READY_WITHIN, ready) => match ready {
                Ok(Ok(_)) => Ok(format!(
                    "the workload runs with its new configuration and is ready, after {:.1} s",
                    self.began.elapsed().as_secs_f64()
                )),
                Ok(Err(_)) => Err("the sidecar is ending".to_owned()),
                Err(_) => Err(format!(
                    "the workload is not ready after {} s",
                    READY_WITHIN.as_secs()
                )),
            },
            _ = leaving.wait_for(|leaving| *leaving) => {
                Ok("this replica is leaving".to_owned())
            }
        }
    }
}
