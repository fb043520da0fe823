//! The cluster's DNS is away for a while.

use outrigger_tests::eventually;

use super::READY;
use super::replicas::{all_ready, each, replicas, start, status};
use crate::scene::Scene;

pub(super) async fn away(scene: Scene) {
    start(&scene).await;
    scene.cluster.stop("coredns").unwrap();
    let namespace = scene.namespace.as_str();
    scene
        .kubectl(&["delete", "pod/agdb-2", "-n", namespace, "--wait=true"])
        .await
        .ok();
    // agdb finds its peers by name, and they it: it cannot be ready, and its sidecar says so.
    let told = eventually(READY, "the new replica says what it lacks", async || {
        let own = status(&scene, "agdb-2").await?;
        let probes = own["probes"].as_array().into_iter().flatten();
        let mut readiness = probes.filter(|probe| probe["name"] == "readiness");
        let reasons = readiness.next().map(|told| told["reasons"].to_string());
        match reasons {
            Some(told) if told.contains("leader") || told.contains("quorum") => Ok(told),
            _ => Err(own.to_string()),
        }
    })
    .await;
    eprintln!("without DNS: {told}");
    each(
        &scene,
        READY,
        "each sees all: slices need no DNS",
        |status| status["peers"]["seen"] == 3,
    )
    .await;
    for replica in replicas(&scene).await {
        assert_eq!(replica.serves(), replica.name != "agdb-2", "{replica:?}");
    }
    scene.cluster.start_again("coredns").unwrap();
    all_ready(&scene, 3).await;
    scene.end_namespace().await;
}
