//! Certificates, their authority and the webhook's replicas change while pods are created, and no creation
//! fails.

use std::collections::BTreeSet;
use std::time::Duration;

use outrigger_tests::eventually;
use tokio::time::Instant;

use crate::installation::{install, remove};
use crate::scene::Scene;
use crate::traffic::{during, workload};
use crate::webhook::Webhooks;

/// Lives of an authority and of a certificate; how long an authority is trusted before its certificates are
/// served, and past the last of them.
const LIVES: &str = "45s,18s,4s,3s";
/// Connections are as old as this at most, so that handshakes are many.
const CONNECTION_LIFE: &str = "250ms";

/// How long the whole may take.
const AT_MOST: Duration = Duration::from_secs(100);

/// Lives are so short that an authority comes and goes within a minute.
pub(crate) async fn of_certificates(scene: Scene) {
    workload(&scene).await;
    install(&scene).await;
    let options = [
        "--certificate-lives",
        LIVES,
        "--connection-life",
        CONNECTION_LIFE,
    ];
    let webhooks = Webhooks::start(&scene, 2, &options).await;
    let begun = Instant::now();
    let (bundles, traffic) = during(&scene, rotated(&scene, &webhooks)).await;
    let (renewals, rotations) = steps(&webhooks);
    let handshakes = webhooks.metric("outrigger_webhook_handshakes_total").await;
    let refused = "outrigger_webhook_rejected_total{limit=\"handshake\"}";
    let refused = webhooks.metric(refused).await;
    eprintln!(
        "{} requests ({} failed, the slowest took {} ms), {handshakes} handshakes ({refused} failed), \
         {renewals} renewals, {rotations} rotations, {bundles} bundles, in {} s",
        traffic.requests,
        traffic.failed.len(),
        traffic.slowest.as_millis(),
        begun.elapsed().as_secs()
    );
    assert_eq!(traffic.failed, Vec::<String>::new());
    assert_eq!(refused, 0);
    assert!(traffic.requests > 300, "{}", traffic.requests);
    assert!(handshakes > 50, "{handshakes}");
    // The old authority alone, both, the new one alone.
    assert!(bundles >= 3, "{bundles}");
    drop(webhooks);
    clear(&scene).await;
}

/// Each replica ends in order and another takes its place, as when the Deployment is updated.
pub(crate) async fn of_replicas(scene: Scene) {
    workload(&scene).await;
    install(&scene).await;
    let mut webhooks = Webhooks::start(&scene, 2, &[]).await;
    let ((), traffic) = during(&scene, webhooks.replace_all(&scene)).await;
    eprintln!(
        "{} requests ({} failed, the slowest took {} ms)",
        traffic.requests,
        traffic.failed.len(),
        traffic.slowest.as_millis()
    );
    assert_eq!(traffic.failed, Vec::<String>::new());
    assert!(traffic.requests > 50, "{}", traffic.requests);
    drop(webhooks);
    clear(&scene).await;
}

async fn clear(scene: &Scene) {
    remove(scene).await;
    scene.end_namespace().await;
}

/// Waits until the first authority is no longer trusted and certificates were renewed twice beside; returns
/// how many bundles there were.
async fn rotated(scene: &Scene, webhooks: &Webhooks) -> usize {
    let mut bundles = BTreeSet::new();
    let first = bundle(scene).await;
    eventually(
        AT_MOST,
        "the first authority is gone, and certificates were renewed twice",
        async || {
            let now = bundle(scene).await;
            let gone = !now.contains(&first);
            bundles.insert(now);
            let (renewals, rotations) = steps(webhooks);
            if gone && renewals >= 2 && rotations >= 1 {
                Ok(())
            } else {
                Err(format!(
                    "gone: {gone}; {renewals} renewals, {rotations} rotations\n{}",
                    webhooks.log(0)
                ))
            }
        },
    )
    .await;
    bundles.len()
}

/// How often a certificate was made by the authority that signs, and how often another authority took over.
fn steps(webhooks: &Webhooks) -> (usize, usize) {
    let events = webhooks.events();
    let count = |step: &str| {
        let named = events
            .iter()
            .filter(|event| event.to_string().contains(step));
        named.count()
    };
    (count("\"renew-leaf\""), count("\"promote\""))
}

/// Whom API servers are told to trust, as PEM.
async fn bundle(scene: &Scene) -> String {
    let template = "go-template={{(index .webhooks 0).clientConfig.caBundle | base64decode}}";
    let said = scene
        .kubectl(&[
            "get",
            "mutatingwebhookconfiguration/outrigger",
            "-o",
            template,
        ])
        .await
        .ok();
    said.trim().to_owned()
}
