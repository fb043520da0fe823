//! Labels and annotations by somebody who wants to harm: nothing panics, and nothing that they say gets
//! into the pod unless the grammar of its key allows it.

use std::collections::BTreeSet;

use outrigger_injector::annotation::{KEYS, PREFIX, Place, check};
use outrigger_injector::{Decision, Injection, patch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::cases::World;
use crate::{here, yaml};

/// What ends a text, a line, a path or an argument, or looks like something else.
const NASTY: &[&str] = &[
    "\"",
    "'",
    "\\",
    "\n",
    "\r\n",
    "\0",
    "\t",
    " ",
    "`id`",
    "$(id)",
    "${A}",
    "{{ self }}",
    "../",
    ";",
    "|",
    "&",
    "<",
    ">",
    "#",
    "\u{1b}[2J",
    "\u{202e}",
    "\u{feff}",
    "ß",
    "%00",
    "*",
];

/// A pod that asks for the sidecar, and the world around it.
fn plain() -> (World, Value) {
    let mut pod = yaml::read(&here("tests/golden/annotations-all/pod.yaml"));
    pod["metadata"]["annotations"] = json!({"outrigger.dev/profile": "plain"});
    (World::usual().with_profiles(), pod)
}

fn injection(world: &World, pod: &Value) -> Option<Box<Injection>> {
    match world.decide(pod).decision {
        Decision::Inject(injection) => Some(injection),
        Decision::Skip(_) => None,
        Decision::Deny(denial) => {
            let told = denial.to_string();
            assert!(
                !told.chars().any(|c| c.is_control() && c != '\n'),
                "{told:?}"
            );
            None
        }
    }
}

/// Every text that is put into a pod.
fn texts(injection: &Injection) -> BTreeSet<String> {
    fn collect(value: &Value, all: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                all.insert(text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, all)),
            Value::Object(map) => {
                for (key, value) in map {
                    all.insert(key.clone());
                    collect(value, all);
                }
            }
            _ => {}
        }
    }
    let mut all: BTreeSet<String> = [&injection.workload, &injection.profile]
        .map(String::clone)
        .into();
    all.extend([injection.profile_digest.clone(), injection.hash.clone()]);
    for (key, value) in &injection.annotations {
        all.extend([key.clone(), value.clone()]);
    }
    let lists = [&injection.volumes, &injection.mounts, &injection.env];
    for value in lists.into_iter().flatten() {
        collect(value, &mut all);
    }
    for value in injection.pre_stop.iter().chain([&injection.sidecar]) {
        collect(value, &mut all);
    }
    all
}

/// Values that the key allows, so that many pods come through.
fn allowed(name: &str) -> Vec<String> {
    let key = KEYS.iter().find(|key| key.name == name);
    let examples = key.map(|key| key.grammar.examples()).unwrap_or_default();
    let examples = examples.split('`').skip(1).step_by(2);
    examples.map(str::to_owned).collect()
}

/// Keys that choose which profile it is have hostile values alone: another profile is another injection.
fn chooses_a_profile(name: &str) -> bool {
    ["profile", "workload", "inject", "container"].contains(&name)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => select(KEYS).prop_map(|key| key.name.to_owned()),
        1 => ".{0,20}",
        1 => (select(KEYS), select(NASTY)).prop_map(|(key, nasty)| format!("{}{nasty}", key.name)),
    ]
}

fn value(name: &str) -> impl Strategy<Value = Value> + use<> {
    let mut good = allowed(name);
    let plain = if chooses_a_profile(name) || good.is_empty() {
        vec![String::new()]
    } else {
        good.clone()
    };
    good.push("a".to_owned());
    prop_oneof![
        6 => select(plain).prop_map(Value::from),
        2 => (select(good), select(NASTY), any::<prop::sample::Index>()).prop_map(|(good, nasty, at)| {
            let at = at.index(good.len() + 1);
            json!(format!("{}{nasty}{}", &good[..at], &good[at..]))
        }),
        1 => ".{0,60}".prop_map(Value::from),
        1 => "[0-9a-z.:/@=,%~_\\[\\]-]{0,80}".prop_map(Value::from),
        1 => select(vec![json!(null), json!(1), json!(true), json!(["a"]), json!({"a": "b"})]),
    ]
}

/// Labels and annotations under our prefix.
fn entries() -> impl Strategy<Value = Vec<(bool, String, Value)>> {
    let one = name().prop_flat_map(|name| {
        let place = KEYS.iter().find(|key| key.name == name);
        let label = place.is_some_and(|key| key.place == Place::Label);
        let astray = prop::bool::weighted(0.03);
        (
            astray.prop_map(move |astray| label != astray),
            Just(name.clone()),
            value(&name),
        )
    });
    vec(one, 0..4)
}

fn with(pod: &Value, entries: &[(bool, String, Value)]) -> Value {
    let mut pod = pod.clone();
    for (label, name, value) in entries {
        let place = if *label { "labels" } else { "annotations" };
        pod["metadata"][place][format!("{PREFIX}{name}")] = value.clone();
    }
    pod
}

#[test]
fn many_of_these_pods_come_through_and_many_do_not() {
    use proptest::strategy::ValueTree as _;
    let (world, pod) = plain();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut through = 0;
    for _ in 0..1000 {
        let entries = entries().new_tree(&mut runner).unwrap().current();
        through += usize::from(injection(&world, &with(&pod, &entries)).is_some());
    }
    assert!((200..800).contains(&through), "{through}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 5_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_injected_is_what_the_grammar_allows(entries in entries()) {
        let (world, before) = plain();
        let usual = texts(&injection(&world, &before).unwrap());
        let pod = with(&before, &entries);
        if let Some(injection) = injection(&world, &pod) {
            for text in texts(&injection).difference(&usual) {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@=,[]%~".contains(&b);
                prop_assert!(text.len() <= 512 && text.bytes().all(plain), "{:?}", text);
            }
            // Nothing was passed over: each key exists and has a value of its own grammar.
            for (label, name, value) in &entries {
                let place = if *label { Place::Label } else { Place::Annotation };
                prop_assert!(check(place, name, value).is_ok() || overridden(&entries, *label, name, value));
            }
            let mut patched = pod.clone();
            json_patch::patch(&mut patched, &patch(&pod, &injection)).unwrap();
        }
    }
}

/// Whether a later entry of the same place and name counts.
fn overridden(entries: &[(bool, String, Value)], label: bool, name: &str, value: &Value) -> bool {
    let last = entries
        .iter()
        .rev()
        .find(|one| one.0 == label && one.1 == name);
    last.is_some_and(|last| last.2 != *value)
}
