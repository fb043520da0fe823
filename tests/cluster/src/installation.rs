//! Installing by kustomize and by Helm, in front of a real API server.

use crate::rendering::{CHART, FLAVOURS, kustomized, templated};
use crate::scene::Scene;

pub(crate) const NAMESPACE: &str = "outrigger-system";

/// Kinds that others bring, so that objects of them can be applied; nothing is known of their fields.
fn foreign_kinds() -> String {
    [
        ("cert-manager.io", "v1", "Certificate"),
        ("cert-manager.io", "v1", "Issuer"),
        ("monitoring.coreos.com", "v1", "ServiceMonitor"),
        ("monitoring.coreos.com", "v1", "PodMonitor"),
    ]
    .map(|(group, version, kind)| {
        let singular = kind.to_lowercase();
        format!(
            "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
             metadata: {{name: {singular}s.{group}}}\n\
             spec:\n  group: {group}\n  scope: Namespaced\n\
             \x20 names: {{kind: {kind}, plural: {singular}s, singular: {singular}}}\n\
             \x20 versions:\n    - name: {version}\n      served: true\n      storage: true\n\
             \x20     schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n"
        )
    })
    .concat()
}

/// Applies the overlay with self-made certificates.
pub(crate) async fn install(scene: &Scene) {
    let objects = kustomized(scene, "self-signed").await;
    scene
        .kubectl_with(&["apply", "-f", "-"], &objects)
        .await
        .ok();
}

/// Takes it away again.
pub(crate) async fn remove(scene: &Scene) {
    let objects = kustomized(scene, "self-signed").await;
    scene
        .kubectl_with(
            &["delete", "--ignore-not-found", "--timeout=60s", "-f", "-"],
            &objects,
        )
        .await
        .ok();
}

/// Strict validation of fields, Pod Security at its strictest level, and no warning.
pub(crate) async fn every_manifest(scene: Scene) {
    let kinds = foreign_kinds();
    scene.kubectl_with(&["apply", "-f", "-"], &kinds).await.ok();
    scene
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=30s",
        ])
        .await
        .ok();
    // A dry run needs the namespaces; the first one with its Pod Security label.
    scene
        .kubectl(&[
            "apply",
            "--server-side",
            "-f",
            "manifests/base/namespace.yaml",
        ])
        .await
        .ok();
    scene.kubectl(&["create", "namespace", "demo"]).await.ok();
    // So does a pod its account: that of `helm test`.
    let account = [
        "create",
        "serviceaccount",
        "outrigger-test-check",
        "-n",
        NAMESPACE,
    ];
    scene.kubectl(&account).await.ok();
    for flavour in FLAVOURS {
        for (by, objects) in [
            ("kustomize", kustomized(&scene, flavour).await),
            ("helm", templated(&scene, flavour).await),
        ] {
            let args = [
                "apply",
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                "-",
            ];
            let said = scene.kubectl_with(&args, &objects).await;
            assert_eq!(said.stderr, "", "{flavour} by {by}");
            said.ok();
        }
    }
    for namespace in ["demo", NAMESPACE] {
        scene
            .kubectl(&["delete", "namespace", namespace, "--timeout=60s"])
            .await
            .ok();
    }
    scene
        .kubectl_with(&["delete", "-f", "-", "--timeout=60s"], &kinds)
        .await
        .ok();
}

/// As the webhook does after its start: certificates in the Secret, the authority in the configuration.
async fn as_the_webhook(scene: &Scene) {
    let secret = r#"{"data":{"tls.crt":"Y2VydA=="}}"#.to_owned();
    let configuration = serde_json::json!({
        "webhooks": [{ "name": "inject.outrigger.dev", "clientConfig": { "caBundle": AUTHORITY } }]
    });
    for (object, patch) in [
        ("secret/outrigger-webhook-tls", secret),
        (
            "mutatingwebhookconfiguration/outrigger",
            configuration.to_string(),
        ),
    ] {
        let account = "--as=system:serviceaccount:outrigger-system:outrigger-webhook";
        scene
            .kubectl(&["patch", object, "-n", NAMESPACE, "-p", &patch, account])
            .await
            .ok();
    }
}

/// Whether what it wrote is still there.
async fn is_kept(scene: &Scene) {
    let secret = scene
        .get(&["-n", NAMESPACE, "secret/outrigger-webhook-tls"])
        .await;
    assert_eq!(secret["data"]["tls.crt"], "Y2VydA==");
    let configuration = scene.get(&["mutatingwebhookconfiguration/outrigger"]).await;
    assert_eq!(
        configuration["webhooks"][0]["clientConfig"]["caBundle"],
        AUTHORITY
    );
}

pub(crate) async fn apply_twice(scene: Scene) {
    install(&scene).await;
    as_the_webhook(&scene).await;
    install(&scene).await;
    is_kept(&scene).await;
    // Nor is there anything left to do: who compares again and again is not misled.
    let objects = kustomized(&scene, "self-signed").await;
    let said = scene
        .kubectl_with(&["diff", "-f", "-"], &objects)
        .await
        .ok();
    assert_eq!(said, "");
    remove(&scene).await;
}

pub(crate) async fn helm(scene: Scene) {
    let install = [
        "upgrade",
        "--install",
        "outrigger",
        CHART,
        "-n",
        NAMESPACE,
        "--create-namespace",
    ];
    let said = scene.helm(&install).await.ok();
    assert!(
        said.contains("rollout status deployment/outrigger-webhook"),
        "{said}"
    );
    as_the_webhook(&scene).await;
    scene
        .helm(&[&install[..], &["--set", "replicas=3"]].concat())
        .await
        .ok();
    is_kept(&scene).await;
    let deployment = scene
        .get(&["-n", NAMESPACE, "deployment/outrigger-webhook"])
        .await;
    assert_eq!(deployment["spec"]["replicas"], 3);

    scene
        .helm(&["uninstall", "outrigger", "-n", NAMESPACE, "--wait"])
        .await
        .ok();
    scene
        .kubectl(&["delete", "namespace", NAMESPACE, "--timeout=60s"])
        .await
        .ok();
    let kinds = "mutatingwebhookconfigurations,validatingadmissionpolicies,clusterroles,clusterrolebindings";
    let left = scene
        .get(&[kinds, "-l", "app.kubernetes.io/name=outrigger"])
        .await;
    assert_eq!(left["items"], serde_json::json!([]));
}

/// A certificate of an authority (whose key nobody has), in base64 as the field wants it.
const AUTHORITY: &str = include_str!("authority.pem.base64");
