//! The policy that keeps a sidecar's right to patch pods to one label of its own pod: what a sidecar
//! does is done here with the very token that it would have.

use serde_json::Value;

use crate::installation::{install, remove};
use crate::scene::Scene;

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: agdb-0, labels: {app: agdb}, annotations: {note: old}}
spec: {containers: [{name: main, image: none}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agdb-1, labels: {app: agdb}}
spec: {containers: [{name: main, image: none}]}
";

pub(crate) async fn own_label(scene: Scene) {
    install(&scene).await;
    scene.make_namespace().await;
    scene.apply(PODS).await;
    let access = scene
        .kubectl(&["kustomize", "manifests/components/sidecar-access"])
        .await
        .ok()
        .replace(
            "namespace: default",
            &format!("namespace: {}", scene.namespace),
        );
    scene.apply(&access).await;
    let bound = token(
        &scene,
        &["--bound-object-kind=Pod", "--bound-object-name=agdb-0"],
    )
    .await;
    let unbound = token(&scene, &[]).await;

    // Roles and policies reach the API server's caches a moment after they are made.
    let role =
        |value: &str| format!("{{\"metadata\":{{\"labels\":{{\"outrigger.dev/role\":{value}}}}}}}");
    outrigger_tests::eventually(
        std::time::Duration::from_secs(30),
        "a sidecar labels its own pod, and another's is refused",
        async || {
            let own = patch(&scene, &bound, "agdb-0", &role("\"leader\"")).await;
            let other = patch(&scene, &bound, "agdb-1", &role("\"leader\"")).await;
            match (own, other) {
                (Ok(()), Err(why)) if why.contains("a sidecar may patch its own pod alone") => {
                    Ok(())
                }
                seen => Err(format!("{seen:?}")),
            }
        },
    )
    .await;
    for (change, complaint) in [
        (
            r#"{"metadata":{"labels":{"app":"other"}}}"#,
            "no label but outrigger.dev/role",
        ),
        (
            r#"{"metadata":{"labels":{"app":null}}}"#,
            "no label but outrigger.dev/role",
        ),
        (
            r#"{"metadata":{"labels":{"more":"x"}}}"#,
            "no label but outrigger.dev/role",
        ),
        (
            r#"{"metadata":{"annotations":{"note":"new"}}}"#,
            "nothing of its pod but",
        ),
        (
            r#"{"metadata":{"annotations":{"note":null}}}"#,
            "nothing of its pod but",
        ),
        (
            r#"{"metadata":{"finalizers":["example.org/held"]}}"#,
            "nothing of its pod but",
        ),
        (
            r#"{"spec":{"containers":[{"name":"main","image":"evil"}]}}"#,
            "nothing of its pod but",
        ),
    ] {
        let why = patch(&scene, &bound, "agdb-0", change).await.unwrap_err();
        assert!(why.contains(complaint), "{change}: {why}");
    }
    for value in ["\"follower\"", "null"] {
        patch(&scene, &bound, "agdb-0", &role(value)).await.unwrap();
    }
    let why = patch(&scene, &unbound, "agdb-0", &role("\"leader\""))
        .await
        .unwrap_err();
    assert!(why.contains("own pod alone"), "a token of no pod: {why}");

    // Whoever may update pods anyway is not concerned.
    scene
        .kubectl(&["label", "pod/agdb-1", "-n", &scene.namespace, "more=x"])
        .await
        .ok();
    remove(&scene).await;
    scene.end_namespace().await;
}

async fn token(scene: &Scene, bound: &[&str]) -> String {
    let args = [
        &["create", "token", "default", "-n", &scene.namespace],
        bound,
    ]
    .concat();
    scene.kubectl(&args).await.ok().trim_end().to_owned()
}

/// A patch as the sidecar sends it: one request with nothing but its token (`kubectl` would read the
/// pod first). The error is what the API server said.
async fn patch(scene: &Scene, token: &str, pod: &str, change: &str) -> Result<(), String> {
    let config = scene
        .kubectl(&["config", "view", "--minify", "-o", "json"])
        .await
        .ok();
    let config: Value = serde_json::from_str(&config).unwrap();
    let cluster = &config["clusters"][0]["cluster"];
    let part = |name: &str| cluster[name].as_str().unwrap().to_owned();
    let url = format!(
        "{}/api/v1/namespaces/{}/pods/{pod}",
        part("server"),
        scene.namespace
    );
    let output = tokio::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--request",
            "PATCH",
            &url,
        ])
        .args(["--cacert", &part("certificate-authority")])
        .args([
            "--header",
            "Content-Type: application/strategic-merge-patch+json",
        ])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--data", change])
        .output()
        .await
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&said).into_owned())
}
