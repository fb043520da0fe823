//! Pods of a real StatefulSet controller get their sidecar from a real webhook.

use std::collections::BTreeSet;
use std::time::Duration;

use outrigger_tests::eventually;
use serde_json::Value;

use crate::api::Api;
use crate::golden;
use crate::installation::{install, remove};
use crate::objects::unlike;
use crate::scene::Scene;
use crate::webhook::Webhooks;

/// The example as a user applies it, then a profile that nobody has.
pub(crate) async fn example(scene: Scene) {
    scene.make_namespace().await;
    let api = Api::start(&scene).await;
    let expected = golden::of_the_example(&api, &scene.namespace, 3).await;
    install(&scene).await;
    let webhooks = Webhooks::start(&scene, 2, &[]).await;
    scene
        .kubectl(&["apply", "-n", &scene.namespace, "-k", "examples/agdb"])
        .await
        .ok();
    let pods = pods(&scene, || webhooks.log(0)).await;
    let mut tokens = BTreeSet::new();
    for (ordinal, (pod, expected)) in pods.iter().zip(&expected).enumerate() {
        let (pod, token) = golden::comparable(pod);
        let differences = unlike(&format!("agdb-{ordinal}"), &pod, expected);
        assert!(
            differences.is_empty(),
            "cluster | golden\n{}",
            differences.join("\n")
        );
        tokens.insert(token);
    }
    assert_eq!(tokens.len(), 3, "each pod has a token of its own");
    denied(&scene).await;
    drop(webhooks);
    remove(&scene).await;
    scene.end_namespace().await;
}

/// The example's three pods, by their ordinals. `log` is what explains why they do not come.
pub(crate) async fn pods(scene: &Scene, log: impl Fn() -> String) -> Vec<Value> {
    eventually(
        Duration::from_mins(1),
        "the example's three pods are there",
        async || {
            let pods = scene
                .get(&["pods", "-n", &scene.namespace, "-l", "app=agdb"])
                .await;
            let mut found = pods["items"].as_array().cloned().unwrap_or_default();
            found.sort_by_key(|pod| pod["metadata"]["name"].to_string());
            if found.len() == 3 {
                return Ok(found);
            }
            let events = scene.get(&["events", "-n", &scene.namespace]).await;
            let told: Vec<&Value> = events["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|event| &event["message"])
                .collect();
            Err(format!("{} pods; {told:?}; {}", found.len(), log()))
        },
    )
    .await
}

/// Where the profile does not exist, the StatefulSet says so to whoever looks why there is no pod.
async fn denied(scene: &Scene) {
    let other = scene
        .kubectl(&["kustomize", "examples/agdb"])
        .await
        .ok()
        .replace(
            "outrigger.dev/profile: agdb-outrigger",
            "outrigger.dev/profile: nobodys",
        )
        .replace("replicas: 3", "replicas: 4");
    scene.apply(&other).await;
    eventually(
        Duration::from_mins(1),
        "the user reads on the StatefulSet why there is no fourth pod",
        async || {
            let told = scene
                .kubectl(&["describe", "statefulset/agdb", "-n", &scene.namespace])
                .await
                .ok();
            let all = [
                // What the controller tells, and what the webhook does.
                "admission webhook \"inject.outrigger.dev\" denied the request",
                "SidecarDenied",
                "nobodys",
            ];
            if all.iter().all(|words| told.contains(words)) {
                Ok(())
            } else {
                Err(told)
            }
        },
    )
    .await;
}
