//! From the start gate to the end: in which phase this replica is, how it is taken out of service
//! within one deadline, and how its workload is restarted for new configuration.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outrigger_peers::PeerSet;
use outrigger_plugin_host::{BoxFuture, CallError, DrainContext, DrainReason, Plugin, Step};
use outrigger_profile::Profile;
use outrigger_shutdown::{Deadline, Shutdown, Tasks};
use outrigger_telemetry::names;
use tokio::sync::watch;

use crate::control::WorkloadControl;
use crate::health::HealthReport;
use crate::metrics::Recorder;
use crate::reload::Loaded;
use crate::template::{ActionFailure, RestartRequest};
use crate::timeline::{Timeline, unix_ms};

mod alive;
mod drain;
mod phase;
mod process;
mod restart;

pub use self::drain::{DrainOutcome, DrainStep, StepResult};
pub use self::phase::{Phase, PhaseEvent};
pub(crate) use self::process::{Became, Place, Sockets};

/// What is kept back of the grace period for the workload's own end and the sidecar's.
const RESERVE: Duration = Duration::from_secs(2);

/// Takes a replica out of service step by step: the plugin, or a stand-in in tests.
pub trait Drains: fmt::Debug + Send + Sync + 'static {
    /// One step.
    fn drain(&self, context: DrainContext) -> BoxFuture<'_, Result<Step, CallError>>;
}

impl Drains for Plugin {
    fn drain(&self, context: DrainContext) -> BoxFuture<'_, Result<Step, CallError>> {
        Box::pin(async move { Plugin::drain(self, context).await })
    }
}

/// What the lifecycle needs to know.
#[derive(Debug)]
pub struct LifecycleSetup {
    /// The address or name of this replica's own workload.
    pub workload_host: String,
    /// The pod's termination grace period.
    pub grace_period: Duration,
    /// The plugin; none where the profile names none.
    pub plugin: Option<Arc<dyn Drains>>,
    /// What can be done to the workload's process.
    pub control: Arc<dyn WorkloadControl>,
    /// The profile.
    pub loaded: watch::Receiver<Arc<Loaded>>,
    /// Who is there.
    pub peers: watch::Receiver<Arc<PeerSet>>,
    /// How the replica is.
    pub health: watch::Receiver<Arc<HealthReport>>,
    /// Where steps are told.
    pub timeline: Timeline,
    /// Where drains and restarts are counted.
    pub recorder: Recorder,
}

/// The life of this replica. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    setup: LifecycleSetup,
    phase: watch::Sender<Phase>,
    tasks: Tasks,
    /// The drain that is under way or done; none while the replica may serve.
    drain: Mutex<Option<watch::Receiver<Option<Arc<DrainOutcome>>>>>,
    /// The step of the drain that is under way.
    step: Mutex<Option<&'static str>>,
    restarts: restart::Restarts,
    /// Whether somebody wants this replica to end: a drain for that is not undone by a restart.
    leaving: watch::Sender<bool>,
    /// Whether the workload may have started.
    started: watch::Sender<bool>,
}

/// Who asks for a drain, and so what comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The workload is going to be stopped.
    Stop,
    /// The workload is restarted and serves again.
    Restart,
}

impl Lifecycle {
    /// A replica that is starting. `tasks` own its drains and restarts.
    pub fn new(setup: LifecycleSetup, tasks: Tasks) -> Self {
        Self {
            inner: Arc::new(Inner {
                setup,
                phase: watch::Sender::new(Phase::Starting),
                tasks,
                drain: Mutex::new(None),
                step: Mutex::new(None),
                restarts: restart::Restarts::default(),
                leaving: watch::Sender::new(false),
                started: watch::Sender::new(false),
            }),
        }
    }

    /// Follows the phase.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.inner.phase.subscribe()
    }

    /// Why this replica leaves, where nobody says: it is one too many, or nothing is known.
    pub fn likely_reason(&self) -> DrainReason {
        let peers = self.inner.setup.peers.borrow();
        if peers.desired > 0 && !peers.is_wanted(peers.identity.ordinal) {
            DrainReason::ScaleDown
        } else {
            DrainReason::Unknown
        }
    }

    /// Whether the workload may have started: the gate opened, or it ran already when this sidecar
    /// was started. Stays true.
    pub fn started(&self) -> watch::Receiver<bool> {
        self.inner.started.subscribe()
    }

    /// [`Lifecycle::request_restart`] as the template room asks for it.
    pub fn restart_request(&self) -> RestartRequest {
        let lifecycle = self.clone();
        Arc::new(move |reason| {
            let restart = lifecycle.request_restart(reason);
            Box::pin(restart)
        })
    }

    /// Takes the replica out of service and waits until that is done, at most until the deadline
    /// that the profile and the grace period set. One drain at a time: who comes second joins the
    /// first, and who comes after it is told its outcome.
    ///
    /// # Cancel safety
    /// The drain goes on without whoever asked for it.
    pub async fn drain(&self, reason: DrainReason, after: After) -> Arc<DrainOutcome> {
        if after == After::Stop {
            self.inner.leaving.send_replace(true);
        }
        let mut outcome = self.join_drain(reason);
        let seen = outcome
            .wait_for(Option::is_some)
            .await
            .map(|seen| seen.clone());
        match seen {
            Ok(Some(outcome)) => outcome,
            // Its task was aborted: the process is ending.
            Ok(None) | Err(_) => Arc::new(DrainOutcome::aborted(reason)),
        }
    }

    /// What SIGTERM of the sidecar does: a drain, unless the workload was drained or is not running.
    pub async fn drain_before_end(&self) -> Option<Arc<DrainOutcome>> {
        let phase = *self.inner.phase.borrow();
        if phase.may_serve() {
            let profile = self.inner.profile();
            if alive::is_alive(&self.inner.setup.workload_host, &profile.workload).await
                == alive::Alive::No
            {
                return None;
            }
        }
        if phase == Phase::Stopped {
            return None;
        }
        Some(self.drain(self.likely_reason(), After::Stop).await)
    }

    /// The step of the drain that is under way now.
    pub fn drain_step(&self) -> Option<&'static str> {
        *lock(&self.inner.step)
    }

    /// The sidecar is ending: no probe counts any more.
    pub fn stopping(&self) {
        self.inner.advance(PhaseEvent::Stopping);
    }

    /// Asks for a restart of the workload, because of new configuration: in this replica's turn, drained
    /// first. A request that comes while one waits for its turn is served by that one; one that comes
    /// before the restarted workload is ready is served in the same turn.
    ///
    /// What is returned waits until the workload was started anew, whether it is ready or not, and
    /// gives the reason where it was not.
    ///
    /// # Cancel safety
    /// The restart is asked for at once, and goes on without whoever asked for it.
    pub fn request_restart(
        &self,
        reason: impl Into<String>,
    ) -> impl Future<Output = Result<(), ActionFailure>> + Send + 'static {
        let answer = restart::request(&self.inner, reason.into());
        async move {
            let gone = || ActionFailure {
                problem: "the sidecar is ending".to_owned(),
                try_again: false,
            };
            answer.await.unwrap_or_else(|_| Err(gone()))
        }
    }

    /// Follows the start gate, and lets the replica serve again when its workload comes back after a
    /// drain. Until the shutdown.
    pub async fn run(&self, shutdown: Shutdown) {
        tokio::select! {
            () = self.inner.follow_gate() => {}
            () = self.inner.follow_return() => {}
            () = shutdown.triggered() => {}
        }
    }

    fn join_drain(&self, reason: DrainReason) -> watch::Receiver<Option<Arc<DrainOutcome>>> {
        let mut slot = lock(&self.inner.drain);
        if let Some(drain) = &*slot {
            return drain.clone();
        }
        let (sender, receiver) = watch::channel(None);
        *slot = Some(receiver.clone());
        drop(slot);
        let profile = self.inner.profile();
        let deadline = Deadline::within_grace(self.inner.setup.grace_period, RESERVE)
            .at_most(profile.drain.timeout);
        let remaining = u64::try_from(deadline.remaining().as_millis()).unwrap_or(u64::MAX);
        // At once, and not when the task gets to run: from here on the replica is unready.
        self.inner.advance(PhaseEvent::DrainBegan {
            reason,
            deadline_unix_ms: unix_ms().saturating_add(remaining),
        });
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn_short("drain", async move {
            let outcome = drain::run(&inner, &profile, reason, deadline).await;
            let result = if outcome.complete {
                "complete"
            } else {
                "incomplete"
            };
            let labels = [("reason", reason.as_str()), ("result", result)];
            inner.setup.recorder.count(names::DRAINS, &labels);
            inner
                .setup
                .recorder
                .set(names::DRAIN_LAST_SECONDS, deadline.elapsed().as_secs_f64());
            inner.advance(PhaseEvent::DrainEnded);
            sender.send_replace(Some(Arc::new(outcome)));
        });
        receiver
    }
}

impl Inner {
    fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.setup.loaded.borrow().profile)
    }

    fn advance(&self, event: PhaseEvent) {
        self.phase
            .send_if_modified(|phase| match phase.after(event) {
                Some(next) if next != *phase => {
                    *phase = next;
                    true
                }
                _ => false,
            });
    }

    /// The workload has come back: the drain is history.
    fn back_in_service(&self) {
        lock(&self.drain).take();
        self.leaving.send_replace(false);
        self.advance(PhaseEvent::Restarted);
    }

    async fn follow_gate(&self) {
        let workload = self.profile().workload.clone();
        if alive::is_alive(&self.setup.workload_host, &workload).await == alive::Alive::Yes {
            self.started.send_replace(true);
        }
        let mut health = self.setup.health.clone();
        if health.wait_for(|health| health.start.pass).await.is_ok() {
            self.started.send_replace(true);
            self.advance(PhaseEvent::GateOpened);
        }
        std::future::pending::<()>().await;
    }

    /// A drained workload that goes away and comes back was restarted by somebody, such as a kubelet
    /// whose liveness probe failed: its preStop hook drains, and the pod lives on.
    async fn follow_return(&self) {
        let mut phase = self.phase.subscribe();
        loop {
            let drained = phase
                .wait_for(|phase| matches!(phase, Phase::Drained { .. }))
                .await
                .is_ok();
            if !drained {
                std::future::pending::<()>().await;
            }
            let left = async {
                let other = |phase: &Phase| !matches!(phase, Phase::Drained { .. });
                self.phase.subscribe().wait_for(other).await.map(drop)
            };
            tokio::select! {
                _ = left => {}
                () = self.workload_returns() => {
                    self.setup.timeline.record(
                        "drain",
                        "the workload was restarted after the drain, this replica may serve again",
                        [],
                    );
                    self.back_in_service();
                }
            }
        }
    }

    async fn workload_returns(&self) {
        if self.restarts.are_under_way() {
            // It says itself when the workload is back.
            std::future::pending::<()>().await;
        }
        let workload = self.profile().workload.clone();
        alive::until(&self.setup.workload_host, &workload, alive::Alive::No).await;
        self.setup
            .timeline
            .note("drain", "the drained workload has ended", []);
        alive::until(&self.setup.workload_host, &workload, alive::Alive::Yes).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that could panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
