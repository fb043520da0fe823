use std::collections::VecDeque;

use outrigger_plugin_host::{BoxFuture, CallError, Reason, Scope, Status, Verdict};

use super::*;
use crate::fixture::{Channels, files};
use crate::template::Gate;

/// Answers readiness from a script, the last answer for good; passes everything else.
#[derive(Debug)]
struct Script(Mutex<VecDeque<Result<Verdict, CallErrorKind>>>);

impl Verdicts for Script {
    fn evaluate(
        &self,
        probe: Probe,
        _now: Arc<PeerSet>,
    ) -> BoxFuture<'_, Result<Verdict, CallError>> {
        let answer = if probe == Probe::Readiness {
            let mut script = self.0.lock().unwrap();
            if script.len() > 1 {
                script.pop_front().unwrap()
            } else {
                script[0].clone()
            }
        } else {
            Ok(verdict(Status::Pass, None, None))
        };
        Box::pin(async move {
            answer.map_err(|kind| CallError {
                plugin: "script".to_owned(),
                function: "health.evaluate",
                kind,
            })
        })
    }
}

fn verdict(status: Status, reason: Option<(Scope, &str)>, role: Option<&str>) -> Verdict {
    Verdict {
        status,
        reasons: reason
            .map(|(scope, code)| Reason {
                scope,
                code: code.to_owned(),
                message: format!("it is {code}"),
            })
            .into_iter()
            .collect(),
        role: role.map(str::to_owned),
        attrs: std::collections::BTreeMap::new(),
        next_check: None,
    }
}

struct Running {
    reports: watch::Receiver<Arc<HealthReport>>,
    channels: Channels,
    recorder: Recorder,
    _tasks: tokio::task::JoinSet<()>,
}

fn start(script: Vec<Result<Verdict, CallErrorKind>>, gate: Gate) -> Running {
    start_with(script, gate, |_| {})
}

fn start_with(
    script: Vec<Result<Verdict, CallErrorKind>>,
    gate: Gate,
    change: impl FnOnce(&mut Profile),
) -> Running {
    let channels = Channels::new(change);
    let recorder = Recorder::new();
    channels.files.send_replace(Arc::new(files(gate, Some(1))));
    let (out, reports) = watch::channel(Arc::new(initial()));
    let rooms = channels.rooms(None);
    let setup = HealthSetup {
        workload_host: "127.0.0.1".to_owned(),
        verdicts: Some(Arc::new(Script(Mutex::new(script.into())))),
        loaded: rooms.loaded,
        peers: rooms.peers,
        files: rooms.files,
        phase: rooms.phase,
        timeline: rooms.timeline,
        recorder: recorder.clone(),
        role: watch::Sender::new(None),
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(run(setup, out, Shutdown::new()));
    Running {
        reports,
        channels,
        recorder,
        _tasks: tasks,
    }
}

impl Running {
    fn told(&self) -> Vec<String> {
        self.channels
            .timeline
            .since(0)
            .iter()
            .map(|entry| entry.message.clone())
            .collect()
    }

    async fn until(&mut self, wanted: impl FnMut(&Arc<HealthReport>) -> bool) -> Arc<HealthReport> {
        let seen = tokio::time::timeout(Duration::from_mins(10), self.reports.wait_for(wanted));
        Arc::clone(&seen.await.expect("it comes to this").unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_once_however_often_it_is_seen() {
    let no_leader = || {
        Ok(verdict(
            Status::Fail,
            Some((Scope::Cluster, "no-leader")),
            None,
        ))
    };
    let leader = || Ok(verdict(Status::Pass, None, Some("leader")));
    let mut running = start(
        vec![
            no_leader(),
            no_leader(),
            leader(),
            leader(),
            leader(),
            Err(CallErrorKind::Trap("unreachable".into())),
            Err(CallErrorKind::Trap("unreachable".into())),
            no_leader(),
        ],
        Gate::Waiting("db-1 does not resolve yet".to_owned()),
    );
    running.until(|report| report.role.is_some()).await;
    running.until(|report| report.role.is_none()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(running.reports.borrow().readiness.pass);
    let start = running.told();
    assert_eq!(
        start,
        [
            "start gate fails: db-1 does not resolve yet (outrigger/start-held)",
            "start gate passes, though it starts all the same after 60 s: db-1 does not resolve yet (outrigger/start-capped)",
            "readiness fails: the startup probe has not passed (outrigger/not-started)",
            "startup passes",
            "readiness fails: it is no-leader (cluster/no-leader)",
            "readiness passes",
            "this replica is now leader",
            "readiness passes, though the verdict of 0 s ago stands: plugin `script`, health.evaluate: it trapped: unreachable (outrigger/verdict-kept)",
            "readiness passes, though it is no-leader (cluster/no-leader)",
            "this replica is no longer leader",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_turns_the_replica_unready_at_once_and_the_probes_rest() {
    let mut running = start(vec![Ok(verdict(Status::Pass, None, None))], Gate::Ready);
    running.until(|report| report.readiness.pass).await;
    let reason = outrigger_plugin_host::DrainReason::Manual;
    running.channels.phase.send_replace(Phase::Draining {
        reason,
        deadline_unix_ms: 0,
    });
    let began = Instant::now();
    let report = running.until(|report| !report.readiness.pass).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(report.readiness.reasons[0].code, "draining");
    running.channels.phase.send_replace(Phase::Running);
    running.until(|report| report.readiness.pass).await;
}

#[tokio::test(start_paused = true)]
async fn without_its_files_the_workload_is_held_back_beyond_the_cap() {
    let mut running = start(vec![Ok(verdict(Status::Pass, None, None))], Gate::Ready);
    let missing = Gate::Waiting("the template fails".to_owned());
    running
        .channels
        .files
        .send_replace(Arc::new(files(missing, None)));
    tokio::time::sleep(Duration::from_mins(5)).await;
    let report = Arc::clone(&running.reports.borrow());
    assert!(!report.start.pass);
    assert_eq!(report.start.reasons[0].message, "the template fails");
    running
        .channels
        .files
        .send_replace(Arc::new(files(Gate::Ready, Some(1))));
    running.until(|report| report.readiness.pass).await;
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_ended_is_out_of_service_at_once_and_starts_anew() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut running = start_with(
        vec![Ok(verdict(Status::Pass, None, None))],
        Gate::Ready,
        |profile| {
            let ports = &mut profile.workload.ports;
            ports.insert("api".to_owned(), address.port());
        },
    );
    running.until(|report| report.readiness.pass).await;
    tokio::time::sleep(SOCKETS_EVERY * 4).await;
    drop(listener);
    tokio::time::sleep(SOCKETS_EVERY * 2).await;
    // Another process in its place, as ready as it may look.
    let _again = std::net::TcpListener::bind(address).unwrap();
    tokio::time::sleep(SOCKETS_EVERY * 2).await;
    running.until(|report| report.readiness.pass).await;
    tokio::time::sleep(SOCKETS_EVERY * 4).await;
    let told = running.told();
    let is_turn = |line: &&String| line.starts_with("readiness ") || line.contains("workload");
    let turns: Vec<&String> = told.iter().filter(is_turn).collect();
    assert_eq!(
        turns,
        [
            "readiness fails: the startup probe has not passed (outrigger/not-started)",
            "readiness passes",
            "the workload's process is gone",
            "readiness fails: nobody listens on its ports any more (outrigger/not-listening)",
            "the workload is another process than before: it starts anew",
            "readiness fails: the startup probe has not passed (outrigger/not-started)",
            "readiness passes",
        ]
    );
    let counted = format!("{:?}", running.recorder.recorded());
    assert!(counted.contains("outrigger_workload_ended"), "{counted}");
}
