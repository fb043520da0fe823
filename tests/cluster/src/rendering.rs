//! What kustomize and Helm make of the manifests, without asking a cluster.

use std::fs;

use crate::cluster::root;
use crate::objects::{differences, objects};
use crate::scene::Scene;

/// The chart, from the workspace's root.
pub(crate) const CHART: &str = "manifests/helm/outrigger";
/// What both can render: an overlay, or the chart with values of the same name.
pub(crate) const FLAVOURS: [&str; 4] = ["self-signed", "cert-manager", "dev", "everything"];

/// The overlay of a flavour; `everything` is the one with all components.
pub(crate) async fn kustomized(scene: &Scene, flavour: &str) -> String {
    if flavour != "everything" {
        let overlay = format!("manifests/overlays/{flavour}");
        return scene.kubectl(&["kustomize", &overlay]).await.ok();
    }
    // As a user has it: a kustomization beside ours, with the workload's namespace as another one.
    let folder = tempfile::tempdir_in(root().join("manifests")).unwrap();
    for (name, text) in [
        (
            "webhook",
            "resources: [../../overlays/self-signed]\n\
             components: [../../components/service-monitor, ../../components/pod-monitor]\n",
        ),
        (
            "workload",
            "components: [../../components/sidecar-access]\nnamespace: demo\n",
        ),
    ] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("kustomization.yaml"), text).unwrap();
    }
    fs::write(
        folder.path().join("kustomization.yaml"),
        "resources: [webhook, workload]\n",
    )
    .unwrap();
    let path = folder.path().display().to_string();
    scene.kubectl(&["kustomize", &path]).await.ok()
}

/// The chart with the values of a flavour.
pub(crate) async fn templated(scene: &Scene, flavour: &str) -> String {
    let values = format!("{CHART}/ci/{flavour}.yaml");
    let args = [
        "template",
        "outrigger",
        CHART,
        "-n",
        "outrigger-system",
        "-f",
        &values,
    ];
    scene.helm(&args).await.ok()
}

/// The Namespace is the one difference: Helm's user makes it, with `--create-namespace`.
pub(crate) async fn same_objects(scene: Scene) {
    for flavour in FLAVOURS {
        let by_kustomize = objects(&kustomized(&scene, flavour).await);
        let by_helm = objects(&templated(&scene, flavour).await);
        assert!(by_helm.len() >= 10, "{flavour}: only {}", by_helm.len());
        assert_eq!(
            differences(&by_kustomize, &by_helm),
            ["Namespace /outrigger-system: only left"],
            "{flavour}: kustomize | helm"
        );
    }
}

pub(crate) async fn chart(scene: Scene) {
    for flavour in FLAVOURS {
        let values = format!("{CHART}/ci/{flavour}.yaml");
        scene
            .helm(&["lint", "--strict", CHART, "-f", &values])
            .await
            .ok();
    }
    for (value, complaint) in [
        ("certificates.mode=letsencrypt", "/certificates/mode"),
        ("certificates.mode=mounted", "/certificates/caBundle"),
        ("webhook.timeoutSeconds=31", "/webhook/timeoutSeconds"),
        ("image.digest=sha256:12", "/image/digest"),
        ("replica=3", "replica"),
    ] {
        let said = scene
            .helm(&["template", CHART, "--set", value])
            .await
            .refused();
        assert!(said.contains(complaint), "{value}: {said}");
    }
}
