//! Asks the workload and the plugin at the times the profile says, feeds the core and publishes what
//! it says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use outrigger_peers::PeerSet;
use outrigger_plugin_host::{CallErrorKind, Probe};
use outrigger_profile::{self as profile, OnFailure, Profile};
use outrigger_shutdown::Shutdown;
use outrigger_telemetry::names;
use tokio::sync::watch;
use tokio::time::Instant;

use super::check;
use super::core::{Core, Looked};
use super::gate::start_gate;
use super::outcome::Asked;
use super::told::changes;
use super::verdicts::Verdicts;
use super::{HealthReport, ProbeReport};
use crate::lifecycle::{Became, Phase, Place, Sockets};
use crate::metrics::Recorder;
use crate::reload::Loaded;
use crate::template::FilesState;
use crate::timeline::{Timeline, unix_ms};

/// The least time between two looks that a plugin can ask for.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(100);

/// Between two looks at the workload's listening sockets: less than a kubelet needs to start a container again.
const SOCKETS_EVERY: Duration = Duration::from_millis(250);

/// What health needs to know.
#[derive(Debug)]
pub struct HealthSetup {
    /// The address or name of this replica's own workload.
    pub workload_host: String,
    /// The plugin; none where the profile names none.
    pub verdicts: Option<Arc<dyn Verdicts>>,
    /// The profile.
    pub loaded: watch::Receiver<Arc<Loaded>>,
    /// Who is there.
    pub peers: watch::Receiver<Arc<PeerSet>>,
    /// The files and what the start waits for.
    pub files: watch::Receiver<Arc<FilesState>>,
    /// Where in its life the replica is.
    pub phase: watch::Receiver<Phase>,
    /// Where changes are told.
    pub timeline: Timeline,
    /// Where a workload that ended by itself is counted.
    pub recorder: Recorder,
    /// Where the role is published by itself, for those who need nothing else.
    pub role: watch::Sender<Option<String>>,
}

/// What is known before anything was looked at; what the channel of [`run`] starts with.
pub fn initial() -> HealthReport {
    HealthReport {
        start: ProbeReport::failing("starting", "the sidecar is starting"),
        startup: ProbeReport::default(),
        readiness: ProbeReport::failing("start-gate", "the workload is held back"),
        liveness: ProbeReport::passing(),
        ..HealthReport::default()
    }
}

/// Looks until the shutdown. Publishes a report whenever it differs from the one before, and tells
/// the timeline of each turn, reason and role once.
pub async fn run(setup: HealthSetup, out: watch::Sender<Arc<HealthReport>>, shutdown: Shutdown) {
    let runner = Runner {
        setup,
        core: Mutex::new(Core::default()),
        out,
        began: Instant::now(),
    };
    let probes = async {
        tokio::join!(
            runner.follow_gate(),
            runner.follow_phase(),
            runner.follow_process(),
            runner.follow_probe(Probe::Startup),
            runner.follow_probe(Probe::Readiness),
            runner.follow_probe(Probe::Liveness),
        )
    };
    tokio::select! {
        _ = probes => {}
        () = shutdown.triggered() => {}
    }
}

#[derive(Debug)]
struct Runner {
    setup: HealthSetup,
    core: Mutex<Core>,
    out: watch::Sender<Arc<HealthReport>>,
    began: Instant,
}

impl Runner {
    fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.setup.loaded.borrow().profile)
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // Nothing that could panic runs under this lock.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the core and publishes what comes of it.
    fn change(&self, change: impl FnOnce(&mut Core)) {
        let profile = self.profile();
        let report = {
            let mut core = self.core();
            change(&mut core);
            core.report(&profile.health)
        };
        let before = Arc::clone(&self.out.borrow());
        for told in changes(&before, &report) {
            let timeline = &self.setup.timeline;
            if told.is_news {
                timeline.record(told.kind, told.message, told.fields);
            } else {
                timeline.note(told.kind, told.message, told.fields);
            }
        }
        self.setup.role.send_if_modified(|role| {
            let other = *role != report.role;
            role.clone_from(&report.role);
            other
        });
        if *before != report {
            self.out.send_replace(Arc::new(report));
        }
    }

    /// Looks at the gate until it is open.
    async fn follow_gate(&self) {
        let mut files = self.setup.files.clone();
        let mut loaded = self.setup.loaded.clone();
        loop {
            let profile = Arc::clone(&loaded.borrow_and_update().profile);
            let waited = self.began.elapsed();
            let cap = profile.start.cap;
            let report = start_gate(&files.borrow_and_update(), waited, cap);
            self.change(|core| core.gate(report));
            if self.core().gate_is_open() {
                break;
            }
            let capped = async {
                match cap.checked_sub(waited) {
                    Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                    _ => std::future::pending().await,
                }
            };
            // A closed channel means that its room has ended, and with it the sidecar.
            let gone = tokio::select! {
                result = files.changed() => result.is_err(),
                result = loaded.changed() => result.is_err(),
                () = capped => false,
            };
            if gone {
                break;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn follow_phase(&self) {
        let mut phase = self.setup.phase.clone();
        loop {
            let now = *phase.borrow_and_update();
            self.change(|core| core.phase(now));
            if phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Notices that the workload's process went away or is another one, although no probe has failed often
    /// enough yet, or none at all. Without ports nothing is known of it.
    async fn follow_process(&self) {
        let mut known = Sockets::new();
        let mut is_gone = false;
        let mut is_silent = false;
        loop {
            tokio::time::sleep(SOCKETS_EVERY).await;
            if !self.core().is_up() {
                known.clear();
                is_gone = false;
                continue;
            }
            let place = Place::of(&self.setup.workload_host, &self.profile().workload);
            let now = match place.sockets() {
                Ok(now) => now,
                Err(error) => {
                    if !is_silent {
                        tracing::debug!(%error, "The kernel does not tell who listens");
                        is_silent = true;
                    }
                    continue;
                }
            };
            is_silent = false;
            let became = Became::of(&known, &now);
            match became {
                Became::Same => known = now,
                Became::Gone if is_gone => {}
                Became::Gone => {
                    let what = "the workload's process is gone";
                    self.setup.timeline.record("workload", what, []);
                    self.change(Core::gone);
                }
                Became::Others => {
                    let what = "the workload is another process than before: it starts anew";
                    self.setup.timeline.record("workload", what, []);
                    self.change(Core::anew);
                    known.clear();
                }
            }
            if became != Became::Same && !is_gone {
                self.setup.recorder.count(names::WORKLOAD_ENDED, &[]);
            }
            is_gone = became == Became::Gone;
        }
    }

    /// Looks at one probe for as long as it is due, and waits while it is not.
    async fn follow_probe(&self, probe: Probe) {
        loop {
            self.until_due(probe, true).await;
            tokio::select! {
                () = self.look_again_and_again(probe) => {}
                () = self.until_due(probe, false) => {}
            }
        }
    }

    /// Waits until this probe is due, or until it is not.
    async fn until_due(&self, probe: Probe, due: bool) {
        let mut report = self.out.subscribe();
        loop {
            report.mark_unchanged();
            if self.core().is_due(probe) == due {
                return;
            }
            report
                .changed()
                .await
                .expect("the sender lives as long as self");
        }
    }

    async fn look_again_and_again(&self, probe: Probe) {
        tokio::time::sleep(rule(&self.profile(), probe).initial_delay).await;
        loop {
            let began = Instant::now();
            let profile = self.profile();
            let (looked, again) = self.look(probe, &profile).await;
            let on_failure = profile
                .plugin
                .as_ref()
                .map_or(OnFailure::Ignore, |plugin| plugin.on_failure);
            self.change(|core| core.look(probe, &profile.health, on_failure, looked));
            let period = rule(&profile, probe).period;
            let pause = again.map_or(period, |again| again.clamp(LOOK_AGAIN_MIN, period * 10));
            tokio::time::sleep_until(began + pause).await;
        }
    }

    async fn look(&self, probe: Probe, profile: &Profile) -> (Looked, Option<Duration>) {
        let rule = rule(profile, probe);
        let host = &self.setup.workload_host;
        let checks = join_all(
            rule.checks
                .iter()
                .map(|check| check::run(check, host, rule.timeout)),
        );
        let (results, (asked, again)) = tokio::join!(checks, self.ask(probe, rule.plugin));
        let looked = Looked {
            failures: results.into_iter().filter_map(Result::err).collect(),
            asked,
            unix_ms: unix_ms(),
        };
        (looked, again)
    }

    async fn ask(&self, probe: Probe, wanted: bool) -> (Asked, Option<Duration>) {
        let Some(verdicts) = self.setup.verdicts.as_ref().filter(|_| wanted) else {
            return (Asked::Not, None);
        };
        let peers = Arc::clone(&self.setup.peers.borrow());
        match verdicts.evaluate(probe, peers).await {
            Ok(verdict) => {
                let again = verdict.next_check;
                (Asked::Said(verdict), again)
            }
            Err(error) if error.kind == CallErrorKind::NotExported => (Asked::Not, None),
            Err(error) => {
                // The plugin host has warned of it, and the timeline tells what stands instead.
                tracing::debug!(probe = probe.as_str(), %error, "The plugin gave no verdict");
                (Asked::Failed(error.to_string()), None)
            }
        }
    }
}

fn rule(profile: &Profile, probe: Probe) -> &profile::Probe {
    match probe {
        Probe::Startup => &profile.health.startup,
        Probe::Readiness => &profile.health.readiness,
        Probe::Liveness => &profile.health.liveness,
    }
}

#[cfg(test)]
mod tests;
