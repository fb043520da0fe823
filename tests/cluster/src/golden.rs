//! The injector's goldens, and pods in a form in which a cluster's can be compared with them.

use std::fs;

use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::cluster::root;
use crate::objects::document;

/// The folder with one folder for each.
const FOLDER: &str = "host/injector/tests/golden";
/// The namespace that their pods name.
const NAMESPACE: &str = "shop";

/// A pod that the injector changes.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) original: Value,
    pub(crate) patched: Value,
}

/// All that come out as an injected pod, as pods of a namespace.
pub(crate) fn patched(namespace: &str) -> Vec<Golden> {
    let mut names: Vec<String> = fs::read_dir(root().join(FOLDER))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| root().join(FOLDER).join(name).join("patched.yaml").exists())
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| Golden {
            original: whole(&name, "pod.yaml", namespace),
            patched: whole(&name, "patched.yaml", namespace),
            name,
        })
        .collect()
}

/// A pod; of a template what the StatefulSet controller makes of it: a name, and a volume for each claim.
fn whole(name: &str, file: &str, namespace: &str) -> Value {
    let mut pod = read(&format!("{name}/{file}"), namespace);
    if pod["metadata"]["name"].is_null() {
        pod["metadata"]["name"] = json!("template-0");
        let around = fs::read_to_string(root().join(FOLDER).join(name).join("around.yaml"));
        let claims = around.map_or(Value::Null, |text| document(&text)["claims"].clone());
        let mut volumes = pod["spec"]["volumes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for claim in claims.as_object().into_iter().flat_map(Map::keys) {
            let source = json!({"claimName": format!("{claim}-template-0")});
            volumes.push(json!({"name": claim, "persistentVolumeClaim": source}));
        }
        pod["spec"]["volumes"] = Value::Array(volumes);
    }
    pod
}

/// A pod that a golden has.
pub(crate) fn read(file: &str, namespace: &str) -> Value {
    let text = fs::read_to_string(root().join(FOLDER).join(file)).unwrap();
    let mut pod = document(&text);
    let stated = &pod["metadata"]["namespace"];
    assert!(stated.is_null() || stated == NAMESPACE, "{file}: {stated}");
    pod["metadata"]["namespace"] = json!(namespace);
    pod
}

/// The example's pods as the golden has them: the injected pod of each ordinal, with the defaults that
/// this API server puts in, in the comparable form. To be asked for while nobody injects anything.
pub(crate) async fn of_the_example(api: &Api, namespace: &str, ordinals: u32) -> Vec<Value> {
    let first = read("agdb/patched.yaml", namespace).to_string();
    let mut all = Vec::new();
    for ordinal in 0..ordinals {
        let text = first.replace("agdb-0", &format!("agdb-{ordinal}"));
        let mut pod: Value = serde_json::from_str(&text).unwrap();
        pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
        let pod = api.would_create(namespace, &pod).await.unwrap();
        all.push(comparable(&pod).0);
    }
    all
}

/// What a pod is, without what differs from one to the next: who made it and when, the name of the volume
/// with its account's token, and the token of its preStop hook, which is returned beside it.
pub(crate) fn comparable(pod: &Value) -> (Value, String) {
    let mut pod = json!({
        "labels": pod["metadata"]["labels"],
        "annotations": pod["metadata"]["annotations"],
        "spec": pod["spec"],
    });
    if let Some(Value::Object(labels)) = pod.get_mut("labels") {
        labels.remove("controller-revision-hash");
    }
    let spec = &mut pod["spec"];
    drop_account(&mut spec["volumes"]);
    for kind in ["initContainers", "containers"] {
        for container in spec[kind].as_array_mut().into_iter().flatten() {
            drop_account(&mut container["volumeMounts"]);
        }
    }
    let variables = spec["initContainers"][0]["env"].as_array();
    let token = variables
        .into_iter()
        .flatten()
        .find(|variable| variable["name"] == "OUTRIGGER_PRE_STOP_TOKEN")
        .and_then(|variable| variable["value"].as_str())
        .unwrap_or_else(|| panic!("it has no token: {spec:#}"))
        .to_owned();
    assert_eq!(token.len(), 32, "{token}");
    let text = pod.to_string();
    assert_eq!(text.matches(&token).count(), 2, "variable and hook: {text}");
    let pod = serde_json::from_str(&text.replace(&token, "TOKEN")).unwrap();
    (pod, token)
}

fn drop_account(volumes: &mut Value) {
    if let Some(volumes) = volumes.as_array_mut() {
        volumes.retain(|volume| {
            let name = volume["name"].as_str().unwrap_or_default();
            !name.starts_with("kube-api-access-")
        });
    }
}

/// The annotation that tells what was injected.
pub(crate) fn status(pod: &Value) -> Map<String, Value> {
    let text = pod["annotations"]["outrigger.dev/status"].as_str().unwrap();
    serde_json::from_str(text).unwrap()
}
