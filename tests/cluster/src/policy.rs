//! The injection without a webhook: what `outrigger policy` prints is carried out by the API server.

use std::time::Duration;

use outrigger_tests::eventually;
use serde_json::{Value, json};

use crate::api::Api;
use crate::golden;
use crate::injection::pods;
use crate::objects::unlike;
use crate::scene::Scene;

pub(crate) async fn without_a_webhook(scene: Scene) {
    scene.make_namespace().await;
    let namespace = scene.namespace.as_str();
    let api = Api::start(&scene).await;
    let expected = golden::of_the_example(&api, namespace, 3).await;
    let policies = scene
        .outrigger(&["policy", "-f", "examples/agdb", "-n", namespace])
        .await
        .ok();
    for mode in ["--dry-run=server", "--dry-run=none"] {
        let args = ["apply", "--validate=strict", mode, "-f", "-"];
        let said = scene.kubectl_with(&args, &policies).await;
        assert_eq!(said.stderr, "", "{mode}");
        said.ok();
    }
    let pod = golden::read("agdb/pod.yaml", namespace);
    eventually(
        Duration::from_mins(1),
        "the policy is in force: its StatefulSet is missed",
        async || match api.would_create(namespace, &pod).await {
            Err(why) if why.contains("no params found") => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;

    scene
        .kubectl(&["apply", "-n", namespace, "-k", "examples/agdb"])
        .await
        .ok();
    let pods = pods(&scene, String::new).await;
    for (ordinal, (pod, expected)) in pods.iter().zip(&expected).enumerate() {
        let (mut pod, _) = golden::comparable(pod);
        let mut expected = expected.clone();
        // What was not there before the injection is not noted by a policy.
        for pod in [&mut pod, &mut expected] {
            let mut status = golden::status(pod);
            status.remove("created");
            pod["annotations"]["outrigger.dev/status"] = Value::Object(status);
        }
        let differences = unlike(&format!("agdb-{ordinal}"), &pod, &expected);
        assert!(
            differences.is_empty(),
            "cluster | golden\n{}",
            differences.join("\n")
        );
    }

    // Replicas are followed; an annotation that does not exist is refused.
    scene
        .kubectl(&["scale", "statefulset/agdb", "--replicas=5", "-n", namespace])
        .await
        .ok();
    let mut next = golden::read("agdb/pod.yaml", namespace);
    next["metadata"]["name"] = json!("agdb-7");
    eventually(
        Duration::from_mins(1),
        "a pod knows the new number of replicas",
        async || {
            let pod = api.would_create(namespace, &next).await?;
            let variables = &pod["spec"]["initContainers"][0]["env"];
            let found = variables.as_array().into_iter().flatten();
            let replicas = found
                .filter(|one| one["name"] == "OUTRIGGER_REPLICAS")
                .map(|one| one["value"].to_string())
                .collect::<String>();
            if replicas == "\"5\"" {
                Ok(())
            } else {
                Err(replicas)
            }
        },
    )
    .await;
    next["metadata"]["annotations"]["outrigger.dev/profil"] = json!("agdb-outrigger");
    let why = api.would_create(namespace, &next).await.unwrap_err();
    assert!(why.contains("does not exist"), "{why}");

    scene
        .kubectl_with(&["delete", "-f", "-"], &policies)
        .await
        .ok();
    scene.end_namespace().await;
}
