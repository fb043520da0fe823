//! What targets share: of the injector the facts and the pod of the agdb example, of the plugins the rest.

mod plugins;

pub use plugins::{lines, members, sound};

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::{Patch, PatchOperation};
use outrigger_injector::facts::{PodManagement, ProfileEntry, ServiceFacts, StatefulSetFacts};
use outrigger_injector::webhook::MemoryCatalog;
use outrigger_injector::{Injection, uninject};
use serde_json::Value;

const REVIEW: &str = include_str!("../../../host/injector/tests/data/review.json");
const PROFILE: &str = include_str!("../../../examples/agdb/outrigger.yaml");
const TEMPLATE: &str = include_str!("../../../examples/agdb/agdb_server.yaml");

/// What the example's manifests tell.
pub fn agdb() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::default();
    let files = [("outrigger.yaml", PROFILE), ("agdb_server.yaml", TEMPLATE)];
    let profile = ProfileEntry::read("agdb-outrigger", files, []);
    catalog.add_profile("default", "agdb-outrigger", profile);
    let set = StatefulSetFacts {
        uid: None,
        replicas: 3,
        start: 0,
        management: PodManagement::Parallel,
        service: "agdb".into(),
        claims: [].into(),
    };
    catalog.add_stateful_set("default", "agdb", set);
    let service = ServiceFacts {
        headless: true,
        publish_not_ready: true,
    };
    catalog.add_service("default", "agdb", service);
    catalog
}

/// The pod of a realistic review.
pub fn pod() -> Value {
    let mut review: Value = serde_json::from_str(REVIEW).unwrap();
    review["request"]["object"].take()
}

/// Every text that is put into a pod.
pub fn texts(injection: &Injection) -> BTreeSet<String> {
    fn collect(value: &Value, all: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                all.insert(text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, all)),
            Value::Object(map) => map.values().for_each(|value| collect(value, all)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    let lists = [&injection.volumes, &injection.mounts, &injection.env];
    let one = injection.pre_stop.iter().chain([&injection.sidecar]);
    lists
        .into_iter()
        .flatten()
        .chain(one)
        .for_each(|value| collect(value, &mut all));
    all.extend(injection.annotations.iter().map(|(_, value)| value.clone()));
    all
}

/// Whether a text cannot end what it is put into: a line, a path, a quoted text, an argument.
pub fn is_harmless(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@=,[]%~".contains(&b);
    text.len() <= 512 && text.bytes().all(plain)
}

/// The pod with a review's patch applied.
pub fn apply(pod: &Value, patch: &str) -> Value {
    let patch: Patch = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch).unwrap();
    patched
}

/// The pod with the operations applied, and with what they put in taken out again.
pub fn taken_out(pod: &Value, operations: &[PatchOperation]) -> Value {
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, operations).unwrap();
    let out = uninject(&pod).unwrap();
    json_patch::patch(&mut pod, &out).unwrap();
    pod
}
