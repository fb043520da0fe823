//! Who leads is where clients look for it: the pod's label, and the Service that selects by it.

use outrigger_tests::eventually;
use serde_json::Value;

use super::READY;
use super::replicas::{all_ready, start};
use crate::scene::Scene;

pub(super) async fn service(scene: Scene) {
    start(&scene).await;
    let first = reached(&scene, None).await;
    scene
        .kubectl(&[
            "delete",
            &format!("pod/{first}"),
            "-n",
            &scene.namespace,
            "--grace-period=0",
            "--force",
        ])
        .await;
    reached(&scene, Some(&first)).await;
    all_ready(&scene, 3).await;
    scene.end_namespace().await;
}

/// The one pod that `agdb-leader` reaches, another than the one before.
async fn reached(scene: &Scene, before: Option<&str>) -> String {
    eventually(READY, "the Service reaches the leader", async || {
        let slices = scene
            .get(&[
                "endpointslices",
                "-n",
                &scene.namespace,
                "-l",
                "kubernetes.io/service-name=agdb-leader",
            ])
            .await;
        let targets: Vec<&str> = slices["items"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
            .filter(|endpoint| endpoint["conditions"]["ready"] == true)
            .filter_map(|endpoint| endpoint["targetRef"]["name"].as_str())
            .collect();
        match targets[..] {
            [target] if Some(target) != before => Ok(target.to_owned()),
            _ => Err(format!("{targets:?}: {}", labels(scene).await)),
        }
    })
    .await
}

/// Which pod has which role.
async fn labels(scene: &Scene) -> String {
    let pods = scene.get(&["pods", "-n", &scene.namespace]).await;
    let told: Vec<String> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod: &Value| {
            let metadata = &pod["metadata"];
            format!(
                "{}: {}",
                metadata["name"], metadata["labels"]["outrigger.dev/role"]
            )
        })
        .collect();
    told.join("; ")
}
