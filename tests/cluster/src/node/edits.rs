//! A profile's ConfigMap is edited while replicas run.

use std::time::Duration;

use outrigger_tests::eventually;

use super::READY;
use super::replicas::{all_ready, each, replicas, start};
use crate::scene::Scene;

/// The kubelet looks at `ConfigMap`s once in its sync period, and keeps them for as long.
pub(super) const SYNCED: Duration = Duration::from_mins(3);

pub(super) async fn config_map(scene: Scene) {
    start(&scene).await;
    edit(&scene, "log_level: INFO", "log_level: DEBUG").await;
    each(&scene, SYNCED, "each has its new files", |status| {
        status["files"]["set"] == 2
    })
    .await;
    eventually(READY, "each workload was restarted once", async || {
        let now = replicas(&scene).await;
        if now.iter().all(|replica| replica.workload_restarts == 1) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
    all_ready(&scene, 3).await;

    edit(&scene, "log_level: DEBUG", "log_level: {{ self.nonsense }}").await;
    each(&scene, SYNCED, "each refuses it and says why", |status| {
        status["files"]["refused"].to_string().contains("nonsense")
    })
    .await;
    each(&scene, SYNCED, "the files from before stand", |status| {
        status["files"]["set"] == 2
    })
    .await;
    let told = eventually(SYNCED, "an Event says why", async || {
        let events = scene.get(&["events", "-n", &scene.namespace]).await;
        let told = events.to_string();
        if told.contains("nonsense") {
            Ok(told)
        } else {
            Err(told)
        }
    })
    .await;
    assert!(told.contains("Warning"), "{told}");
    let now = all_ready(&scene, 3).await;
    assert!(
        now.iter().all(|replica| replica.workload_restarts == 1),
        "{now:?}"
    );
    scene.end_namespace().await;
}

/// Edits the template in the profile's ConfigMap, as `kubectl apply` of an edited folder would.
async fn edit(scene: &Scene, old: &str, new: &str) {
    let mut object = scene
        .get(&["configmap/agdb-outrigger", "-n", &scene.namespace])
        .await;
    let template = object["data"]["agdb_server.yaml"].as_str().unwrap();
    assert!(template.contains(old), "{template}");
    object["data"]["agdb_server.yaml"] = template.replace(old, new).into();
    scene
        .kubectl_with(&["replace", "-f", "-"], &object.to_string())
        .await
        .ok();
}
