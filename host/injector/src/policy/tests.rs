use outrigger_profile::document::Document;
use serde_json::{Value, json};

use super::*;

fn workload() -> Workload {
    Workload {
        kind: "StatefulSet".to_owned(),
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
        line: 1,
    }
}

fn injection(order: Order) -> Injection {
    Injection {
        workload: "db".to_owned(),
        sidecar: json!({
            "name": "outrigger",
            "env": [
                {"name": "OUTRIGGER_REPLICAS", "value": "3"},
                {"name": "OUTRIGGER_ORDINALS_START", "value": "0"},
                {"name": "OUTRIGGER_SERVICE", "value": "db"},
            ],
        }),
        order,
        volumes: vec![json!({"name": "outrigger-state", "emptyDir": {}})],
        mounts: vec![json!({"name": "outrigger-files", "mountPath": "/etc/db"})],
        env: Vec::new(),
        pre_stop: Some(json!({"httpGet": {"path": "/pre-stop", "port": 7070}})),
        share_process_namespace: true,
        annotations: vec![("prometheus.io/scrape".to_owned(), "true".to_owned())],
        profile: "db-outrigger".to_owned(),
        profile_digest: "sha256:1".to_owned(),
        hash: "sha256:2".to_owned(),
    }
}

#[test]
fn an_injection_becomes_policies_and_their_bindings() {
    let text = policies(&workload(), &injection(Order::Default));
    insta::assert_snapshot!(text);
    let documents = Document::parse_all(&text, "p.yaml").unwrap();
    let kinds: Vec<Value> = documents
        .iter()
        .map(|document| document.to_json()["kind"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ]
    );
}

#[test]
fn the_order_is_kept() {
    let place = |order| {
        put_sidecar(&order)
            .lines()
            .nth(1)
            .unwrap()
            .trim()
            .to_owned()
    };
    let path = |place: &str| {
        format!(
            "JSONPatch{{op: \"add\", path: \"/spec/initContainers/\" + {place}, value: variables.sidecar}}"
        )
    };
    assert_eq!(place(Order::First), path("\"0\""));
    assert_eq!(place(Order::Last), path("\"-\""));
    let index = "string(object.spec.initContainers.map(one, one.name).indexOf(\"mesh\")";
    assert_eq!(
        place(Order::Before("mesh".to_owned())),
        path(&format!("{index} + 0)"))
    );
    assert_eq!(
        place(Order::After("mesh".to_owned())),
        path(&format!("{index} + 1)"))
    );
}

#[test]
fn nothing_is_said_of_what_is_not_injected() {
    let mut bare = injection(Order::Default);
    bare.volumes.clear();
    bare.mounts.clear();
    bare.pre_stop = None;
    bare.share_process_namespace = false;
    let all = mutations(&bare).concat();
    for field in [
        "volumes",
        "volumeMounts",
        "lifecycle",
        "shareProcessNamespace",
    ] {
        assert!(!all.contains(field), "{all}");
    }
}
