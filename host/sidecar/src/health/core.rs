//! The pure core: what has been looked at so far, and what that makes of the replica.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_plugin_host::Probe;
use outrigger_profile::{self as profile, ClusterReasons, OnFailure};

use super::check::CheckFailure;
use super::outcome::{Asked, Outcome, Remembered, outcome};
use super::{HealthReport, ProbeReason, ProbeReport, Threshold};
use crate::lifecycle::Phase;

/// What one look at a probe found.
#[derive(Debug, Clone)]
pub struct Looked {
    /// The built-in checks that failed.
    pub failures: Vec<CheckFailure>,
    /// What came of asking the plugin.
    pub asked: Asked,
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// One probe so far.
#[derive(Debug, Clone)]
pub struct ProbeState {
    /// Its count.
    pub threshold: Threshold,
    newest: Outcome,
    checked_unix_ms: Option<u64>,
    /// When a failure was last counted.
    failed_unix_ms: Option<u64>,
}

impl ProbeState {
    fn new(passing: bool) -> Self {
        Self {
            threshold: Threshold::new(passing),
            newest: Outcome::default(),
            checked_unix_ms: None,
            failed_unix_ms: None,
        }
    }

    /// Whether a failure comes so soon after the one before that it is the same: a plugin may ask to be
    /// asked again before the period is over.
    fn is_same_failure(&self, unix_ms: u64, period: Duration) -> bool {
        // Less than the whole period, as clocks and timers are not that exact.
        let apart = period.mul_f64(0.9).as_millis();
        // A clock that was set back tells nothing: then it counts.
        let since = self
            .failed_unix_ms
            .and_then(|last| unix_ms.checked_sub(last));
        since.is_some_and(|since| u128::from(since) < apart)
    }

    fn report(&self, cluster_counts: bool, successes: u32) -> ProbeReport {
        let cluster = self.newest.cluster.iter().cloned().map(|reason| {
            if cluster_counts {
                reason
            } else {
                reason.note()
            }
        });
        let mut reasons: Vec<ProbeReason> = self
            .newest
            .own
            .iter()
            .cloned()
            .chain(cluster)
            .chain(self.newest.notes.iter().cloned())
            .collect();
        if !self.threshold.passing() && !reasons.iter().any(|reason| reason.counts) {
            // Nothing fails, and yet it has not turned.
            reasons.insert(0, self.not_yet(successes));
        }
        ProbeReport {
            pass: self.threshold.passing(),
            reasons,
            checked_unix_ms: self.checked_unix_ms,
        }
    }
}

impl ProbeState {
    fn not_yet(&self, successes: u32) -> ProbeReason {
        if self.checked_unix_ms.is_none() {
            return ProbeReason::outrigger("not-checked", "it has not been looked at yet");
        }
        let run = self.threshold.run();
        ProbeReason::outrigger(
            "counting",
            format!("it passed {run} times in a row, {successes} are needed"),
        )
    }
}

/// Everything that has been looked at since the workload's start.
#[derive(Debug, Clone)]
pub struct Core {
    /// The start gate; once open it stays open.
    start: ProbeReport,
    startup: ProbeState,
    readiness: ProbeState,
    liveness: ProbeState,
    remembered: BTreeMap<Probe, Remembered>,
    phase: Phase,
    /// Whether the process that had started is gone.
    is_gone: bool,
}

impl Default for Core {
    fn default() -> Self {
        Self {
            start: ProbeReport::failing("starting", "the sidecar is starting"),
            startup: ProbeState::new(false),
            readiness: ProbeState::new(false),
            liveness: ProbeState::new(true),
            remembered: BTreeMap::new(),
            phase: Phase::Starting,
            is_gone: false,
        }
    }
}

impl Core {
    /// Takes what the start gate says. It does not close again: the workload may be running.
    pub fn gate(&mut self, report: ProbeReport) {
        if !self.start.pass {
            self.start = report;
        }
    }

    /// Whether the start gate is open.
    pub fn gate_is_open(&self) -> bool {
        self.start.pass
    }

    /// Takes the replica's phase. A drain ends its time in service: it must become ready anew, and
    /// the workload that comes after it must start anew.
    pub fn phase(&mut self, phase: Phase) {
        if self.phase.may_serve() && !phase.may_serve() {
            self.readiness = ProbeState::new(false);
        }
        if !self.phase.may_serve() && phase.may_serve() {
            self.anew();
        }
        self.phase = phase;
    }

    /// Whether the workload has started and may serve: then its process is known.
    pub fn is_up(&self) -> bool {
        self.phase.may_serve() && self.startup.threshold.passing()
    }

    /// Takes that the workload's process is gone: the replica is out of service at once and until
    /// there is another, however many failures a probe may have.
    pub fn gone(&mut self) {
        self.readiness = ProbeState::new(false);
        self.remembered.remove(&Probe::Readiness);
        self.is_gone = true;
    }

    /// Takes that another process of the workload is there: it must start and become ready anew.
    pub fn anew(&mut self) {
        self.startup = ProbeState::new(false);
        self.readiness = ProbeState::new(false);
        self.liveness = ProbeState::new(true);
        self.remembered.clear();
        self.is_gone = false;
    }

    /// Whether this probe is looked at now, as the kubelet orders them: startup first, then the
    /// others; a replica that is being drained is not looked at.
    pub fn is_due(&self, probe: Probe) -> bool {
        let started = self.startup.threshold.passing();
        self.phase.may_serve()
            && self.start.pass
            && match probe {
                Probe::Startup => !started,
                Probe::Readiness | Probe::Liveness => started,
            }
    }

    /// Takes one look at a probe.
    pub fn look(
        &mut self,
        probe: Probe,
        health: &profile::Health,
        on_failure: OnFailure,
        looked: Looked,
    ) {
        let outcome = outcome(
            probe,
            &looked.failures,
            looked.asked,
            on_failure,
            self.remembered.get(&probe),
            looked.unix_ms,
        );
        if let Some(remember) = &outcome.remember {
            self.remembered.insert(probe, remember.clone());
        }
        let (state, rule) = match probe {
            Probe::Startup => (&mut self.startup, &health.startup),
            Probe::Readiness => (&mut self.readiness, &health.readiness),
            Probe::Liveness => (&mut self.liveness, &health.liveness),
        };
        // A cluster reason holds back who is not in service. Who is in service stays there unless
        // the profile says otherwise: else one shared fault would cut off all replicas at once.
        let cluster_counts = match health.cluster_reasons {
            ClusterReasons::Always => true,
            ClusterReasons::Gate => !state.threshold.passing(),
        };
        // Whether the process has started does not depend on the cluster: readiness waits for that.
        let cluster_counts = cluster_counts && probe == Probe::Readiness;
        let pass = outcome.own.is_empty() && (outcome.cluster.is_empty() || !cluster_counts);
        state.newest = outcome;
        state.checked_unix_ms = Some(looked.unix_ms);
        if !pass {
            // A workload that starts has as many periods as the profile says, however often somebody
            // looks meanwhile: else it would be restarted too soon.
            if probe == Probe::Startup && state.is_same_failure(looked.unix_ms, rule.period) {
                return;
            }
            state.failed_unix_ms = Some(looked.unix_ms);
        }
        state
            .threshold
            .step(pass, rule.failure_threshold, rule.success_threshold);
    }

    /// What all of it makes of the replica.
    pub fn report(&self, health: &profile::Health) -> HealthReport {
        let counts = |state: &ProbeState| match health.cluster_reasons {
            ClusterReasons::Always => true,
            ClusterReasons::Gate => !state.threshold.passing(),
        };
        let startup = self.startup.report(false, health.startup.success_threshold);
        let mut readiness = self
            .readiness
            .report(counts(&self.readiness), health.readiness.success_threshold);
        let mut liveness = self
            .liveness
            .report(false, health.liveness.success_threshold);
        let waits = !self.phase.may_serve() || !self.start.pass || !startup.pass;
        if waits {
            // What comes below says why it is not looked at.
            readiness
                .reasons
                .retain(|reason| reason.code != "not-checked");
        }
        if !self.phase.may_serve() {
            readiness.pass = false;
            readiness.reasons.insert(
                0,
                ProbeReason::outrigger(self.phase.as_str(), self.why_not()),
            );
            // Its workload may be stopped on purpose.
            liveness.pass = true;
        } else if !self.start.pass {
            readiness.pass = false;
            readiness.reasons.insert(
                0,
                ProbeReason::outrigger("start-gate", "the workload is held back"),
            );
        } else if !startup.pass {
            readiness.pass = false;
            readiness.reasons.insert(
                0,
                ProbeReason::outrigger("not-started", "the startup probe has not passed"),
            );
            let failures = self.startup.threshold.run();
            if self.startup.checked_unix_ms.is_some()
                && failures >= health.startup.failure_threshold.max(1)
            {
                liveness.pass = false;
                liveness.reasons.insert(
                    0,
                    ProbeReason::outrigger(
                        "startup-failed",
                        format!("the startup probe failed {failures} times"),
                    ),
                );
            }
        }
        if self.is_gone && !waits {
            readiness.pass = false;
            readiness
                .reasons
                .retain(|reason| reason.code != "not-checked");
            readiness.reasons.insert(
                0,
                ProbeReason::outrigger("not-listening", "nobody listens on its ports any more"),
            );
        }
        let newest = &self.readiness.newest;
        HealthReport {
            start: self.start.clone(),
            startup,
            readiness,
            liveness,
            role: newest.role.clone(),
            attrs: newest.attrs.clone(),
            verdict_unix_ms: self
                .remembered
                .values()
                .map(|remembered| remembered.unix_ms)
                .max(),
        }
    }

    fn why_not(&self) -> String {
        match self.phase {
            Phase::Draining { reason, .. } => format!("it is being drained: {reason}"),
            Phase::Drained { reason } => format!("it is drained: {reason}"),
            Phase::Stopped | Phase::Starting | Phase::Running => "the sidecar is ending".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
