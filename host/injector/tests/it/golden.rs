//! Golden pairs: each folder of `tests/golden` is a case. `pod.yaml` goes in, with `around.yaml` where
//! something is unlike usual; out come `patch.json` and `patched.yaml`, or `denial.txt`, or `skip.txt`,
//! and `warnings.txt` where there are any. Profiles are folders of `tests/profiles`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use outrigger_injector::{Decision, DenyCode, FixedEntropy, explain, patch, uninject};
use serde_json::{Value, json};

use crate::cases::World;
use crate::{here, pod_security, stored, yaml};

/// The case whose every field is explained.
const EXPLAINED: &str = "agdb";

#[test]
fn pods_come_out_as_their_goldens_say() {
    let mut wrong = String::new();
    for case in cases() {
        for difference in run(&case) {
            writeln!(wrong, "{difference}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_refusal_has_a_case() {
    let mut seen: Vec<DenyCode> = Vec::new();
    for case in cases() {
        if let Decision::Deny(denial) = world(&case)
            .decide(&yaml::read(&case.join("pod.yaml")))
            .decision
        {
            seen.push(denial.code);
        }
    }
    let missing: Vec<_> = DenyCode::ALL
        .iter()
        .filter(|code| !seen.contains(code))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_cases_of_the_workloads_are_pods_of_the_examples() {
    for (case, example) in [
        ("agdb", "agdb/statefulset.yaml"),
        ("piko", "piko/statefulset.yaml"),
        ("tag", "tag/statefulset.yaml"),
        ("oxia-server", "oxia/server/statefulset.yaml"),
        ("oxia-coordinator", "oxia/coordinator/statefulset.yaml"),
        ("aistore-proxy", "aistore/proxy/statefulset.yaml"),
        ("aistore-target", "aistore/target/statefulset.yaml"),
    ] {
        let pod = yaml::read(&here("tests/golden").join(case).join("pod.yaml"));
        let example = yaml::read(&here("../../examples").join(example));
        is_of(&pod, &example["spec"]["template"]);
    }
}

/// What a template says, its pod has: the API server fills in the rest.
fn is_of(pod: &Value, template: &Value) {
    for place in ["/metadata/labels", "/metadata/annotations"] {
        for (key, value) in template.pointer(place).unwrap().as_object().unwrap() {
            assert_eq!(&pod.pointer(place).unwrap()[key], value, "{place}/{key}");
        }
    }
    for place in [
        "/spec/securityContext",
        "/spec/containers/0/securityContext",
    ] {
        assert_eq!(pod.pointer(place), template.pointer(place), "{place}");
    }
    assert_eq!(pod_security::restricted(pod), Vec::<String>::new());
    for place in [
        "/spec/containers/0/volumeMounts",
        "/spec/containers/0/ports",
        "/spec/containers/0/env",
        "/spec/volumes",
    ] {
        let there = pod.pointer(place).and_then(Value::as_array);
        let wanted = template.pointer(place).and_then(Value::as_array);
        for item in wanted.into_iter().flatten() {
            let mut there = there.into_iter().flatten();
            let found = there.any(|one| one["name"] == item["name"]);
            assert!(found, "{place}: {item}");
        }
    }
    for place in [
        "/spec/containers/0/image",
        "/spec/containers/0/args",
        "/spec/terminationGracePeriodSeconds",
    ] {
        if let Some(wanted) = template.pointer(place) {
            assert_eq!(pod.pointer(place), Some(wanted), "{place}");
        }
    }
}

fn cases() -> Vec<std::path::PathBuf> {
    let mut cases: Vec<_> = std::fs::read_dir(here("tests/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() > 40);
    cases
}

fn world(case: &Path) -> World {
    let around = case.join("around.yaml");
    let around = if around.exists() {
        yaml::read(&around)
    } else {
        json!({})
    };
    World::from_yaml(&around).with_profiles()
}

/// What is wrong with one case.
fn run(case: &Path) -> Vec<String> {
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    let pod = yaml::read(&case.join("pod.yaml"));
    let world = world(case);
    let outcome = world.decide(&pod);
    let mut files = BTreeMap::new();
    let mut wrong = Vec::new();
    match &outcome.decision {
        Decision::Inject(injection) => {
            let operations = patch(&pod, injection);
            let mut patched = pod.clone();
            json_patch::patch(&mut patched, &operations).unwrap();
            let lines: Vec<String> = operations
                .iter()
                .map(|one| serde_json::to_string(one).unwrap())
                .collect();
            files.insert("patch.json", format!("[\n{}\n]\n", lines.join(",\n")));
            files.insert("patched.yaml", yaml::show(&patched));
            if name == EXPLAINED {
                files.insert("explain.txt", explained(&explain(&pod, injection)));
            }
            wrong.extend(
                sound(&world, &pod, &patched)
                    .into_iter()
                    .map(|why| format!("{name}: {why}")),
            );
        }
        Decision::Skip(reason) => {
            files.insert("skip.txt", format!("{}\n{reason}\n", reason.code()));
        }
        Decision::Deny(denial) => {
            files.insert(
                "denial.txt",
                format!("{}\n{denial}\n", denial.code.as_str()),
            );
        }
    }
    if !outcome.warnings.is_empty() {
        let lines = outcome.warnings.iter();
        let lines: Vec<String> = lines.map(ToString::to_string).collect();
        files.insert("warnings.txt", lines.join("\n") + "\n");
    }
    for (file, content) in &files {
        wrong.extend(stored(&case.join(file), content).err());
    }
    for entry in std::fs::read_dir(case).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if !["pod.yaml", "around.yaml"].contains(&&*file) && !files.contains_key(&*file) {
            if std::env::var_os("UPDATE").is_some() {
                std::fs::remove_file(case.join(&file)).unwrap();
            } else {
                wrong.push(format!("{name}/{file} is stale: nothing makes it any more"));
            }
        }
    }
    wrong
}

fn explained(all: &[outrigger_injector::Explained]) -> String {
    all.iter().fold(String::new(), |mut text, one| {
        assert!(!one.why.is_empty(), "{} has no reason", one.path);
        writeln!(text, "{} = {}\n  {}", one.path, one.value, one.why).unwrap();
        text
    })
}

/// What holds for every injected pod.
pub(crate) fn sound(world: &World, pod: &Value, patched: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut world = world.clone();
    world.entropy = FixedEntropy(0xcd);
    let again = world.decide(patched);
    match again.decision {
        Decision::Inject(injection) => {
            let operations = patch(patched, &injection);
            if !operations.is_empty() {
                wrong.push(format!("a second time changes it: {operations:?}"));
            }
        }
        other => wrong.push(format!("a second time is no injection: {other:?}")),
    }
    match uninject(patched) {
        Ok(operations) => {
            let mut original = patched.clone();
            json_patch::patch(&mut original, &operations).unwrap();
            let before = pod.pointer("/metadata/annotations/outrigger.dev~1status");
            if original != *pod && before.is_none() {
                wrong.push(format!(
                    "taken out again it is not the original:\n{}\n{}",
                    serde_json::to_string(pod).unwrap(),
                    serde_json::to_string(&original).unwrap()
                ));
            }
        }
        Err(error) => wrong.push(format!("it cannot be taken out again: {error}")),
    }
    if pod_security::restricted(pod).is_empty() {
        for violation in pod_security::restricted(patched) {
            wrong.push(format!("no longer restricted: {violation}"));
        }
    }
    wrong
}
