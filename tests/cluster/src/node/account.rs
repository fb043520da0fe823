//! What runs a pod is not what its author thought of: a strange user, a node without the image.

use outrigger_tests::eventually;
use serde_json::{Value, json};

use super::READY;
use super::replicas::{all_ready, of_kind, start, start_as};
use crate::scene::Scene;

/// A user as some platforms give one to each namespace: in no image's list of users.
const STRANGE: u64 = 1_000_710_000;

pub(super) async fn strange_user(scene: Scene) {
    start_as(&scene, |objects| {
        let template = &mut of_kind(objects, "StatefulSet")["spec"]["template"];
        template["spec"]["securityContext"] = json!({
            "runAsNonRoot": true,
            "runAsUser": STRANGE,
            "runAsGroup": 0,
            "fsGroup": STRANGE,
            "seccompProfile": {"type": "RuntimeDefault"},
        });
    })
    .await;
    let pod = scene.get(&["pod/agdb-0", "-n", &scene.namespace]).await;
    let sidecar = &pod["spec"]["initContainers"][0];
    assert_eq!(sidecar["securityContext"]["readOnlyRootFilesystem"], true);
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let users = format!(
        "for process in /proc/[0-9]*; do if grep -q 'pod{uid}' $process/cgroup; then \
         grep '^Uid:' $process/status; fi; done"
    );
    let users = scene.cluster.run(&["sh", "-c", &users]).unwrap();
    let own = users.matches(&format!("Uid:\t{STRANGE}\t")).count();
    assert!(own >= 2, "the workload and the sidecar run as it:\n{users}");
    scene.end_namespace().await;
}

/// The image as the node's runtime calls it, and a name to keep it by.
const IMAGE: &str = "docker.io/library/outrigger:dev";
const KEPT: &str = "docker.io/library/kept:dev";

pub(super) async fn first_pull(scene: Scene) {
    start(&scene).await;
    let runtime = |command: &[&str]| scene.cluster.containerd(command).unwrap();
    runtime(&["images", "tag", IMAGE, KEPT]);
    runtime(&["images", "rm", IMAGE]);
    let namespace = scene.namespace.as_str();
    scene
        .kubectl(&["delete", "pod/agdb-1", "-n", namespace, "--wait=true"])
        .await
        .ok();
    let pod = eventually(READY, "the pod waits for the image", async || {
        let pod = scene.get(&["pod/agdb-1", "-n", namespace]).await;
        let waits = &pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"];
        match waits.as_str() {
            Some("ErrImagePull" | "ImagePullBackOff") => Ok(pod),
            _ => Err(pod["status"].to_string()),
        }
    })
    .await;
    let workload = &pod["status"]["containerStatuses"][0];
    assert_eq!(workload["state"]["running"], Value::Null, "{workload}");
    runtime(&["images", "tag", KEPT, IMAGE]);
    runtime(&["images", "rm", KEPT]);
    all_ready(&scene, 3).await;
    scene.end_namespace().await;
}
