use std::collections::VecDeque;

use outrigger_plugin_host::{CallErrorKind, Failure, FailureKind, Next};
use outrigger_profile::{DrainRequest, Method, Signal};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::control::{ControlError, TurnGuard};
use crate::{fixture, health};

type Script = Mutex<VecDeque<Result<Next, CallErrorKind>>>;

/// A plugin whose drain follows a script, the last step for good.
#[derive(Debug)]
struct Plugged(Script);

impl Drains for Plugged {
    fn drain(&self, context: DrainContext) -> BoxFuture<'_, Result<Step, CallError>> {
        let next = {
            let mut script = self.0.lock().unwrap();
            if script.len() > 1 {
                script.pop_front().unwrap()
            } else {
                script[0].clone()
            }
        };
        Box::pin(async move {
            let next = next.map_err(|kind| CallError {
                plugin: "db".to_owned(),
                function: "lifecycle.drain",
                kind,
            })?;
            Ok(Step {
                next,
                note: format!("step {} for {}", context.attempt / 2, context.reason),
            })
        })
    }
}

/// Notes what it is asked; a restart takes the workload down and brings it back.
#[derive(Debug, Default)]
struct Control {
    asked: Mutex<Vec<String>>,
    workload: Mutex<Option<Workload>>,
    refuses: bool,
    /// Another replica has its turn for ever.
    is_held_up: bool,
}

/// Somebody who listens on a port.
#[derive(Debug)]
struct Workload {
    port: u16,
    serving: JoinSet<()>,
}

impl Workload {
    async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = axum::Router::new().route("/leave", axum::routing::post(|| async { "left" }));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, serving }
    }

    async fn stop(&mut self) {
        self.serving.shutdown().await;
    }
}

impl WorkloadControl for Control {
    fn signal(&self, signal: Signal) -> BoxFuture<'_, Result<(), ControlError>> {
        self.asked
            .lock()
            .unwrap()
            .push(format!("signal {signal:?}"));
        Box::pin(async { Ok(()) })
    }

    fn restart<'a>(&'a self, reason: &'a str) -> BoxFuture<'a, Result<(), ControlError>> {
        self.asked.lock().unwrap().push(format!("restart {reason}"));
        Box::pin(async move {
            if self.refuses {
                return Err(ControlError::NotVisible {
                    reason: "the pod does not share one process namespace".to_owned(),
                });
            }
            let workload = self.workload.lock().unwrap().take();
            if let Some(mut workload) = workload {
                workload.stop().await;
            }
            Ok(())
        })
    }

    fn acquire_turn<'a>(
        &'a self,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<TurnGuard, ControlError>> {
        self.asked.lock().unwrap().push(format!("turn {reason}"));
        Box::pin(async {
            if self.is_held_up {
                std::future::pending::<()>().await;
            }
            Ok(TurnGuard::uncoordinated())
        })
    }
}

struct Pod {
    lifecycle: Lifecycle,
    timeline: Timeline,
    control: Arc<Control>,
    health: watch::Sender<Arc<HealthReport>>,
    tasks: Tasks,
    _channels: (watch::Sender<Arc<Loaded>>, watch::Sender<Arc<PeerSet>>),
}

fn pod(
    script: Option<Vec<Result<Next, CallErrorKind>>>,
    control: Control,
    change: impl FnOnce(&mut Profile),
) -> Pod {
    let mut loaded = fixture::loaded();
    let profile = Arc::get_mut(&mut loaded.profile).unwrap();
    profile.workload.ports.clear();
    change(profile);
    let timeline = Timeline::in_memory();
    let control = Arc::new(control);
    let (loaded, loaded_seen) = watch::channel(Arc::new(loaded));
    let peers = fixture::peers_of(2, 2);
    let (peers, peers_seen) = watch::channel(Arc::new(peers));
    let (health, health_seen) = watch::channel(Arc::new(health::initial()));
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let setup = LifecycleSetup {
        workload_host: "127.0.0.1".to_owned(),
        grace_period: Duration::from_secs(30),
        plugin: script
            .map(|script| Arc::new(Plugged(Mutex::new(script.into()))) as Arc<dyn Drains>),
        control: control.clone(),
        loaded: loaded_seen,
        peers: peers_seen,
        health: health_seen,
        timeline: timeline.clone(),
        recorder: Recorder::new(),
    };
    let lifecycle = Lifecycle::new(setup, tasks.clone());
    let running = lifecycle.clone();
    tasks.spawn("lifecycle", async move { running.run(shutdown).await });
    Pod {
        lifecycle,
        timeline,
        control,
        health,
        tasks,
        _channels: (loaded, peers),
    }
}

impl Pod {
    fn told(&self) -> Vec<String> {
        self.timeline
            .since(0)
            .iter()
            .map(|entry| entry.message.clone())
            .collect()
    }

    async fn until_told(&self, text: &str) {
        let mut follow = self.timeline.subscribe_after(0);
        let found = async {
            while !follow
                .next()
                .await
                .iter()
                .any(|entry| entry.message.contains(text))
            {}
        };
        tokio::time::timeout(Duration::from_mins(1), found)
            .await
            .unwrap_or_else(|_| panic!("`{text}` is not among {:?}", self.told()));
    }

    async fn until_phase(&self, wanted: &str) {
        let mut phase = self.lifecycle.phase();
        tokio::time::timeout(
            Duration::from_mins(1),
            phase.wait_for(|phase| phase.as_str() == wanted),
        )
        .await
        .expect(wanted)
        .unwrap();
    }

    async fn open(&self) {
        let mut report = health::initial();
        report.start.pass = true;
        self.health.send_replace(Arc::new(report));
        self.until_phase("running").await;
    }

    /// Waits until no restart is under way.
    async fn until_idle(&self) {
        let idle = async {
            while self.tasks.still_running().contains(&"restart".to_owned()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), idle)
            .await
            .expect("the restart ends");
    }

    fn set_ready(&self, ready: bool) {
        self.health.send_modify(|report| {
            Arc::make_mut(report).readiness.pass = ready;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_unready_at_once_and_takes_its_steps_in_order() {
    let pod = pod(
        Some(vec![
            Ok(Next::AgainIn(Duration::from_millis(500))),
            Ok(Next::AgainIn(Duration::from_millis(500))),
            Ok(Next::Done),
        ]),
        Control::default(),
        |profile| {
            profile.drain.notice = Duration::from_secs(3);
            profile.drain.signal = Some(Signal::Int);
        },
    );
    pod.open().await;
    let drained = pod.lifecycle.drain(DrainReason::ScaleDown, After::Stop);
    let mut drained = std::pin::pin!(drained);
    assert!(futures_util::poll!(&mut drained).is_pending());
    assert_eq!(pod.lifecycle.phase().borrow().as_str(), "draining");
    let outcome = drained.await;
    assert!(outcome.complete);
    assert_eq!(outcome.took_ms, 4000);
    let steps: Vec<(&str, &str)> = outcome
        .steps
        .iter()
        .map(|step| (step.step, step.note.as_str()))
        .collect();
    assert_eq!(
        steps,
        [
            ("notice", "clients and endpoints had time to notice"),
            ("plugin", "step 0 for scale-down"),
            ("plugin", "step 1 for scale-down"),
            ("signal", "SIGINT to the workload"),
        ]
    );
    assert_eq!(pod.lifecycle.phase().borrow().as_str(), "drained");
    assert_eq!(*pod.control.asked.lock().unwrap(), ["signal Int"]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_second_joins_the_first_and_who_asks_later_hears_of_it() {
    let pod = pod(Some(vec![Ok(Next::Done)]), Control::default(), |_| {});
    pod.open().await;
    let (first, second) = tokio::join!(
        pod.lifecycle.drain(DrainReason::Manual, After::Stop),
        pod.lifecycle.drain(DrainReason::Unknown, After::Stop),
    );
    assert!(Arc::ptr_eq(&first, &second));
    let third = pod
        .lifecycle
        .drain(DrainReason::ScaleDown, After::Stop)
        .await;
    assert_eq!(third.reason, DrainReason::Manual);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_profile_and_grace_period_holds_whatever_the_plugin_says() {
    for (timeout, expected) in [(20, 20_000), (60, 28_000)] {
        let script = vec![Ok(Next::AgainIn(Duration::from_secs(7)))];
        let pod = pod(Some(script), Control::default(), |profile| {
            profile.drain.timeout = Duration::from_secs(timeout);
        });
        pod.open().await;
        let outcome = pod.lifecycle.drain(DrainReason::Manual, After::Stop).await;
        assert_eq!(outcome.took_ms, expected);
        assert!(!outcome.complete);
        assert_eq!(outcome.steps.last().unwrap().result, StepResult::OutOfTime);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_fails_is_told_and_the_drain_ends_all_the_same() {
    let failure = Failure::new(FailureKind::Conflict, "this would break the quorum");
    let table = [
        (
            Ok(Next::Failed(failure)),
            "plugin: conflict: this would break the quorum",
        ),
        (
            Err(CallErrorKind::Trap("unreachable".to_owned())),
            "plugin: plugin `db`, lifecycle.drain: it trapped: unreachable",
        ),
    ];
    for (step, told) in table {
        let pod = pod(Some(vec![step]), Control::default(), |_| {});
        pod.open().await;
        let outcome = pod.lifecycle.drain(DrainReason::Manual, After::Stop).await;
        assert!(!outcome.complete);
        assert!(
            pod.told().iter().any(|line| line == told),
            "{:?}",
            pod.told()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_without_whoever_asked_for_it() {
    let pod = pod(Some(vec![Ok(Next::Done)]), Control::default(), |_| {});
    pod.open().await;
    let asked = pod.lifecycle.drain(DrainReason::Manual, After::Stop);
    let gave_up = tokio::time::timeout(Duration::from_millis(1), asked).await;
    assert!(gave_up.is_err());
    pod.until_phase("drained").await;
}

#[tokio::test]
async fn declared_requests_are_sent_and_a_failed_one_does_not_end_the_drain() {
    let workload = Workload::start(0).await;
    let port = workload.port;
    let request = |path: &str| DrainRequest {
        port,
        method: Method::Post,
        path: path.to_owned(),
    };
    let pod = pod(None, Control::default(), |profile| {
        profile.drain.notice = Duration::ZERO;
        profile.drain.http = vec![request("/wrong"), request("/leave")];
    });
    pod.open().await;
    let outcome = pod.lifecycle.drain(DrainReason::Manual, After::Stop).await;
    let results: Vec<StepResult> = outcome.steps.iter().map(|step| step.result).collect();
    assert_eq!(results, [StepResult::Failed, StepResult::Done]);
}

#[tokio::test]
async fn a_restart_is_drained_in_turn_and_done_when_the_replica_is_ready_again() {
    let workload = Workload::start(0).await;
    let port = workload.port;
    let control = Control {
        workload: Mutex::new(Some(workload)),
        ..Control::default()
    };
    let pod = pod(Some(vec![Ok(Next::Done)]), control, |profile| {
        profile.drain.notice = Duration::ZERO;
        profile.workload.ports = [("api".to_owned(), port)].into();
    });
    pod.open().await;
    pod.set_ready(true);
    let restart = pod.lifecycle.request_restart("new files");
    pod.until_phase("drained").await;
    pod.set_ready(false);
    pod.until_phase("running").await;
    pod.set_ready(true);
    pod.until_told("is ready, after").await;
    assert_eq!(restart.await, Ok(()));
    assert_eq!(
        *pod.control.asked.lock().unwrap(),
        ["turn new files", "restart new files"]
    );
}

#[tokio::test]
async fn a_workload_that_ends_by_its_own_drain_is_not_restarted_twice() {
    let mut workload = Workload::start(0).await;
    let port = workload.port;
    let pod = pod(
        Some(vec![
            Ok(Next::AgainIn(Duration::from_millis(300))),
            Ok(Next::Done),
        ]),
        Control::default(),
        |profile| {
            profile.drain.notice = Duration::ZERO;
            profile.workload.ports = [("api".to_owned(), port)].into();
        },
    );
    pod.open().await;
    let restart = pod.lifecycle.request_restart("new files");
    pod.until_phase("draining").await;
    workload.stop().await;
    pod.until_phase("running").await;
    pod.set_ready(true);
    pod.until_told("is ready, after").await;
    assert_eq!(restart.await, Ok(()));
    assert_eq!(*pod.control.asked.lock().unwrap(), ["turn new files"]);
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_ended_and_runs_again_before_its_plugin_looked_ends_the_drain() {
    let mut workload = Workload::start(0).await;
    let port = workload.port;
    let pod = pod(
        Some(vec![Ok(Next::AgainIn(Duration::from_secs(1)))]),
        Control::default(),
        |profile| {
            profile.drain.notice = Duration::ZERO;
            profile.drain.signal = Some(Signal::Term);
            profile.workload.ports = [("api".to_owned(), port)].into();
        },
    );
    pod.open().await;
    let restart = pod.lifecycle.request_restart("new files");
    pod.until_told("step 0").await;
    workload.stop().await;
    let _again = Workload::start(port).await;
    pod.until_phase("running").await;
    pod.set_ready(true);
    assert_eq!(restart.await, Ok(()));
    pod.until_told("plugin: the workload has ended, and runs again")
        .await;
    // Nobody stops the new one.
    assert_eq!(*pod.control.asked.lock().unwrap(), ["turn new files"]);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_restart_it_the_workload_serves_on_and_the_failure_is_told() {
    let control = Control {
        refuses: true,
        ..Control::default()
    };
    let pod = pod(None, control, |_| {});
    pod.open().await;
    let restart = pod.lifecycle.request_restart("new files");
    pod.until_told("the restart failed: the workload's process cannot be seen")
        .await;
    pod.until_phase("running").await;
    let failure = restart.await.unwrap_err();
    assert!(failure.problem.contains("cannot be seen"), "{failure}");
    assert!(!failure.try_again, "nothing will change by itself");
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_does_not_become_ready_is_restarted_again_in_the_same_turn() {
    let pod = pod(None, Control::default(), |profile| {
        profile.drain.notice = Duration::ZERO;
    });
    pod.open().await;
    let broken = pod.lifecycle.request_restart("broken files");
    assert_eq!(broken.await, Ok(()));
    let (first, second) = (
        pod.lifecycle.request_restart("the files before"),
        pod.lifecycle.request_restart("the files before, again"),
    );
    assert_eq!((first.await, second.await), (Ok(()), Ok(())));
    pod.set_ready(true);
    pod.until_told("is ready, after").await;
    assert_eq!(
        *pod.control.asked.lock().unwrap(),
        [
            "turn broken files",
            "restart broken files",
            "restart the files before, again"
        ]
    );
    // The turn was given back: the next restart has one of its own.
    pod.until_idle().await;
    assert_eq!(pod.lifecycle.request_restart("more").await, Ok(()));
    assert_eq!(
        pod.control.asked.lock().unwrap()[3..],
        ["turn more", "restart more"]
    );
}

#[tokio::test(start_paused = true)]
async fn before_the_workload_has_started_no_restart_is_needed() {
    let pod = pod(None, Control::default(), |_| {});
    let restart = pod.lifecycle.request_restart("new files");
    assert_eq!(restart.await, Ok(()));
    pod.until_told("no restart is needed").await;
    assert!(pod.control.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_leaves_is_not_restarted() {
    let pod = pod(None, Control::default(), |profile| {
        profile.drain.notice = Duration::from_secs(5);
    });
    pod.open().await;
    let restart = pod.lifecycle.request_restart("new files");
    pod.until_phase("draining").await;
    pod.lifecycle
        .drain(DrainReason::ScaleDown, After::Stop)
        .await;
    pod.until_told("this replica is leaving").await;
    assert_eq!(restart.await, Ok(()));
    assert_eq!(pod.lifecycle.phase().borrow().as_str(), "drained");
    assert_eq!(*pod.control.asked.lock().unwrap(), ["turn new files"]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_leaves_waits_for_no_turn() {
    let control = Control {
        is_held_up: true,
        ..Control::default()
    };
    let pod = pod(None, control, |_| {});
    pod.open().await;
    let restart = pod.lifecycle.request_restart("new files");
    pod.until_told("a restart of the workload is wanted").await;
    pod.lifecycle
        .drain(DrainReason::ScaleDown, After::Stop)
        .await;
    assert_eq!(restart.await, Ok(()));
    pod.until_idle().await;
}

#[tokio::test]
async fn a_workload_that_comes_back_after_a_drain_may_serve_again() {
    let mut workload = Workload::start(0).await;
    let port = workload.port;
    let pod = pod(None, Control::default(), |profile| {
        profile.drain.notice = Duration::ZERO;
        profile.workload.ports = [("api".to_owned(), port)].into();
    });
    pod.open().await;
    pod.lifecycle.drain(DrainReason::Unknown, After::Stop).await;
    workload.stop().await;
    pod.until_told("the drained workload has ended").await;
    let _workload = Workload::start(port).await;
    pod.until_phase("running").await;
    assert!(pod.tasks.still_running().contains(&"lifecycle".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_is_one_too_many_leaves_for_a_scale_down() {
    let pod = pod(None, Control::default(), |_| {});
    assert_eq!(pod.lifecycle.likely_reason(), DrainReason::ScaleDown);
}
