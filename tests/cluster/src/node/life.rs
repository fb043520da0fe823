//! Rollouts, scales and crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_tests::eventually;
use tokio::time::Instant;

use super::READY;
use super::replicas::{Replica, all_ready, each, replicas, start, status};
use crate::scene::Scene;

/// The example's grace period.
const GRACE: Duration = Duration::from_secs(30);

pub(super) async fn rollout(scene: Scene) {
    let before = start(&scene).await;
    scene
        .kubectl(&[
            "rollout",
            "restart",
            "statefulset/agdb",
            "-n",
            &scene.namespace,
        ])
        .await
        .ok();
    let began = Instant::now();
    let mut leaving: BTreeMap<String, Instant> = BTreeMap::new();
    let mut stops: BTreeMap<String, Duration> = BTreeMap::new();
    eventually(READY, "all three are new and ready", async || {
        let now = replicas(&scene).await;
        let serving = now.iter().filter(|replica| replica.serves()).count();
        assert!(serving >= 2, "fewer than two serve: {now:?}");
        for old in &before {
            match now.iter().find(|replica| replica.uid == old.uid) {
                Some(there) if there.leaving => {
                    leaving.entry(old.name.clone()).or_insert_with(Instant::now);
                }
                Some(_) => {}
                None => {
                    let since = leaving
                        .get(&old.name)
                        .map_or(Duration::ZERO, Instant::elapsed);
                    stops.entry(old.name.clone()).or_insert(since);
                }
            }
        }
        if stops.len() == 3 && now.len() == 3 && now.iter().all(Replica::serves) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
    eprintln!("the rollout took {:?}; stops: {stops:?}", began.elapsed());
    for (pod, stop) in &stops {
        assert!(
            *stop < GRACE / 2,
            "{pod} was not drained but killed: {stop:?}"
        );
    }
    all_ready(&scene, 3).await;
    scene.end_namespace().await;
}

pub(super) async fn scale(scene: Scene) {
    start(&scene).await;
    for count in [5_usize, 3] {
        let replicas = format!("--replicas={count}");
        scene
            .kubectl(&[
                "scale",
                "statefulset/agdb",
                &replicas,
                "-n",
                &scene.namespace,
            ])
            .await
            .ok();
        all_ready(&scene, count).await;
        each(
            &scene,
            READY,
            "each sidecar knows how many are wanted",
            |status| status["peers"]["desired"] == count && status["peers"]["seen"] == count,
        )
        .await;
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
