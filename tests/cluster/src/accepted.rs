//! The API server's own validation of every pod that the injector's goldens hold.

use crate::api::Api;
use crate::golden;
use crate::scene::Scene;

/// It accepts all of them, and with the strictest Pod Security all whose original it accepts.
pub(crate) async fn every_patched_pod(scene: Scene) {
    scene.make_namespace().await;
    let namespace = &scene.namespace;
    let api = Api::start(&scene).await;
    let goldens = golden::patched(namespace);
    assert!(goldens.len() > 50, "only {}", goldens.len());
    let mut wrong = Vec::new();
    for golden in &goldens {
        if let Err(why) = api.would_create(namespace, &golden.patched).await {
            wrong.push(format!("{}: {why}", golden.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "refused once they are injected: {wrong:#?}"
    );

    let label = "pod-security.kubernetes.io/enforce=restricted";
    scene
        .kubectl(&["label", "namespace", namespace, label])
        .await
        .ok();
    let mut restricted = 0;
    for golden in &goldens {
        let before = api.would_create(namespace, &golden.original).await;
        let after = api.would_create(namespace, &golden.patched).await;
        match (before, after) {
            (Ok(_), Ok(_)) => restricted += 1,
            (Ok(_), Err(why)) => wrong.push(format!("{}: {why}", golden.name)),
            (Err(why), _) => assert!(why.contains("violates PodSecurity"), "{why}"),
        }
    }
    assert!(wrong.is_empty(), "no longer restricted: {wrong:#?}");
    assert!(restricted > 0);
    eprintln!(
        "{} pods are valid, {restricted} of them restricted",
        goldens.len()
    );
    scene.end_namespace().await;
}
