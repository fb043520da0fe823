//! Replicas that are not counted from 0, and what a scale leaves of them.

use serde_json::{Value, json};

use super::replicas::{Replica, of_kind, scaled, start_as};
use crate::scene::Scene;

pub(super) async fn from_five(scene: Scene) {
    let begun = start_as(&scene, |objects| {
        of_kind(objects, "StatefulSet")["spec"]["ordinals"] = json!({"start": 5});
    })
    .await;
    assert_eq!(names(&begun), ["agdb-5", "agdb-6", "agdb-7"]);
    scaled(&scene, 5).await;
    let claims = claims(&scene).await;
    let grown: Vec<String> = (5..10)
        .map(|ordinal| format!("data-agdb-{ordinal}"))
        .collect();
    assert_eq!(volumes(&claims), grown);
    let left = scaled(&scene, 3).await;
    assert_eq!(names(&left), ["agdb-5", "agdb-6", "agdb-7"]);

    // The two that went come back to their own data.
    let kept = self::claims(&scene).await;
    assert_eq!(volumes(&kept), grown, "claims outlive a scale");
    let back = scaled(&scene, 5).await;
    assert_eq!(self::claims(&scene).await, claims, "the same volumes");
    // Each scale restarts those that were there; the two are new.
    let restarts: Vec<u64> = back
        .iter()
        .map(|replica| replica.workload_restarts)
        .collect();
    assert!(restarts[..3].iter().all(|count| *count <= 3), "{back:?}");
    assert_eq!(restarts[3..], [0, 0], "{back:?}");
    scene.end_namespace().await;
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
