//! `outrigger check` in front of an installation that works, and of one with faults.

use std::time::Duration;

use outrigger_tests::eventually;

use crate::injection::pods;
use crate::installation::{NAMESPACE, remove};
use crate::scene::Scene;
use crate::webhook::Webhooks;

pub(crate) async fn installation(scene: Scene) {
    let nothing = scene.outrigger(&["check"]).await;
    assert!(!nothing.success);
    assert!(
        nothing
            .stdout
            .contains("error: installation: there is neither"),
        "{nothing:?}"
    );
    // What it says mends it.
    scene.mend(&nothing.stdout, "installation").await;
    scene.make_namespace().await;
    let namespace = scene.namespace.as_str();
    let mut webhooks = Webhooks::start(&scene, 2, &[]).await;
    are_ready(&scene).await;
    scene
        .kubectl(&["apply", "-n", namespace, "-k", "examples/agdb"])
        .await
        .ok();
    pods(&scene, || webhooks.log(0)).await;

    let said = scene.outrigger(&["check", "-n", namespace]).await;
    assert_eq!(
        said.stdout,
        "ok: Kubernetes: 1.36\n\
         ok: webhook configuration: outrigger asks outrigger-webhook\n\
         ok: webhook: 2 replicas are ready\n\
         ok: service: outrigger-webhook has 2 ready endpoints\n\
         ok: dry run: the API server reaches the webhook through its Service\n\
         ok: authority: trusted for 364 days\n\
         ok: certificate: it holds for 6 days\n\
         ok: rights: the webhook's account may do what it needs\n\
         ok: profiles: 1 with the label, none with errors\n\
         ok: pods: every replica that asks has its sidecar, as the webhook injects it now: 3\n"
    );
    said.ok();

    // Two faults at once: nobody answers, and a right is gone.
    webhooks.end().await;
    scene
        .kubectl(&["delete", "clusterrolebinding/outrigger-webhook"])
        .await
        .ok();
    let said = eventually(
        Duration::from_secs(30),
        "both faults are told",
        async || {
            let said = scene.outrigger(&["check", "-n", namespace]).await;
            let bad = said.stdout.matches("error: ").count();
            if bad == 2 { Ok(said) } else { Err(said.stdout) }
        },
    )
    .await;
    assert!(!said.success);
    for line in [
        "error: dry run: the API server does not reach the webhook, so that labelled pods cannot be created: ",
        &format!("  mend: kubectl -n {NAMESPACE} logs deployment/outrigger-webhook\n"),
        "error: rights: the webhook's account may not list configmaps, watch configmaps, ",
    ] {
        assert!(said.stdout.contains(line), "{line}\n{}", said.stdout);
    }
    scene.mend(&said.stdout, "rights").await;
    eventually(Duration::from_secs(30), "the rights are back", async || {
        let said = scene.outrigger(&["check", "-n", namespace]).await.stdout;
        if said.contains("ok: rights") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    drop(webhooks);
    remove(&scene).await;
    scene.end_namespace().await;
}

impl Scene {
    /// Does what `outrigger check` says to a line about something.
    async fn mend(&self, said: &str, about: &str) {
        let mut lines = said
            .lines()
            .skip_while(|line| !line.starts_with(&format!("error: {about}: ")));
        let command = lines
            .nth(1)
            .and_then(|line| line.strip_prefix("  mend: kubectl "))
            .unwrap_or_else(|| panic!("no command mends {about}: {said}"));
        let args: Vec<&str> = command.split(' ').collect();
        self.kubectl(&args).await.ok();
    }
}

/// Says of the Deployment's pods what a kubelet would: that they are ready, as our processes are.
async fn are_ready(scene: &Scene) {
    let status =
        r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
    eventually(
        Duration::from_mins(1),
        "the Deployment's replicas are ready",
        async || {
            let label = "app.kubernetes.io/component=webhook";
            let pods = scene.get(&["pods", "-n", NAMESPACE, "-l", label]).await;
            for pod in pods["items"].as_array().into_iter().flatten() {
                let name = format!("pod/{}", pod["metadata"]["name"].as_str().unwrap());
                let args = [
                    "patch",
                    "--subresource=status",
                    &name,
                    "-n",
                    NAMESPACE,
                    "-p",
                ];
                scene.kubectl(&[&args[..], &[status]].concat()).await.ok();
            }
            let deployment = scene
                .get(&["deployment/outrigger-webhook", "-n", NAMESPACE])
                .await;
            if deployment["status"]["readyReplicas"] == 2 {
                Ok(())
            } else {
                Err(deployment["status"].to_string())
            }
        },
    )
    .await;
}
