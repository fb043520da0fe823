use std::sync::Arc;

use outrigger_plugin_host::DrainReason;
use tokio::sync::watch;

use super::*;
use crate::fixture::well;
use crate::health::{HealthReport, ProbeReason, ProbeReport, ReasonScope};
use crate::lifecycle::Phase;

const LENGTH: Duration = Duration::from_mins(2);

fn failing(scope: ReasonScope, code: &str) -> ProbeReport {
    ProbeReport {
        pass: false,
        reasons: vec![ProbeReason {
            scope,
            code: code.to_owned(),
            message: format!("it is {code}"),
            counts: true,
        }],
        checked_unix_ms: Some(1),
    }
}

fn unready(scope: ReasonScope, code: &str) -> HealthReport {
    HealthReport {
        readiness: failing(scope, code),
        ..well()
    }
}

fn starting() -> HealthReport {
    HealthReport {
        startup: failing(ReasonScope::Own, "refused"),
        readiness: ProbeReport::failing("not-started", "the startup probe has not passed"),
        ..well()
    }
}

fn dead() -> HealthReport {
    HealthReport {
        liveness: ProbeReport::failing("startup-failed", "the startup probe failed 60 times"),
        ..starting()
    }
}

const SERVES: Phase = Phase::Running;
const DRAINED: Phase = Phase::Drained {
    reason: DrainReason::ConfigChange,
};

/// A replica's life after a change: what it is like from which second on.
type Life = Vec<(u64, HealthReport, Phase)>;

/// When which verdict comes, in seconds after the change.
async fn verdict(before: &HealthReport, patience: Patience, life: Life) -> Option<(u64, Verdict)> {
    let (health, health_seen) = watch::channel(Arc::new(before.clone()));
    let (phase, phase_seen) = watch::channel(SERVES);
    let vitals = Vitals {
        health: health_seen,
        phase: phase_seen,
    };
    let trial = Trial::new(vitals.standing(), LENGTH, patience)?;
    let mut watched = Watched::new(trial, vitals);
    let began = Instant::now();
    let live = async {
        for (second, report, now) in life {
            tokio::time::sleep_until(began + Duration::from_secs(second)).await;
            phase.send_replace(now);
            health.send_replace(Arc::new(report));
        }
        std::future::pending::<()>().await;
    };
    let lived = async {
        tokio::select! {
            biased;
            () = live => unreachable!("it lives on"),
            verdict = watched.verdict(None) => verdict,
        }
    };
    let verdict = tokio::time::timeout(Duration::from_hours(1), lived).await;
    verdict
        .ok()
        .map(|verdict| (began.elapsed().as_secs(), verdict))
}

fn back(why: &str) -> Verdict {
    Verdict::RollBack(format!("this replica {why}"))
}

#[tokio::test(start_paused = true)]
async fn a_change_after_which_all_stays_well_stays() {
    for patience in [Patience::None, Patience::Short, Patience::UntilTheEnd] {
        let life = vec![(0, well(), SERVES), (50, well(), SERVES)];
        let verdict = verdict(&well(), patience, life).await;
        assert_eq!(verdict, Some((120, Verdict::Stays)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_may_take_its_time_and_the_trial_begins_with_the_start() {
    let life = vec![
        (0, well(), DRAINED),
        (5, starting(), SERVES),
        (40, unready(ReasonScope::Own, "resyncing"), SERVES),
        (100, well(), SERVES),
    ];
    let verdict = verdict(&well(), Patience::UntilTheEnd, life).await;
    assert_eq!(verdict, Some((160, Verdict::Stays)));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_workload_that_is_not_ready_by_the_end_goes_back() {
    let life = vec![
        (0, starting(), SERVES),
        (10, unready(ReasonScope::Own, "resyncing"), SERVES),
    ];
    let verdict = verdict(&well(), Patience::UntilTheEnd, life).await;
    let why = "is not ready any more: it is resyncing (resyncing)";
    assert_eq!(verdict, Some((130, back(why))));
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_does_not_start_goes_back_at_once() {
    let life = vec![(0, starting(), SERVES), (60, dead(), SERVES)];
    let verdict = verdict(&well(), Patience::UntilTheEnd, life).await;
    let (at, verdict) = verdict.unwrap();
    assert_eq!(at, 60);
    assert!(
        matches!(&verdict, Verdict::RollBack(why) if why.contains("is not alive any more")),
        "{verdict:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_forgiven_a_moment_and_a_lasting_fall_is_not() {
    let short = vec![
        (5, unready(ReasonScope::Own, "reloading"), SERVES),
        (14, well(), SERVES),
    ];
    let stays = verdict(&well(), Patience::Short, short).await;
    assert_eq!(stays, Some((120, Verdict::Stays)));
    let lasting = vec![(5, unready(ReasonScope::Own, "refused"), SERVES)];
    let falls = verdict(&well(), Patience::Short, lasting).await;
    let why = "is not ready any more: it is refused (refused)";
    assert_eq!(falls, Some((15, back(why))));
}

#[tokio::test(start_paused = true)]
async fn at_its_very_end_a_trial_waits_for_what_has_just_fallen() {
    let fall = (119, unready(ReasonScope::Own, "refused"), SERVES);
    let recovers = vec![(0, well(), SERVES), fall.clone(), (125, well(), SERVES)];
    let stays = verdict(&well(), Patience::UntilTheEnd, recovers).await;
    assert_eq!(stays, Some((125, Verdict::Stays)));
    let falls = verdict(&well(), Patience::UntilTheEnd, vec![fall]).await;
    assert_eq!(falls.unwrap().0, 129);
}

#[tokio::test(start_paused = true)]
async fn what_the_cluster_suffers_or_a_drain_does_is_no_fall() {
    let drain = HealthReport {
        readiness: ProbeReport::failing("draining", "it is being drained"),
        ..well()
    };
    for report in [unready(ReasonScope::Cluster, "no-quorum"), drain] {
        let verdict = verdict(&well(), Patience::None, vec![(5, report, SERVES)]).await;
        assert_eq!(verdict, Some((120, Verdict::Stays)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_wrong_before_is_not_blamed_on_the_change() {
    let before = unready(ReasonScope::Own, "lagging");
    let after = vec![(5, unready(ReasonScope::Own, "resyncing"), SERVES)];
    let stays = verdict(&before, Patience::None, after).await;
    assert_eq!(
        stays,
        Some((120, Verdict::Stays)),
        "it was not ready before"
    );
    // It was alive, though.
    let dies = verdict(&before, Patience::None, vec![(5, dead(), SERVES)]).await;
    assert_eq!(dies.unwrap().0, 5);
    // Who was neither cannot fall.
    assert_eq!(verdict(&dead(), Patience::None, Vec::new()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_drained_replica_is_judged_when_it_serves_again() {
    let life = vec![(5, unready(ReasonScope::Own, "gone"), DRAINED)];
    assert_eq!(verdict(&well(), Patience::None, life).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_keeps_failing_is_a_fall_unless_it_failed_before() {
    let standing = |faults: &[(&'static str, u32)]| {
        let faults = PluginFaults::failing(faults, "it trapped");
        Standing::of(&well(), SERVES).with(faults)
    };
    let before = standing(&[("metrics.derive", 1)]);
    let mut trial = Trial::new(before, LENGTH, Patience::None).unwrap();
    let now = Instant::now();
    for bearable in [
        standing(&[("metrics.derive", 9)]),
        standing(&[("health.evaluate(readiness)", 2)]),
    ] {
        assert!(matches!(trial.look(now, &bearable), Look::GoesOn(_)));
    }
    let failing = standing(&[("health.evaluate(readiness)", 3)]);
    let why = "health.evaluate(readiness) of the plugin failed 3 times in a row: it trapped";
    assert_eq!(
        trial.look(now, &failing),
        Look::Over(Verdict::RollBack(why.to_owned()))
    );
}
