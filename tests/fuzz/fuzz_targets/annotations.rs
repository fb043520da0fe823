//! Any labels and annotations under our prefix either say what they mean or deny the pod with an advice;
//! what they put in is what the grammar allows, and can be taken out again.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use outrigger_fuzz::{agdb, is_harmless, pod, taken_out, texts};
use outrigger_injector::annotation::PREFIX;
use outrigger_injector::webhook::MemoryCatalog;
use outrigger_injector::{
    Decision, FixedEntropy, Operation, Owner, Request, Settings, decide, patch,
};
use serde_json::Value;

static CATALOG: LazyLock<MemoryCatalog> = LazyLock::new(agdb);
static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

/// What is injected without any of them.
static USUAL: LazyLock<BTreeSet<String>> = LazyLock::new(|| match decided(&pod()) {
    Decision::Inject(injection) => texts(&injection),
    other => panic!("{other:?}"),
});

fn decided(pod: &Value) -> Decision {
    let request = Request {
        namespace: "default",
        pod,
        operation: Operation::Create,
        dry_run: false,
        owner: Owner::of(pod),
    };
    decide(&request, &*CATALOG, &SETTINGS, &FixedEntropy(7)).decision
}

fuzz_target!(|entries: Vec<(bool, String, String)>| {
    let mut pod = pod();
    for (label, name, value) in entries {
        let place = if label { "labels" } else { "annotations" };
        pod["metadata"][place][format!("{PREFIX}{name}")] = value.into();
    }
    match decided(&pod) {
        Decision::Deny(denial) => {
            assert!(!denial.message.is_empty());
            let advised = denial.findings.iter().all(|finding| finding.hint.is_some());
            assert!(!denial.hint.is_empty() || advised);
        }
        Decision::Inject(injection) => {
            for text in texts(&injection).difference(&USUAL) {
                assert!(is_harmless(text), "{text:?}");
            }
            assert_eq!(taken_out(&pod, &patch(&pod, &injection)), pod);
        }
        Decision::Skip(_) => {}
    }
});
