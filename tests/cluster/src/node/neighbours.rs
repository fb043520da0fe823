//! Several `StatefulSet`s beside each other, one of which makes its pods one after the other.

use outrigger_tests::eventually;
use serde_json::Value;

use super::READY;
use super::replicas::{all_ready, allow, is_ready, scale, start, status};
use crate::scene::Scene;

pub(super) async fn two_plugins(scene: Scene) {
    start(&scene).await;
    let other = Scene {
        namespace: format!("{}-b", scene.namespace),
        ..scene.clone()
    };
    other.make_namespace().await;
    allow(&other).await;
    for scene in [&scene, &other] {
        in_order(scene).await;
    }
    for scene in [&scene, &other] {
        all_see(scene, "piko", 3).await;
    }
    for count in [5_usize, 3] {
        scale(&scene, "piko", count).await;
        all_see(&scene, "piko", count).await;
    }
    // Nothing of that concerned the neighbours.
    all_see(&other, "piko", 3).await;
    all_ready(&scene, 3).await;
    all_see(&scene, "agdb", 3).await;
    other.end_namespace().await;
    scene.end_namespace().await;
}

/// Applies the example of Piko with pods that come one after the other.
async fn in_order(scene: &Scene) {
    let printed = scene.kubectl(&["kustomize", "examples/piko"]).await.ok();
    let ordered = printed.replace(
        "podManagementPolicy: Parallel",
        "podManagementPolicy: OrderedReady",
    );
    assert_ne!(ordered, printed);
    scene.apply(&ordered).await;
}

/// Waits until so many replicas are ready, each with its own plugin, and each sees so many.
async fn all_see(scene: &Scene, app: &str, count: usize) {
    let label = format!("app={app}");
    eventually(READY, "each is ready and sees its own", async || {
        let pods = scene
            .get(&["pods", "-n", &scene.namespace, "-l", &label])
            .await;
        let pods: Vec<&Value> = pods["items"].as_array().into_iter().flatten().collect();
        if pods.len() != count {
            return Err(format!("{} pods", pods.len()));
        }
        for pod in pods {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let ready = is_ready(pod);
            let own = status(scene, name).await?;
            let seen = own["peers"]["seen"] == count && own["peers"]["desired"] == count;
            if !ready || !seen || own["plugin"]["name"] != app {
                return Err(format!("{name}, ready: {ready}: {own}"));
            }
        }
        Ok(())
    })
    .await;
}
