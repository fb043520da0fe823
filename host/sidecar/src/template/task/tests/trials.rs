//! What returns when health falls after a change, and what is not tried again.

use outrigger_telemetry::names;

use super::*;
use crate::health::ProbeReport;

/// A workload that does not start with what it was given.
fn dead() -> HealthReport {
    HealthReport {
        startup: ProbeReport::failing("refused", "nobody listens"),
        liveness: ProbeReport::failing("startup-failed", "the startup probe failed 60 times"),
        readiness: ProbeReport::failing("not-started", "the startup probe has not passed"),
        ..well()
    }
}

/// A template that renders, and with which the workload does not start.
const BROKEN: &str = "broken {{ replicas | hosts | join(',') }}\n";

impl Pod {
    /// A pod whose changed template is in place and was acted on.
    async fn with_a_broken_template() -> (Self, Running, String) {
        let pod = pod("keep-last");
        let mut running = pod.run();
        running.until(|state| state.gate.is_ready()).await;
        let before = pod.file();
        pod.started.send_replace(true);
        pod.loaded.send_replace(loaded(BROKEN, "keep-last", 2));
        running.until(|state| state.action.is_some()).await;
        assert!(pod.file().starts_with("broken db-0."));
        (pod, running, before)
    }

    /// A pod whose changed template has just taken the workload down.
    async fn after_a_broken_template() -> (Self, Running, String) {
        let (pod, running, before) = Self::with_a_broken_template().await;
        pod.health.send_replace(Arc::new(dead()));
        (pod, running, before)
    }

    fn trials(&self, result: &str) -> u64 {
        let labels = vec![("what", "files".to_owned()), ("result", result.to_owned())];
        let counted = self.recorder.recorded().counters;
        counted
            .get(&(names::TRIALS, labels))
            .copied()
            .unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn files_with_which_the_workload_does_not_start_are_rolled_back_and_acted_on_again() {
    let (pod, mut running, before) = Pod::after_a_broken_template().await;
    let state = running.until(|state| state.rolled_back.is_some()).await;
    assert_eq!((state.set, pod.file()), (Some(1), before.clone()));
    assert_eq!(
        state.rolled_back.as_ref().unwrap().findings.to_string(),
        "error: set 2 was rolled back: this replica is not alive any more: the startup probe failed 60 times (startup-failed)\n  hint: the profile and templates from before are in use: mend them, what was rolled back is not tried again"
    );
    running
        .until(|_| pod.taken() == ["restart", "restart"])
        .await;
    assert_eq!(pod.trials("rolled-back"), 1);
    // It is not tried again, however often it is rendered.
    pod.health.send_replace(Arc::new(well()));
    let state = running.handle.render().await.unwrap();
    assert_eq!((state.set, pod.file()), (Some(1), before));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(pod.taken().len(), 2, "{:?}", pod.told());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_roll_back_the_templates_from_before_follow_the_replicas() {
    let (pod, mut running, _) = Pod::after_a_broken_template().await;
    running.until(|state| state.rolled_back.is_some()).await;
    pod.scale(3);
    let state = running.until(|state| state.set == Some(3)).await;
    assert!(pod.file().starts_with("db-0.") && pod.file().contains("db-2."));
    assert!(state.rolled_back.is_some(), "it still holds");
    // What was mended is tried.
    pod.health.send_replace(Arc::new(well()));
    pod.loaded.send_replace(loaded("mended\n", "keep-last", 3));
    let state = running.until(|state| state.set == Some(4)).await;
    assert_eq!(pod.file(), "mended\n");
    assert!(state.rolled_back.is_none());
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert_eq!((pod.trials("stays"), pod.trials("rolled-back")), (1, 1));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_is_started_anew_does_not_try_again_what_was_rolled_back() {
    let (pod, mut running, before) = Pod::after_a_broken_template().await;
    running.until(|state| state.rolled_back.is_some()).await;
    running.end().await;
    let running = pod.run();
    let state = running.handle.render().await.unwrap();
    assert_eq!((state.set, pod.file()), (Some(1), before));
    assert!(state.rolled_back.is_some());
    pod.loaded.send_replace(loaded("mended\n", "keep-last", 3));
    running.handle.render().await.unwrap();
    assert_eq!(pod.file(), "mended\n");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_replicas_is_a_fact_and_is_not_rolled_back() {
    let pod = pod("keep-last");
    let mut running = pod.run();
    running.until(|state| state.gate.is_ready()).await;
    pod.started.send_replace(true);
    pod.scale(3);
    running.until(|state| state.action.is_some()).await;
    pod.health.send_replace(Arc::new(dead()));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(running.state.borrow().set, Some(2));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn two_changes_in_a_row_are_rolled_back_to_what_stood_before_both() {
    let (pod, mut running, before) = Pod::with_a_broken_template().await;
    pod.loaded
        .send_replace(loaded("broken too\n", "keep-last", 3));
    running.until(|_| pod.taken().len() == 2).await;
    pod.health.send_replace(Arc::new(dead()));
    let state = running.until(|state| state.rolled_back.is_some()).await;
    assert_eq!((state.set, pod.file()), (Some(1), before));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_comes_before_the_replica_has_recovered_is_on_trial_too() {
    let (pod, mut running, before) = Pod::after_a_broken_template().await;
    running.until(|state| state.rolled_back.is_some()).await;
    pod.loaded
        .send_replace(loaded("broken too\n", "keep-last", 3));
    running.until(|state| state.set == Some(3)).await;
    let state = running.until(|state| state.set == Some(1)).await;
    assert_eq!(pod.file(), before);
    assert!(state.rolled_back.is_some());
    assert_eq!(pod.trials("rolled-back"), 2);
    running.end().await;
}
