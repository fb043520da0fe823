//! The webhook is away for a while.

use outrigger_tests::eventually;

use super::READY;
use super::replicas::{all_ready, replicas, start};
use crate::installation::NAMESPACE;
use crate::scene::Scene;

const UNLABELLED: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: other}\nspec:\n  \
    securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}\n  \
    containers:\n    - name: pause\n      image: localhost/pause:cluster\n      \
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n";

pub(super) async fn away(scene: Scene) {
    start(&scene).await;
    replicas_of_webhook(&scene, 0).await;
    scene
        .kubectl(&[
            "delete",
            "pod/agdb-1",
            "-n",
            &scene.namespace,
            "--wait=true",
        ])
        .await
        .ok();
    // Nobody else waits.
    scene.apply(UNLABELLED).await;
    eventually(
        READY,
        "the StatefulSet says what its pod waits for",
        async || {
            let told = scene
                .kubectl(&["describe", "statefulset/agdb", "-n", &scene.namespace])
                .await
                .ok();
            if told.contains("failed calling webhook \"inject.outrigger.dev\"") {
                Ok(())
            } else {
                Err(told)
            }
        },
    )
    .await;
    let now = replicas(&scene).await;
    assert!(
        now.iter().all(|replica| replica.name != "agdb-1"),
        "{now:?}"
    );

    replicas_of_webhook(&scene, 1).await;
    all_ready(&scene, 3).await;
    let pod = scene.get(&["pod/agdb-1", "-n", &scene.namespace]).await;
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "outrigger");
    scene.end_namespace().await;
}

async fn replicas_of_webhook(scene: &Scene, count: u32) {
    let replicas = format!("--replicas={count}");
    let deployment = "deployment/outrigger-webhook";
    scene
        .kubectl(&["scale", deployment, &replicas, "-n", NAMESPACE])
        .await
        .ok();
    eventually(READY, "the webhook has that many replicas", async || {
        let pods = scene
            .get(&[
                "pods",
                "-n",
                NAMESPACE,
                "-l",
                "app.kubernetes.io/component=webhook",
            ])
            .await;
        let deployment = scene.get(&[deployment, "-n", NAMESPACE]).await;
        let ready = deployment["status"]["readyReplicas"]
            .as_u64()
            .unwrap_or_default();
        let there = pods["items"].as_array().map_or(0, Vec::len);
        if ready == u64::from(count) && there == count as usize {
            Ok(())
        } else {
            Err(format!("{there} pods, {ready} ready"))
        }
    })
    .await;
}
