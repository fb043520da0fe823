//! Each way in which a guest can go wrong costs its own call, and is told apart.

use std::sync::Arc;
use std::time::Duration;

use outrigger_plugin_host::{
    Artifact, Batch, BatchBuilder, CallErrorKind, DrainContext, DrainReason, FailureKind, Family,
    MetricKind, Next, Probe, Scope, Status,
};
use outrigger_profile::ByteSize;
use serde_json::json;
use tokio::time::Instant;

use crate::fakes::{load, misbehaving, peers, setup};
use crate::guests;

/// The readiness probe goes wrong as `behaviour` says; the liveness probe after it goes well.
async fn fault_of(behaviour: &str) -> CallErrorKind {
    let plugin = misbehaving(&format!("calls-{behaviour}"), behaviour).await;
    let error = plugin
        .evaluate(Probe::Readiness, &peers())
        .await
        .unwrap_err();
    let next = plugin.evaluate(Probe::Liveness, &peers()).await.unwrap();
    assert_eq!(next.reasons[0].message, "replica 1 lives");
    error.kind
}

#[tokio::test]
async fn a_guest_that_traps_costs_its_call() {
    let kind = fault_of("trap").await;
    assert!(
        matches!(&kind, CallErrorKind::Trap(why) if why.contains("unreachable")),
        "{kind:?}"
    );
}

#[tokio::test]
async fn a_guest_that_loops_is_interrupted_after_its_cpu_time() {
    assert_eq!(
        fault_of("loop").await,
        CallErrorKind::CpuDeadline(Duration::from_millis(200))
    );
}

#[tokio::test]
async fn a_guest_that_allocates_without_end_meets_its_memory_limit() {
    assert_eq!(
        fault_of("allocate").await,
        CallErrorKind::MemoryLimit(16 << 20)
    );
}

#[tokio::test]
async fn a_limit_beyond_the_reserved_address_space_holds_too() {
    let mut setup = setup("calls-large", &json!({"behaviour": "allocate"}));
    setup.limits.memory = ByteSize(100 << 20);
    setup.limits.cpu = Duration::from_secs(10);
    let generation = load(guests::misbehaving(), setup).await.unwrap();
    let plugin = outrigger_plugin_host::Plugin::new(generation);
    let error = plugin
        .evaluate(Probe::Readiness, &peers())
        .await
        .unwrap_err();
    assert_eq!(error.kind, CallErrorKind::MemoryLimit(100 << 20));
}

#[tokio::test]
async fn a_guest_that_recurses_without_end_meets_the_end_of_its_stack() {
    let kind = fault_of("overflow-stack").await;
    assert!(
        matches!(&kind, CallErrorKind::Trap(why) if why.contains("stack") || why.contains("out of bounds")),
        "{kind:?}"
    );
}

#[tokio::test]
async fn a_guest_that_logs_for_ever_is_interrupted_and_its_lines_are_held_back() {
    let began = Instant::now();
    let kind = fault_of("log-for-ever").await;
    // On a busy machine the same time of a processor takes longer, and more is let through.
    let seconds = began.elapsed().as_secs() + 1;
    assert!(matches!(kind, CallErrorKind::CpuDeadline(_)), "{kind:?}");
    let lines = guests::logged("calls-log-for-ever");
    // The host's own lines say how many it dropped.
    let (its_own, hosts): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains("xxx"));
    assert!(
        hosts.iter().any(|line| line.contains("were dropped")),
        "{hosts:?}"
    );
    let allowed = 200 + 50 * usize::try_from(seconds).unwrap();
    assert!(
        its_own.len() <= allowed,
        "{} lines, {allowed} may be",
        its_own.len()
    );
    assert!(lines.iter().all(|line| line.len() < 5000));
}

#[tokio::test]
async fn an_answer_that_would_fill_the_host_is_refused() {
    let kind = fault_of("huge-answer").await;
    assert!(kind.is_fault(), "{kind:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_its_form_is_refused() {
    assert_eq!(
        fault_of("bad-text").await,
        CallErrorKind::BadAnswer(
            "its reason code `Not A Code!` is not 1 to 64 lower-case letters, digits and dashes"
                .into()
        )
    );
}

#[tokio::test]
async fn a_guest_that_waits_too_long_meets_its_wall_deadline() {
    let mut setup = setup("calls-wait", &json!({"behaviour": "wait-for-endpoint"}));
    setup.limits.wall = Duration::from_millis(500);
    let generation = load(guests::misbehaving(), setup).await.unwrap();
    let plugin = outrigger_plugin_host::Plugin::new(generation);
    let error = plugin
        .evaluate(Probe::Readiness, &peers())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin `calls-wait`, health.evaluate(readiness): it did not answer within 500 ms"
    );
}

#[tokio::test]
async fn a_busy_guest_does_not_hold_up_another_call() {
    let busy = misbehaving("calls-busy", "loop").await;
    let peers = peers();
    let looping = busy.evaluate(Probe::Readiness, &peers);
    let other = busy.evaluate(Probe::Liveness, &peers);
    tokio::pin!(looping, other);
    let first = tokio::select! {
        // The looping one is asked first.
        biased;
        _ = &mut looping => "looping",
        answer = &mut other => {
            answer.unwrap();
            "other"
        }
    };
    assert_eq!(first, "other");
}

#[tokio::test]
async fn a_failure_that_the_plugin_tells_is_an_answer_and_no_fault() {
    let plugin = misbehaving("calls-failure", "failure").await;
    for _ in 0..10 {
        let error = plugin
            .evaluate(Probe::Readiness, &peers())
            .await
            .unwrap_err();
        let CallErrorKind::Failure(failure) = error.kind else {
            panic!("{error}");
        };
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert_eq!(failure.message, "not yet");
        assert_eq!(failure.retry_after, Some(Duration::from_millis(250)));
    }
    assert_eq!(plugin.info().quarantined_ms, None);
    assert_eq!(plugin.info().failures["failure"], 10);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_keeps_failing_is_left_alone_and_the_others_go_on() {
    let plugin = misbehaving("calls-quarantine", "trap").await;
    let mut kinds = Vec::new();
    for _ in 0..5 {
        let error = plugin
            .evaluate(Probe::Readiness, &peers())
            .await
            .unwrap_err();
        kinds.push(error.kind.as_str());
    }
    assert_eq!(
        kinds,
        ["trap", "trap", "trap", "quarantined", "quarantined"]
    );
    assert!(plugin.evaluate(Probe::Liveness, &peers()).await.is_ok());
    let info = plugin.info();
    assert!(info.quarantined_ms.unwrap() <= 1000);
    assert_eq!(info.calls, 4);
    assert_eq!(info.failures["trap"], 3);
    assert_eq!(info.functions["health.evaluate(readiness)"].faults, 3);
    assert_eq!(
        serde_json::to_value(&info).unwrap()["last-error"]["kind"],
        "trap"
    );
}

#[tokio::test]
async fn what_a_plugin_does_not_export_is_said_so() {
    let generation = load(guests::minimal(), setup("calls-minimal", &json!({})))
        .await
        .unwrap();
    assert!(generation.interfaces().is_empty());
    let plugin = outrigger_plugin_host::Plugin::new(generation);
    let error = plugin.resolve(&peers()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::NotExported);
    assert_eq!(plugin.info().calls, 0);
}

#[tokio::test]
async fn every_function_of_the_border_carries_its_values_both_ways() {
    let plugin = misbehaving("calls-well", "well").await;
    let peers = peers();

    let verdict = plugin.evaluate(Probe::Startup, &peers).await.unwrap();
    assert_eq!(verdict.status, Status::Degraded);
    assert_eq!(verdict.reasons[0].scope, Scope::Cluster);
    assert_eq!(verdict.role.as_deref(), Some("follower"));
    assert_eq!(verdict.next_check, Some(Duration::from_millis(1500)));

    let plan = plugin.resolve(&peers).await.unwrap();
    assert_eq!(plan.outputs["said"], "well");
    assert_eq!(
        plan.seeds,
        [
            "db-0.db.default.svc.cluster.local",
            "db-2.db.default.svc.cluster.local"
        ]
    );

    let wanted = ["/etc/db.conf".to_owned()];
    let rendered = plugin.render(&peers, &wanted).await.unwrap();
    assert_eq!(
        rendered,
        [Artifact {
            path: "/etc/db.conf".into(),
            content: b"replicas = 3\n".to_vec()
        }]
    );
    let diagnostics = plugin.validate(&peers, &rendered).await.unwrap();
    assert_eq!(diagnostics[0].to_string(), "/etc/db.conf:13: seen");

    assert_eq!(plugin.wants().await.unwrap(), ["workload_*"]);
    let family = Family {
        name: "workload_lag".into(),
        help: "Entries behind.".into(),
        kind: MetricKind::Gauge,
    };
    let mut scraped = BatchBuilder::default();
    scraped.push(&family, &[("peer", "db-0")], 4.0);
    let derived = plugin.derive(&peers, &scraped.finish()).await.unwrap();
    let samples: Vec<_> = derived.samples().collect();
    assert_eq!(samples[0].labels, [("peer", "db-0")]);
    assert!((samples[0].value - 7.0).abs() < f64::EPSILON);

    let step = |attempt| {
        plugin.drain(DrainContext {
            reason: DrainReason::RollingUpdate,
            remaining: Duration::from_secs(8),
            elapsed: Duration::ZERO,
            attempt,
            now: Arc::new(peers.clone()),
        })
    };
    let first = step(0).await.unwrap();
    assert_eq!(first.next, Next::AgainIn(Duration::from_secs(4)));
    assert_eq!(first.note, "waits");
    assert_eq!(step(1).await.unwrap().next, Next::Done);
}

#[tokio::test]
async fn columns_that_do_not_fit_together_are_refused() {
    let plugin = misbehaving("calls-batch", "bad-batch").await;
    let error = plugin
        .derive(&peers(), &Batch::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.kind,
        CallErrorKind::BadAnswer(
            "the columns have different lengths: 1 families, 0 starts, 0 values".into()
        )
    );
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_at_once_and_harms_nobody() {
    let plugin = misbehaving("calls-dropped", "wait-for-endpoint").await;
    let peers = peers();
    for _ in 0..20 {
        let call = plugin.evaluate(Probe::Readiness, &peers);
        // More than run at the same time, so that each must really have ended.
        assert!(
            tokio::time::timeout(Duration::from_millis(5), call)
                .await
                .is_err()
        );
    }
    assert!(plugin.evaluate(Probe::Liveness, &peers).await.is_ok());
    assert_eq!(plugin.info().calls, 1);
}

#[tokio::test]
async fn calls_can_be_made_from_any_thread() {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }
    let plugin = misbehaving("calls-send", "well").await;
    let peers = peers();
    assert_send(plugin.evaluate(Probe::Readiness, &peers))
        .await
        .unwrap();
}
