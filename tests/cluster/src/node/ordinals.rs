//! Replicas that are not counted from 0, and what a scale leaves of them.

use serde_json::{Value, json};

use super::READY;
use super::replicas::{Replica, all_ready, each, of_kind, start_as};
use crate::scene::Scene;

pub(super) async fn from_five(scene: Scene) {
    let begun = start_as(&scene, |objects| {
        of_kind(objects, "StatefulSet")["spec"]["ordinals"] = json!({"start": 5});
    })
    .await;
    assert_eq!(names(&begun), ["agdb-5", "agdb-6", "agdb-7"]);
    scale(&scene, 5).await;
    let claims = claims(&scene).await;
    let grown: Vec<String> = (5..10)
        .map(|ordinal| format!("data-agdb-{ordinal}"))
        .collect();
    assert_eq!(volumes(&claims), grown);
    let left = scale(&scene, 3).await;
    assert_eq!(names(&left), ["agdb-5", "agdb-6", "agdb-7"]);

    // The two that went come back to their own data.
    let kept = self::claims(&scene).await;
    assert_eq!(volumes(&kept), grown, "claims outlive a scale");
    let back = scale(&scene, 5).await;
    assert!(
        back.iter().all(|replica| replica.workload_restarts <= 2),
        "{back:?}"
    );
    scene.end_namespace().await;
}

async fn scale(scene: &Scene, count: usize) -> Vec<Replica> {
    let replicas = format!("--replicas={count}");
    let namespace = scene.namespace.as_str();
    scene
        .kubectl(&["scale", "statefulset/agdb", &replicas, "-n", namespace])
        .await
        .ok();
    let found = all_ready(scene, count).await;
    each(scene, READY, "each knows all of them", |status| {
        status["peers"]["desired"] == count && status["peers"]["seen"] == count
    })
    .await;
    found
}

fn names(replicas: &[Replica]) -> Vec<&str> {
    replicas
        .iter()
        .map(|replica| replica.name.as_str())
        .collect()
}

/// Each claim's name and its volume.
async fn claims(scene: &Scene) -> Vec<(String, Value)> {
    let found = scene
        .get(&["persistentvolumeclaims", "-n", &scene.namespace])
        .await;
    found["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|claim| {
            let name = claim["metadata"]["name"].as_str().unwrap_or_default();
            (name.to_owned(), claim["spec"]["volumeName"].clone())
        })
        .collect()
}

/// The names of claims.
fn volumes(claims: &[(String, Value)]) -> Vec<&str> {
    claims.iter().map(|(name, _)| name.as_str()).collect()
}
