//! The API server is away for a while.

use outrigger_tests::eventually;
use serde_json::Value;

use super::READY;
use super::replicas::{all_ready, start};
use crate::scene::Scene;

pub(super) async fn away(scene: Scene) {
    start(&scene).await;
    let mut sidecars = Vec::new();
    for name in ["agdb-0", "agdb-1", "agdb-2"] {
        let pod = scene
            .get(&[&format!("pod/{name}"), "-n", &scene.namespace])
            .await;
        sidecars.push(pod["status"]["podIP"].as_str().unwrap().to_owned());
    }
    scene.cluster.stop("apiserver").unwrap();
    // Asked directly, since the API server passes nothing on now.
    for address in &sidecars {
        let stale = eventually(
            READY,
            "the sidecar says that its knowledge is old",
            async || {
                let url = format!("http://{address}:7070/status");
                let status = scene.cluster.run(&["curl", "--silent", "--fail", &url])?;
                let status: Value = serde_json::from_str(&status).unwrap_or_default();
                if status["peers"]["stale"].is_string() {
                    Ok(status)
                } else {
                    Err(status.to_string())
                }
            },
        )
        .await;
        assert_eq!(stale["peers"]["seen"], 3, "{stale}");
        assert_eq!(stale["phase"], "running", "{stale}");
    }
    scene.cluster.start_again("apiserver").unwrap();
    eventually(READY, "the API server is back", async || {
        let said = scene.kubectl(&["get", "--raw", "/readyz"]).await;
        if said.success {
            Ok(())
        } else {
            Err(said.stderr)
        }
    })
    .await;
    all_ready(&scene, 3).await;
    scene.end_namespace().await;
}
