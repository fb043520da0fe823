//! A plugin that comes with the profile is replaced while replicas run.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outrigger_plugin_build::build_component;
use serde_json::json;

use super::edits::SYNCED;
use super::replicas::{all_ready, each, of_kind, start_as};
use crate::cluster::root;
use crate::scene::Scene;

pub(super) async fn replaced(scene: Scene) {
    let first = build_component(root(), "outrigger-plugin-agdb", &guests()).unwrap();
    let before = start_as(&scene, |objects| {
        let profile = of_kind(objects, "ConfigMap");
        let text = profile["data"]["outrigger.yaml"].as_str().unwrap();
        let own = text.replace(
            "source: builtin:agdb",
            "source: file:agdb.wasm\n    digest: any",
        );
        assert_ne!(own, text);
        profile["data"]["outrigger.yaml"] = own.into();
        profile["binaryData"] = json!({"agdb.wasm": STANDARD.encode(&first)});
    })
    .await;
    each(&scene, SYNCED, "each runs its first one", |status| {
        status["plugin"]["generation"] == 1
    })
    .await;

    // Another build of the same plugin: what it says of itself is the same, its bytes are not.
    let mut second = first;
    second.extend(b"\0\x06\x05build");
    let mut object = scene
        .get(&["configmap/agdb-outrigger", "-n", &scene.namespace])
        .await;
    object["binaryData"] = json!({"agdb.wasm": STANDARD.encode(&second)});
    scene
        .kubectl_with(&["replace", "-f", "-"], &object.to_string())
        .await
        .ok();
    each(&scene, SYNCED, "each runs the new one", |status| {
        status["plugin"]["generation"] == 2
    })
    .await;
    let after = all_ready(&scene, 3).await;
    for (old, new) in before.iter().zip(&after) {
        assert_eq!(old.uid, new.uid, "the pod is the same");
        assert_eq!((new.workload_restarts, new.sidecar_restarts), (0, 0));
    }
    scene.end_namespace().await;
}

/// Where this build of the workspace has its guests.
fn guests() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(2).unwrap().join("guests")
}
