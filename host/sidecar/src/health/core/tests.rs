//! The design's paragraph "Health and drain", line by line.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_plugin_host::{DrainReason, Reason, Scope, Status, Verdict};
use outrigger_profile::{Health, Probe as Rule};

use super::*;

fn rule() -> Rule {
    Rule {
        checks: Vec::new(),
        plugin: true,
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        failure_threshold: 2,
        success_threshold: 1,
    }
}

fn health(cluster_reasons: ClusterReasons) -> Health {
    Health {
        cluster_reasons,
        startup: rule(),
        readiness: rule(),
        liveness: rule(),
    }
}

fn verdict(status: Status, reasons: &[(Scope, &str)], role: Option<&str>) -> Verdict {
    Verdict {
        status,
        reasons: reasons
            .iter()
            .map(|(scope, code)| Reason {
                scope: *scope,
                code: (*code).to_owned(),
                message: format!("it is {code}"),
            })
            .collect(),
        role: role.map(str::to_owned),
        attrs: BTreeMap::new(),
        next_check: None,
    }
}

fn well(role: &str) -> Asked {
    Asked::Said(verdict(Status::Pass, &[], Some(role)))
}

fn no_leader() -> Asked {
    Asked::Said(verdict(
        Status::Fail,
        &[(Scope::Cluster, "no-leader")],
        None,
    ))
}

fn resyncing() -> Asked {
    Asked::Said(verdict(
        Status::Fail,
        &[(Scope::Own, "resyncing")],
        Some("follower"),
    ))
}

/// A replica whose gate is open and whose workload has started.
struct Replica {
    core: Core,
    health: Health,
    on_failure: OnFailure,
    now: u64,
}

impl Replica {
    fn new(cluster_reasons: ClusterReasons, on_failure: OnFailure) -> Self {
        let mut core = Core::default();
        core.gate(ProbeReport::passing());
        core.phase(Phase::Running);
        let mut replica = Self {
            core,
            health: health(cluster_reasons),
            on_failure,
            now: 1000,
        };
        replica.look(Probe::Startup, Asked::Not);
        replica
    }

    fn look(&mut self, probe: Probe, asked: Asked) -> HealthReport {
        self.now += 1000;
        let looked = Looked {
            failures: Vec::new(),
            asked,
            unix_ms: self.now,
        };
        self.core.look(probe, &self.health, self.on_failure, looked);
        self.core.report(&self.health)
    }

    fn ready(&mut self, asked: Asked) -> HealthReport {
        self.look(Probe::Readiness, asked)
    }
}

fn gate() -> Replica {
    Replica::new(ClusterReasons::Gate, OnFailure::KeepLast)
}

fn codes(report: &ProbeReport) -> Vec<(&str, bool)> {
    report
        .reasons
        .iter()
        .map(|reason| (reason.code.as_str(), reason.counts))
        .collect()
}

#[test]
fn a_cluster_reason_holds_a_starting_replica_back() {
    let mut replica = gate();
    for _ in 0..5 {
        let report = replica.ready(no_leader());
        assert!(!report.readiness.pass);
        assert_eq!(codes(&report.readiness), [("no-leader", true)]);
    }
    assert!(replica.ready(well("follower")).readiness.pass);
}

#[test]
fn a_cluster_reason_leaves_a_ready_replica_in_service_and_is_told_at_once() {
    let mut replica = gate();
    replica.ready(well("leader"));
    for _ in 0..5 {
        let report = replica.ready(no_leader());
        assert!(report.readiness.pass);
        assert_eq!(codes(&report.readiness), [("no-leader", false)]);
        assert_eq!(report.role, None, "a leader without a quorum is no leader");
    }
}

#[test]
fn always_takes_a_ready_replica_out_of_service_after_the_threshold() {
    let mut replica = Replica::new(ClusterReasons::Always, OnFailure::KeepLast);
    replica.ready(well("leader"));
    assert!(replica.ready(no_leader()).readiness.pass);
    let report = replica.ready(no_leader());
    assert!(!report.readiness.pass);
    assert_eq!(codes(&report.readiness), [("no-leader", true)]);
}

#[test]
fn an_own_reason_always_counts_and_who_left_service_by_it_is_held_back_again() {
    let mut replica = gate();
    replica.ready(well("follower"));
    replica.ready(resyncing());
    assert!(!replica.ready(resyncing()).readiness.pass);
    assert!(!replica.ready(no_leader()).readiness.pass);
    assert!(replica.ready(well("follower")).readiness.pass);
}

#[test]
fn liveness_never_depends_on_the_cluster() {
    for mode in [ClusterReasons::Gate, ClusterReasons::Always] {
        let mut replica = Replica::new(mode, OnFailure::KeepLast);
        for _ in 0..5 {
            let report = replica.look(Probe::Liveness, no_leader());
            assert!(report.liveness.pass);
            assert_eq!(codes(&report.liveness), [("no-leader", false)]);
        }
        replica.look(Probe::Liveness, resyncing());
        assert!(!replica.look(Probe::Liveness, resyncing()).liveness.pass);
    }
}

#[test]
fn a_degraded_replica_is_in_service_with_its_reasons_shown() {
    let mut replica = gate();
    let degraded = verdict(
        Status::Degraded,
        &[(Scope::Own, "lag"), (Scope::Cluster, "one-missing")],
        Some("follower"),
    );
    let report = replica.ready(Asked::Said(degraded));
    assert!(report.readiness.pass);
    assert_eq!(
        codes(&report.readiness),
        [("lag", false), ("one-missing", false)]
    );
}

#[test]
fn a_failed_call_is_answered_as_the_profile_says() {
    let table = [
        (
            OnFailure::KeepLast,
            true,
            ("verdict-kept", false),
            Some("leader"),
        ),
        (OnFailure::Ignore, true, ("plugin-ignored", false), None),
        (OnFailure::Fail, false, ("plugin-failed", true), None),
    ];
    for (on_failure, pass, code, role) in table {
        let mut replica = Replica::new(ClusterReasons::Gate, on_failure);
        replica.ready(well("leader"));
        for _ in 0..3 {
            replica.ready(Asked::Failed("it trapped".to_owned()));
        }
        let report = replica.ready(Asked::Failed("it trapped".to_owned()));
        assert_eq!(report.readiness.pass, pass, "{on_failure:?}");
        assert_eq!(codes(&report.readiness), [code], "{on_failure:?}");
        assert_eq!(report.role.as_deref(), role, "{on_failure:?}");
    }
}

#[test]
fn the_verdict_that_stands_shows_its_age() {
    let mut replica = gate();
    replica.ready(resyncing());
    replica.ready(Asked::Failed("it trapped".to_owned()));
    let report = replica.ready(Asked::Said(verdict(Status::Unknown, &[], None)));
    assert!(!report.readiness.pass);
    assert_eq!(
        codes(&report.readiness),
        [("resyncing", true), ("verdict-kept", false)]
    );
    assert_eq!(
        report.readiness.reasons[1].message,
        "the verdict of 2 s ago stands: the plugin cannot tell"
    );
}

#[test]
fn without_any_verdict_yet_a_replica_is_neither_ready_nor_restarted() {
    let mut replica = gate();
    let failed = || Asked::Failed("it trapped".to_owned());
    for _ in 0..5 {
        assert!(!replica.ready(failed()).readiness.pass);
        assert!(replica.look(Probe::Liveness, failed()).liveness.pass);
    }
}

#[test]
fn a_failed_check_counts_beside_a_passing_verdict() {
    let mut replica = gate();
    let failure = CheckFailure {
        code: "not-answering",
        message: "port 80: no connection".to_owned(),
    };
    let looked = Looked {
        failures: vec![failure],
        asked: well("leader"),
        unix_ms: 5000,
    };
    replica.core.look(
        Probe::Readiness,
        &replica.health,
        OnFailure::KeepLast,
        looked,
    );
    let report = replica.core.report(&replica.health);
    assert!(!report.readiness.pass);
    assert_eq!(codes(&report.readiness), [("not-answering", true)]);
}

#[test]
fn nothing_is_looked_at_before_the_gate_opens_and_readiness_waits_for_startup() {
    let mut core = Core::default();
    let due = |core: &Core| {
        [Probe::Startup, Probe::Readiness, Probe::Liveness].map(|probe| core.is_due(probe))
    };
    assert_eq!(due(&core), [false, false, false]);
    core.gate(ProbeReport::failing("files-refused", "x"));
    assert_eq!(due(&core), [false, false, false]);
    core.gate(ProbeReport::passing());
    assert_eq!(due(&core), [true, false, false]);
    let report = core.report(&health(ClusterReasons::Gate));
    assert_eq!(codes(&report.readiness), [("not-started", true)]);
    let replica = gate();
    assert_eq!(due(&replica.core), [false, true, true]);
}

#[test]
fn an_open_gate_does_not_close_again() {
    let mut core = Core::default();
    core.gate(ProbeReport::passing());
    core.gate(ProbeReport::failing("files-refused", "x"));
    assert!(core.report(&health(ClusterReasons::Gate)).start.pass);
}

#[test]
fn who_looks_more_often_does_not_shorten_the_time_to_start() {
    let mut core = Core::default();
    core.gate(ProbeReport::passing());
    core.phase(Phase::Running);
    let health = health(ClusterReasons::Gate);
    let mut alive_at = |unix_ms: u64| {
        let looked = Looked {
            failures: Vec::new(),
            asked: resyncing(),
            unix_ms,
        };
        core.look(Probe::Startup, &health, OnFailure::KeepLast, looked);
        core.report(&health).liveness.pass
    };
    // Two failures are borne, one a second.
    for (unix_ms, alive) in [(0, true), (300, true), (600, true), (1000, false)] {
        assert_eq!(alive_at(unix_ms), alive, "{unix_ms}");
    }
}

#[test]
fn a_workload_that_never_starts_is_restarted_by_liveness() {
    let mut replica = gate();
    replica.core = Core::default();
    replica.core.gate(ProbeReport::passing());
    assert!(replica.look(Probe::Startup, resyncing()).liveness.pass);
    let report = replica.look(Probe::Startup, resyncing());
    assert!(!report.liveness.pass);
    assert_eq!(report.liveness.reasons[0].code, "startup-failed");
}

#[test]
fn a_drain_takes_the_replica_out_at_once_and_a_restart_lets_it_become_ready_anew() {
    let mut replica = gate();
    assert!(replica.ready(well("leader")).readiness.pass);
    replica.core.phase(Phase::Draining {
        reason: DrainReason::ConfigChange,
        deadline_unix_ms: 0,
    });
    let report = replica.core.report(&replica.health);
    assert!(!report.readiness.pass);
    assert_eq!(
        report.readiness.reasons[0].message,
        "it is being drained: config-change"
    );
    assert!(report.liveness.pass);
    assert!(!replica.core.is_due(Probe::Readiness));

    replica.core.phase(Phase::Running);
    assert!(!replica.core.report(&replica.health).readiness.pass);
    replica.look(Probe::Startup, Asked::Not);
    assert!(!replica.ready(no_leader()).readiness.pass);
    assert!(replica.ready(well("follower")).readiness.pass);
}
