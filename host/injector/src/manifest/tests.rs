use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::entropy::FixedEntropy;
use crate::facts::{PodManagement, ProfileEntry, ServiceFacts, StatefulSetFacts};
use crate::patch::patch;
use crate::webhook::MemoryCatalog;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn example(file: &str) -> String {
    fs::read_to_string(here("../../examples/agdb").join(file)).unwrap()
}

fn facts(service: &str) -> StatefulSetFacts {
    StatefulSetFacts {
        uid: None,
        replicas: 3,
        start: 0,
        management: PodManagement::Parallel,
        service: service.to_owned(),
        claims: BTreeMap::from([("data".to_owned(), "1Gi".parse().unwrap())]),
    }
}

/// agdb as its example says, in the namespace `default`.
fn catalog() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::default();
    let files = ["outrigger.yaml", "agdb_server.yaml"].map(|name| (name, example(name)));
    let texts = files.iter().map(|(name, text)| (*name, text.as_str()));
    let entry = ProfileEntry::read("agdb-outrigger", texts, []);
    catalog.add_profile("default", "agdb-outrigger", entry);
    let service = ServiceFacts {
        headless: true,
        publish_not_ready: true,
    };
    catalog.add_service("default", "agdb", service);
    catalog.add_stateful_set("default", "agdb", facts("agdb"));
    catalog
}

fn put_in_with(text: &str, catalog: &dyn Catalog) -> Result<Injected, ManifestError> {
    let settings = Settings::default();
    inject(
        text,
        "a.yaml",
        &as_written,
        catalog,
        &settings,
        &FixedEntropy(0xab),
    )
}

fn put_in(text: &str) -> Injected {
    put_in_with(text, &catalog()).unwrap()
}

fn told(injected: &Injected) -> String {
    let findings = injected.workloads.iter().flat_map(|one| &one.findings);
    Findings(findings.cloned().collect()).to_string()
}

#[test]
fn the_example_keeps_its_comments_and_its_order() {
    let injected = put_in(&example("statefulset.yaml"));
    insta::assert_snapshot!(injected.text);
    assert_eq!(told(&injected), "");
    let [one] = &injected.workloads[..] else {
        panic!("{:?}", injected.workloads)
    };
    assert_eq!(one.workload.to_string(), "StatefulSet default/agdb");
    assert!(!one.unchanged && !one.explained.is_empty());
}

#[test]
fn what_is_taken_out_leaves_the_same_bytes() {
    for file in ["statefulset.yaml", "service.yaml", "local.yaml"] {
        let text = example(file);
        for text in [
            text.clone(),
            text.replace('\n', "\r\n"),
            format!("---\n{text}---\n"),
        ] {
            let injected = put_in(&text);
            let back = uninject(&injected.text, "a.yaml").unwrap();
            assert_eq!(back.text, text, "{file}");
            assert_eq!(back.workloads.len(), injected.workloads.len());
        }
    }
}

/// A golden pod as the template of a StatefulSet, and its name.
fn as_template(pod: &str) -> (String, String) {
    let name = pod
        .lines()
        .skip_while(|line| !line.starts_with("  ownerReferences:"))
        .find_map(|line| line.strip_prefix("      name: "))
        .unwrap_or("db")
        .to_owned();
    let body: Vec<String> = pod
        .lines()
        .filter(|line| !line.starts_with("apiVersion:") && !line.starts_with("kind:"))
        .map(|line| format!("    {line}  # of the template\n").replace("# of the template  #", "#"))
        .map(|line| {
            if line.contains('|') {
                line.replace("  # of the template", "")
            } else {
                line
            }
        })
        .collect();
    let text = format!(
        "# Before.\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  template:\n{}  serviceName: {name} # after\n",
        body.concat()
    );
    (text, name)
}

#[test]
fn every_golden_pod_gets_into_a_text_what_the_patch_says_and_out_again() {
    let mut injected = 0;
    let mut cases: Vec<_> = fs::read_dir(here("tests/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    for case in cases {
        let pod = fs::read_to_string(case.join("pod.yaml")).unwrap();
        let (text, name) = as_template(&pod);
        let mut catalog = MemoryCatalog::default();
        for folder in fs::read_dir(here("tests/profiles")).unwrap() {
            let folder = folder.unwrap();
            let files: Vec<(String, String)> = fs::read_dir(folder.path())
                .unwrap()
                .map(|file| file.unwrap())
                .map(|file| {
                    let text = fs::read_to_string(file.path()).unwrap();
                    (file.file_name().into_string().unwrap(), text)
                })
                .collect();
            let files = files.iter().map(|(name, text)| (&**name, &**text));
            let name = folder.file_name().into_string().unwrap();
            catalog.add_profile("shop", &name, ProfileEntry::read(&name, files, []));
        }
        let Ok(documents) = Document::parse_all(&text, "a.yaml") else {
            panic!("{}:\n{text}", case.display());
        };
        catalog.add_stateful_set("shop", &name, facts(&name));
        let given = put_in_with(&text, &catalog).unwrap();
        let Some(Decided { outcome, .. }) = given.workloads.first() else {
            panic!("{}", case.display());
        };
        let Decision::Inject(injection) = &outcome.decision else {
            assert_eq!(given.text, text, "{}", case.display());
            continue;
        };
        injected += 1;
        let mut wanted = documents[0].to_json();
        let template = wanted.pointer_mut("/spec/template").unwrap();
        let operations = patch(template, injection);
        json_patch::patch(template, &operations).unwrap();
        let now = Document::parse_all(&given.text, "b.yaml").unwrap();
        assert_eq!(now[0].to_json(), wanted, "{}", case.display());
        let again = put_in_with(&given.text, &catalog).unwrap();
        assert_eq!(again.text, given.text, "{}", case.display());
        assert!(again.workloads[0].unchanged, "{}", case.display());
        let back = uninject(&given.text, "b.yaml").unwrap();
        assert_eq!(back.text, text, "{}", case.display());
    }
    assert!(injected > 30, "only {injected}");
}

#[test]
fn one_that_is_injected_already_is_unchanged() {
    let once = put_in(&example("statefulset.yaml"));
    let twice = put_in(&once.text);
    assert_eq!(twice.text, once.text);
    assert!(twice.workloads[0].unchanged);
}

#[test]
fn owners_other_than_stateful_sets_are_skipped_and_say_why() {
    let text = example("statefulset.yaml");
    let mut told = String::new();
    for kind in ["Deployment", "DaemonSet", "Job", "ReplicaSet"] {
        let other = text.replace("kind: StatefulSet", &format!("kind: {kind}"));
        let injected = put_in(&other);
        assert_eq!(injected.text, other);
        let Decision::Skip(reason) = &injected.workloads[0].outcome.decision else {
            panic!("{kind}");
        };
        told = format!("{told}{}: {reason}\n", injected.workloads[0].workload);
    }
    let cron = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec:\n  jobTemplate:\n    spec:\n      template:\n        metadata:\n          labels: {outrigger.dev/inject: \"true\"}\n        spec:\n          containers: [{name: agdb}]\n";
    for text in [
        cron,
        "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c}]}\n",
    ] {
        let injected = put_in(text);
        assert_eq!(injected.text, text);
        let Decision::Skip(reason) = &injected.workloads[0].outcome.decision else {
            panic!("{text}");
        };
        told = format!("{told}{}: {reason}\n", injected.workloads[0].workload);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_denial_leaves_the_text_and_names_the_line_and_what_to_do() {
    let text = example("statefulset.yaml");
    let cases = [
        (
            "a missing profile",
            text.replace("agdb-outrigger", "agdb-outriger"),
        ),
        (
            "no profile",
            text.replace(
                "        outrigger.dev/profile: agdb-outrigger\n",
                "        note: none\n",
            ),
        ),
        (
            "an unknown annotation",
            text.replace("outrigger.dev/profile:", "outrigger.dev/profil:"),
        ),
        (
            "another container",
            text.replace("- name: agdb\n", "- name: database\n"),
        ),
        (
            "a port that is taken",
            text.replace("containerPort: 3000", "containerPort: 7070"),
        ),
    ];
    let mut all = String::new();
    for (name, text) in cases {
        let injected = put_in(&text);
        assert_eq!(injected.text, text, "{name}");
        all = format!("{all}# {name}\n{}\n", told(&injected));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn warnings_have_their_line() {
    let mut catalog = catalog();
    let service = ServiceFacts {
        headless: false,
        publish_not_ready: true,
    };
    catalog.add_service("default", "agdb", service);
    // Without a user the image decides, and the rendered file is not for everybody.
    let text = example("statefulset.yaml")
        .replace("        runAsUser: 1000\n", "")
        .replace("        fsGroup: 1000\n", "")
        .replace("PeriodSeconds: 30", "PeriodSeconds: 20");
    let injected = put_in_with(&text, &catalog).unwrap();
    insta::assert_snapshot!(told(&injected), @r"
    warning: a.yaml:7: spec.serviceName: the Service agdb is not headless, so replicas have no names
      hint: set clusterIP: None
    warning: a.yaml:21: spec.template.spec.terminationGracePeriodSeconds: the drain may take 20s, and the pod is killed after 20s
      hint: raise terminationGracePeriodSeconds
    warning: a.yaml:23: spec.template.spec.securityContext: neither runAsUser nor fsGroup is set: the workload may not read /agdb/agdb_server.yaml (mode 0640)
      hint: set spec.securityContext.fsGroup
    ");
}

#[test]
fn the_items_of_a_list_and_further_documents_are_edited_by_themselves() {
    let set = example("statefulset.yaml");
    let item: Vec<String> = set.lines().map(|line| format!("    {line}\n")).collect();
    let item = item.concat();
    let item = item.replacen("    apiVersion", "  - apiVersion", 1);
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n{item}{}# The last.\n",
        item.replace("kind: StatefulSet", "kind: Deployment")
    );
    let text = format!("{}---\n{list}---\n{set}", example("service.yaml"));
    let injected = put_in(&text);
    let kinds: Vec<_> = injected
        .workloads
        .iter()
        .map(|one| (one.workload.kind.as_str(), one.explained.is_empty()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("StatefulSet", false),
            ("Deployment", true),
            ("StatefulSet", false)
        ]
    );
    let documents = Document::parse_all(&injected.text, "a.yaml").unwrap();
    let [service, _, list, set] = &documents[..] else {
        panic!("{}", injected.text)
    };
    assert_eq!(service.to_json()["kind"], "Service");
    let sidecar = "/spec/template/spec/initContainers/0/name";
    let (list, set) = (list.to_json(), set.to_json());
    assert_eq!(set.pointer(sidecar), Some(&Value::from("outrigger")));
    assert_eq!(
        list["items"][0].pointer(sidecar),
        Some(&Value::from("outrigger"))
    );
    assert_eq!(list["items"][1].pointer(sidecar), None);
    assert_eq!(list["items"][0]["spec"], set["spec"]);
    assert_eq!(uninject(&injected.text, "a.yaml").unwrap().text, text);
}

#[test]
fn json_is_edited_as_json() {
    let documents = Document::parse_all(&example("statefulset.yaml"), "a.yaml").unwrap();
    let object = documents[0].to_json();
    for text in [
        object.to_string(),
        serde_json::to_string_pretty(&object).unwrap(),
    ] {
        let injected = put_in(&text);
        let json: Value = serde_json::from_str(&injected.text).unwrap();
        assert!(
            json.pointer("/spec/template/spec/initContainers/0")
                .is_some()
        );
        assert_eq!(uninject(&injected.text, "a.json").unwrap().text, text);
    }
}

#[test]
fn a_namespace_is_where_the_object_will_be_and_not_what_it_says() {
    let settings = Settings::default();
    let text =
        example("statefulset.yaml").replace("  name: agdb\n", "  name: agdb\n  namespace: old\n");
    let moved = |kind: &str, name: &str, written: Option<&str>| {
        assert_eq!((kind, name, written), ("StatefulSet", "agdb", Some("old")));
        "default".to_owned()
    };
    let injected = inject(
        &text,
        "a.yaml",
        &moved,
        &catalog(),
        &settings,
        &FixedEntropy(1),
    )
    .unwrap();
    assert!(matches!(
        injected.workloads[0].outcome.decision,
        Decision::Inject(_)
    ));
}

#[test]
fn what_is_no_yaml_or_has_aliases_is_told_with_its_place() {
    let broken = put_in_with("a: [1\nb: 2\n", &catalog()).unwrap_err();
    assert!(broken.to_string().starts_with("error: a.yaml:"), "{broken}");
    let text = example("statefulset.yaml").replace("  template:\n", "  template: &t\n")
        + "---\napiVersion: v1\nkind: Service\nmetadata: {name: x}\n";
    let injected = put_in(&text);
    assert_eq!(uninject(&injected.text, "a.yaml").unwrap().text, text);
}

#[test]
fn an_injection_that_was_tampered_with_is_not_taken_out() {
    let text = put_in(&example("statefulset.yaml")).text;
    let torn = text.replace("outrigger.dev/status: '{", "outrigger.dev/status: '{{");
    assert_ne!(torn, text);
    let error = uninject(&torn, "a.yaml").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("a.yaml:1: StatefulSet default/agdb: "),
        "{error}"
    );
}
