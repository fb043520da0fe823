//! Which pods the API server asks the webhook about. There is none here, so that whoever is asked
//! about does not come: what is refused was asked about.

use std::time::Duration;

use outrigger_tests::eventually;

use crate::installation::{install, remove};
use crate::scene::Scene;

/// A workload of one pod; the label is put where `asks` is.
fn workload(kind: &str, name: &str, asks: bool) -> String {
    let label = if asks {
        ", outrigger.dev/inject: \"true\""
    } else {
        ""
    };
    let service = if kind == "StatefulSet" {
        "\n  serviceName: agdb"
    } else {
        ""
    };
    format!(
        "---\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  replicas: 1{service}\n\
         \x20 selector: {{matchLabels: {{app: {name}}}}}\n\
         \x20 template:\n    metadata: {{labels: {{app: {name}{label}}}}}\n\
         \x20   spec: {{containers: [{{name: main, image: none}}]}}\n"
    )
}

pub(crate) async fn asked_about(scene: Scene) {
    install(&scene).await;
    scene.make_namespace().await;
    let workloads = [
        workload("StatefulSet", "asking", true),
        workload("StatefulSet", "silent", false),
        workload("Deployment", "asking-deployment", true),
    ]
    .concat();
    scene.apply(&workloads).await;
    // The same in a namespace that is left alone: it must be possible to mend a cluster.
    let system = workload("StatefulSet", "asking", true);
    scene
        .kubectl_with(&["apply", "-n", "kube-system", "-f", "-"], &system)
        .await
        .ok();

    eventually(
        Duration::from_mins(1),
        "all other pods are there",
        async || {
            let mut here = pods(&scene, &scene.namespace).await;
            here.extend(pods(&scene, "kube-system").await);
            let all = ["silent-0", "asking-deployment-", "asking-0"]
                .iter()
                .all(|start| here.iter().any(|name| name.starts_with(start)));
            if all {
                Ok(())
            } else {
                Err(format!("{here:?}"))
            }
        },
    )
    .await;
    eventually(
        Duration::from_mins(1),
        "the pod that asks waits for the webhook",
        async || {
            let events = scene
                .get(&[
                    "events",
                    "-n",
                    &scene.namespace,
                    "--field-selector",
                    "reason=FailedCreate,involvedObject.name=asking",
                ])
                .await;
            let words = "failed calling webhook \"inject.outrigger.dev\"";
            if events.to_string().contains(&words.replace('"', "\\\"")) {
                Ok(())
            } else {
                Err(events["items"].to_string())
            }
        },
    )
    .await;
    let here = pods(&scene, &scene.namespace).await;
    assert!(!here.iter().any(|name| name == "asking-0"), "{here:?}");

    // Without the configuration it comes: the controller tries again by itself.
    remove(&scene).await;
    eventually(Duration::from_mins(1), "the pod comes", async || {
        let here = pods(&scene, &scene.namespace).await;
        if here.iter().any(|name| name == "asking-0") {
            Ok(())
        } else {
            Err(format!("{here:?}"))
        }
    })
    .await;
    scene
        .kubectl(&["delete", "statefulset/asking", "-n", "kube-system"])
        .await
        .ok();
    scene.end_namespace().await;
}

async fn pods(scene: &Scene, namespace: &str) -> Vec<String> {
    let found = scene.get(&["pods", "-n", namespace]).await;
    let items = found["items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        .collect()
}
