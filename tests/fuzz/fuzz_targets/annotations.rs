//! Any labels and annotations under our prefix either say what they mean or deny the pod with an advice;
//! what is put in can be taken out again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use outrigger_fuzz::{agdb, pod, taken_out};
use outrigger_injector::annotation::PREFIX;
use outrigger_injector::webhook::MemoryCatalog;
use outrigger_injector::{
    Decision, FixedEntropy, Operation, Owner, Request, Settings, decide, patch,
};

static CATALOG: LazyLock<MemoryCatalog> = LazyLock::new(agdb);
static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

fuzz_target!(|entries: Vec<(bool, String, String)>| {
    let mut pod = pod();
    for (label, name, value) in entries {
        let place = if label { "labels" } else { "annotations" };
        pod["metadata"][place][format!("{PREFIX}{name}")] = value.into();
    }
    let request = Request {
        namespace: "default",
        pod: &pod,
        operation: Operation::Create,
        dry_run: false,
        owner: Owner::of(&pod),
    };
    let outcome = decide(&request, &*CATALOG, &SETTINGS, &FixedEntropy(7));
    match outcome.decision {
        Decision::Deny(denial) => {
            assert!(!denial.message.is_empty());
            let advised = denial.findings.iter().all(|finding| finding.hint.is_some());
            assert!(!denial.hint.is_empty() || advised);
        }
        Decision::Inject(injection) => assert_eq!(taken_out(&pod, &patch(&pod, &injection)), pod),
        Decision::Skip(_) => {}
    }
});
