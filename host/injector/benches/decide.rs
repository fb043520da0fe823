//! What a decision about a realistic pod costs, and its patch: the pure part of an admission review.
//!
//! `cargo bench -p outrigger-injector --bench decide`; `--smoke` only shows that it runs. Prints the least
//! and the median of many runs; the least says what it costs, the median how busy the machine was.

use std::sync::Arc;
use std::time::Duration;

use outrigger_injector::facts::{
    Catalog, PodManagement, ProfileEntry, ServiceFacts, StatefulSetFacts,
};
use outrigger_injector::{
    Decision, FixedEntropy, Operation, Owner, Request, Settings, builtin_profile, decide, patch,
};
use outrigger_profile::ByteSize;
use serde_json::Value;
use tokio::time::Instant;

const RUNS: usize = 20_000;

/// The review that the webhook's tests send, of an API server's own making.
const REVIEW: &str = include_str!("../tests/data/review.json");

/// agdb's StatefulSet.
struct World {
    profile: Arc<ProfileEntry>,
    stateful_set: Arc<StatefulSetFacts>,
}

impl Catalog for World {
    fn profile(&self, _: &str, _: &str) -> Option<Arc<ProfileEntry>> {
        Some(Arc::clone(&self.profile))
    }

    fn stateful_set(&self, _: &str, _: &str) -> Option<Arc<StatefulSetFacts>> {
        Some(Arc::clone(&self.stateful_set))
    }

    fn service(&self, _: &str, _: &str) -> Option<Arc<ServiceFacts>> {
        Some(Arc::new(ServiceFacts {
            headless: true,
            publish_not_ready: true,
        }))
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs = if std::env::args().any(|argument| argument == "--smoke") {
        10
    } else {
        RUNS
    };
    let review: Value = serde_json::from_str(REVIEW)?;
    let pod = review
        .pointer("/request/object")
        .ok_or("the review has no pod")?;
    let text = pod.to_string();
    let world = World {
        profile: builtin_profile("agdb").ok_or("agdb is built in")?,
        stateful_set: Arc::new(StatefulSetFacts {
            uid: None,
            replicas: 3,
            start: 0,
            management: PodManagement::Parallel,
            service: "agdb".to_owned(),
            claims: [("data".to_owned(), ByteSize(1 << 30))].into(),
        }),
    };
    let settings = Settings::default();
    let decision = |pod: &Value| {
        let request = Request {
            namespace: "default",
            pod,
            operation: Operation::Create,
            dry_run: false,
            owner: Owner::of(pod),
        };
        decide(&request, &world, &settings, &FixedEntropy(7)).decision
    };
    let Decision::Inject(injection) = decision(pod) else {
        return Err(format!("the pod is not injected: {:?}", decision(pod)).into());
    };
    let operations = patch(pod, &injection);
    println!(
        "pod of {} bytes, patch of {} operations and {} bytes",
        text.len(),
        operations.len(),
        serde_json::to_string(&operations)?.len()
    );
    measure("read the pod's JSON", runs, || {
        serde_json::from_str::<Value>(&text).is_ok()
    });
    measure("decide", runs, || {
        matches!(decision(pod), Decision::Inject(_))
    });
    measure("patch", runs, || !patch(pod, &injection).is_empty());
    measure("write the patch's JSON", runs, || {
        serde_json::to_string(&operations).is_ok()
    });
    measure("all of these", runs, || {
        let Ok(pod) = serde_json::from_str::<Value>(&text) else {
            return false;
        };
        let Decision::Inject(injection) = decision(&pod) else {
            return false;
        };
        serde_json::to_string(&patch(&pod, &injection)).is_ok()
    });
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn measure(what: &str, runs: usize, mut run: impl FnMut() -> bool) {
    let mut spans = Vec::with_capacity(runs);
    let mut right = true;
    for _ in 0..runs {
        let began = Instant::now();
        right &= run();
        spans.push(began.elapsed());
    }
    spans.sort();
    let at = |index: usize| spans.get(index).copied().unwrap_or(Duration::ZERO);
    let verdict = if right { "" } else { ", WRONG" };
    println!(
        "{what}: least {:?}, median {:?}{verdict}",
        at(0),
        at(runs / 2)
    );
}
