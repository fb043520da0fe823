//! Rollouts, scales and crashes.

use outrigger_tests::eventually;
use tokio::time::Instant;

use super::READY;
use super::replicas::{Replica, all_ready, replicas, scaled, start, status};
use super::stops::Stops;
use crate::scene::Scene;
use crate::traffic::{Traffic, reading};

/// The Service that clients use: the replicas that are ready.
const CLIENTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: agdb-clients}
spec: {selector: {app: agdb}, ports: [{name: api, port: 3000, targetPort: api}]}
";

pub(super) async fn rollout(scene: Scene) {
    let before = start(&scene).await;
    let (stops, traffic) = rolled(&scene, &before, 2).await;
    assert_eq!(traffic.failed, [""; 0], "of {}", traffic.requests);
    stops.were_drained();
    all_ready(&scene, 3).await;
    scene.end_namespace().await;
}

/// A rollout while clients read: tells how it went. At least so many serve at each look.
pub(super) async fn rolled(scene: &Scene, before: &[Replica], least: usize) -> (Stops, Traffic) {
    scene.apply(CLIENTS).await;
    let began = Instant::now();
    let through = async {
        restart(scene).await;
        replaced(scene, before, least).await
    };
    let (stops, traffic) = reading(scene, "agdb-clients:api", "/api/v1/status", through).await;
    eprintln!(
        "the rollout took {:?}; stops: {:?}; {} requests, {} failed, the slowest took {:?}",
        began.elapsed(),
        stops.took,
        traffic.requests,
        traffic.failed.len(),
        traffic.slowest
    );
    (stops, traffic)
}

pub(super) async fn deleted_mid_rollout(scene: Scene) {
    let before = start(&scene).await;
    restart(&scene).await;
    eventually(READY, "the first pod is leaving", async || {
        let now = replicas(&scene).await;
        match now.iter().find(|replica| replica.leaving) {
            Some(_) => Ok(()),
            None => Err(format!("{now:?}")),
        }
    })
    .await;
    let namespace = scene.namespace.as_str();
    scene
        .kubectl(&["delete", "pod/agdb-0", "-n", namespace, "--wait=false"])
        .await
        .ok();
    replaced(&scene, &before, 1).await.were_drained();
    all_ready(&scene, 3).await;
    scene.end_namespace().await;
}

async fn restart(scene: &Scene) {
    let namespace = scene.namespace.as_str();
    scene
        .kubectl(&["rollout", "restart", "statefulset/agdb", "-n", namespace])
        .await
        .ok();
}

/// Waits until each pod is another than before and serves; at least so many serve at each look.
async fn replaced(scene: &Scene, before: &[Replica], least: usize) -> Stops {
    let mut stops = Stops::of(before, least);
    eventually(READY, "all are new and ready", async || {
        let now = replicas(scene).await;
        stops.look(&now);
        if stops.are_over(&now) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
    stops
}

pub(super) async fn scale(scene: Scene) {
    start(&scene).await;
    for count in [5_usize, 3] {
        scaled(&scene, count).await;
    }
    scene.end_namespace().await;
}

pub(super) async fn killed_sidecar(scene: Scene) {
    let before = start(&scene).await;
    // As a crash would end it: by a signal that it cannot handle, from the node.
    let uid = before[0].uid.clone();
    let kill = format!(
        "for process in /proc/[0-9]*; do if grep -q 'pod{uid}' $process/cgroup && \
         tr '\\0' ' ' <$process/cmdline | grep -q '^/outrigger sidecar'; then \
         kill -KILL ${{process#/proc/}}; fi; done"
    );
    scene.cluster.run(&["sh", "-c", &kill]).unwrap();
    eventually(
        READY,
        "the sidecar was started again and is ready",
        async || {
            let now = replicas(&scene).await;
            match now.first() {
                Some(first) if first.sidecar_restarts == 1 && first.ready => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await;
    let after = all_ready(&scene, 3).await;
    assert_eq!(after[0].uid, uid, "the pod is the same");
    assert_eq!(after[0].workload_restarts, 0, "its workload went on");
    let status = status(&scene, "agdb-0").await.unwrap();
    assert_eq!(
        status["files"]["set"], 1,
        "it took over its files: {status}"
    );
    scene.end_namespace().await;
}

pub(super) async fn killed_workload(scene: Scene) {
    let before = start(&scene).await;
    let pod = scene.get(&["pod/agdb-2", "-n", &scene.namespace]).await;
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let id = id.unwrap().trim_start_matches("containerd://");
    scene
        .cluster
        .containerd(&["tasks", "kill", "--signal", "SIGKILL", id])
        .unwrap();
    eventually(READY, "it runs again", async || {
        let now = replicas(&scene).await;
        match now.last() {
            Some(last) if last.workload_restarts == 1 && last.ready => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let after = all_ready(&scene, 3).await;
    assert_eq!(after[2].uid, before[2].uid, "the pod is the same");
    assert_eq!(after[2].sidecar_restarts, 0, "its sidecar went on");
    let status = status(&scene, "agdb-2").await.unwrap();
    assert_eq!(
        status["files"]["set"], 1,
        "nothing was rendered anew: {status}"
    );
    scene.end_namespace().await;
}
