//! What holds for every pod, whatever it looks like.

use outrigger_injector::{Decision, Injection, OPERATIONS_MAX, explain, patch, uninject};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use crate::cases::World;
use crate::generated::{Tape, anything, spoiled, world_and_pod};
use crate::golden::sound;

/// Pods for each property.
const PODS: u32 = 10_000;

fn tape() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 160)
}

fn injection(world: &World, pod: &Value) -> Option<Box<Injection>> {
    match world.decide(pod).decision {
        Decision::Inject(injection) => Some(injection),
        _ => None,
    }
}

/// Whether an item of a list is ours by its name.
fn ours(item: &Value) -> bool {
    let name = item["name"].as_str().unwrap_or_default();
    let rendered = item["valueFrom"]["fileKeyRef"]["volumeName"] == "outrigger-files";
    name.starts_with("outrigger-")
        || name.starts_with("OUTRIGGER_")
        || name == "outrigger"
        || rendered
}

/// The pod without what is ours by its name or place, and without lists that are empty or not there. The
/// other way to the same as `uninject`, which does not look at the status.
fn stripped(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(annotations) = pod["metadata"]["annotations"].as_object_mut() {
        annotations
            .retain(|key, _| key != "outrigger.dev/status" && !key.starts_with("prometheus.io/"));
    }
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.remove("shareProcessNamespace");
    for kind in ["volumes", "initContainers", "containers"] {
        let Some(items) = spec.get_mut(kind).and_then(Value::as_array_mut) else {
            spec.remove(kind);
            continue;
        };
        items.retain(|item| !ours(item));
        for container in items.iter_mut().filter(|_| kind == "containers") {
            let container = container.as_object_mut().unwrap();
            for list in ["volumeMounts", "env"] {
                if let Some(items) = container.get_mut(list).and_then(Value::as_array_mut) {
                    items.retain(|item| !ours(item));
                }
                if container
                    .get(list)
                    .is_some_and(|list| list.is_null() || *list == json!([]))
                {
                    container.remove(list);
                }
            }
            if container["name"] == "db" && container.contains_key("lifecycle") {
                let lifecycle = &mut container["lifecycle"];
                if lifecycle["preStop"]["httpGet"]["path"] == "/pre-stop"
                    || lifecycle["preStop"].is_null()
                {
                    lifecycle.as_object_mut().map(|all| all.remove("preStop"));
                }
                if lifecycle.is_null() || *lifecycle == json!({}) {
                    container.remove("lifecycle");
                }
            }
        }
        if items.is_empty() {
            spec.remove(kind);
        }
    }
    pod
}

/// Where a patch may write.
fn is_our_place(path: &str, pod: &Value) -> bool {
    let workload = pod["spec"]["containers"].as_array().unwrap();
    let index = workload.iter().position(|one| one["name"] == "db").unwrap();
    let workload = format!("/spec/containers/{index}/");
    if let Some(rest) = path.strip_prefix(&workload) {
        return ["volumeMounts", "env", "lifecycle"]
            .iter()
            .any(|field| rest.starts_with(field));
    }
    let fixed = [
        "/spec/volumes",
        "/spec/initContainers",
        "/spec/shareProcessNamespace",
    ];
    fixed.iter().any(|place| path.starts_with(place))
        || path == "/metadata/annotations"
        || path == "/metadata/annotations/outrigger.dev~1status"
        || path.starts_with("/metadata/annotations/prometheus.io~1")
}

#[test]
fn most_generated_pods_are_injected_and_all_kinds_of_outcomes_occur() {
    let mut outcomes = [0; 3];
    let mut restricted = 0;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..1000 {
        let bytes = tape().new_tree(&mut runner).unwrap().current();
        let (world, pod) = world_and_pod(&mut Tape::new(&bytes));
        restricted += usize::from(crate::pod_security::restricted(&pod).is_empty());
        match world.decide(&pod).decision {
            Decision::Inject(_) => outcomes[0] += 1,
            Decision::Skip(_) => outcomes[1] += 1,
            Decision::Deny(_) => outcomes[2] += 1,
        }
    }
    assert!(outcomes[0] > 500, "{outcomes:?}");
    assert!(outcomes[2] > 100, "{outcomes:?}");
    assert!(restricted > 300, "{restricted}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: PODS,
        // Pods that are refused do not count.
        max_global_rejects: 5 * PODS,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The patch applies, has at most 64 operations, touches only what is ours; applied twice it changes
    /// nothing; taken out again the original is left; what was restricted stays so.
    #[test]
    fn an_injected_pod_is_the_original_and_ours(bytes in tape()) {
        let (world, pod) = world_and_pod(&mut Tape::new(&bytes));
        let injection = injection(&world, &pod);
        prop_assume!(injection.is_some());
        let injection = injection.unwrap();
        let operations = patch(&pod, &injection);
        prop_assert!(operations.len() <= OPERATIONS_MAX, "{} operations", operations.len());
        for operation in &operations {
            let path = operation.path().as_str();
            let tests = matches!(operation, json_patch::PatchOperation::Test(_));
            prop_assert!(tests || is_our_place(path, &pod), "{path}");
        }
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &operations).unwrap();
        prop_assert_eq!(patched["spec"]["initContainers"].as_array().unwrap().iter().filter(|one| ours(one)).count(), 1);
        prop_assert_eq!(stripped(&patched), stripped(&pod));
        let wrong = sound(&world, &pod, &patched);
        prop_assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Whatever is asked, nothing panics, what is patched can be patched, and taking out can be applied.
    #[test]
    fn no_pod_is_so_strange_that_anything_panics(bytes in tape(), wild in any::<bool>()) {
        let mut tape = Tape::new(&bytes);
        let (world, pod) = if wild {
            (World::usual().with_profiles(), anything(&mut tape, 7))
        } else {
            spoiled(&mut tape)
        };
        if let Some(injection) = injection(&world, &pod) {
            let mut patched = pod.clone();
            let operations = patch(&pod, &injection);
            prop_assert!(operations.len() <= OPERATIONS_MAX);
            json_patch::patch(&mut patched, &operations).unwrap();
            prop_assert!(!explain(&pod, &injection).is_empty());
        }
        if let Ok(operations) = uninject(&pod) {
            let mut left = pod.clone();
            prop_assert!(operations.len() <= OPERATIONS_MAX);
            json_patch::patch(&mut left, &operations).unwrap();
        }
    }
}
