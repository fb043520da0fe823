//! The example in a namespace of a test, and how its replicas are.

use std::time::Duration;

use outrigger_tests::eventually;
use serde_json::Value;
use tokio::time::Instant;

use super::READY;
use crate::cluster::root;
use crate::scene::Scene;

const ACCESS: &str = "manifests/components/sidecar-access/access.yaml";

/// One pod of the example.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) ready: bool,
    /// Whether it is being deleted.
    pub(super) leaving: bool,
    pub(super) sidecar_restarts: u64,
    pub(super) workload_restarts: u64,
    /// As its label tells; empty where it has none.
    pub(super) role: String,
}

impl Replica {
    fn read(pod: &Value) -> Self {
        let restarts = |list: &str, name: &str| {
            pod["status"][list]
                .as_array()
                .into_iter()
                .flatten()
                .find(|container| container["name"] == name)
                .and_then(|container| container["restartCount"].as_u64())
                .unwrap_or_default()
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            name: text(&pod["metadata"]["name"]),
            uid: text(&pod["metadata"]["uid"]),
            ready: is_ready(pod),
            leaving: pod["metadata"]["deletionTimestamp"].is_string(),
            sidecar_restarts: restarts("initContainerStatuses", "outrigger"),
            workload_restarts: restarts("containerStatuses", "agdb"),
            role: text(&pod["metadata"]["labels"]["outrigger.dev/role"]),
        }
    }

    /// Whether it takes requests.
    pub(super) fn serves(&self) -> bool {
        self.ready && !self.leaving
    }
}

/// Whether a pod's condition says so.
pub(super) fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Asks for so many replicas of a StatefulSet.
pub(super) async fn scale(scene: &Scene, stateful_set: &str, count: usize) {
    let stateful_set = format!("statefulset/{stateful_set}");
    let replicas = format!("--replicas={count}");
    let namespace = scene.namespace.as_str();
    scene
        .kubectl(&["scale", &stateful_set, &replicas, "-n", namespace])
        .await
        .ok();
}

/// Puts the example into the test's namespace, which lets nothing in that is not *restricted*, and
/// waits until it serves.
pub(super) async fn start(scene: &Scene) -> Vec<Replica> {
    start_as(scene, |_objects| {}).await
}

/// The same with objects that were changed before.
pub(super) async fn start_as(scene: &Scene, change: impl FnOnce(&mut [Value])) -> Vec<Replica> {
    scene.make_namespace().await;
    let strict = "pod-security.kubernetes.io/enforce=restricted";
    scene
        .kubectl(&["label", "namespace", &scene.namespace, strict])
        .await
        .ok();
    allow(scene).await;
    let began = Instant::now();
    apply(scene, change).await;
    let started = serving(scene, 3).await;
    eprintln!("three are ready after {:?}", began.elapsed());
    all_ready(scene, started.len()).await
}

/// Waits until so many serve and no other is there.
pub(super) async fn serving(scene: &Scene, count: usize) -> Vec<Replica> {
    eventually(READY, "all replicas are ready", async || {
        let found = replicas(scene).await;
        if found.len() == count && found.iter().all(Replica::serves) {
            Ok(found)
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
}

/// Lets the sidecars of the namespace do what its owner decides about.
pub(super) async fn allow(scene: &Scene) {
    let access = std::fs::read_to_string(root().join(ACCESS)).unwrap();
    let own = format!("namespace: {}", scene.namespace);
    scene
        .apply(&access.replace("namespace: default", &own))
        .await;
}

/// Applies the example's objects, changed.
pub(super) async fn apply(scene: &Scene, change: impl FnOnce(&mut [Value])) {
    let printed = scene
        .kubectl(&[
            "create",
            "--dry-run=client",
            "-o",
            "json",
            "-k",
            "examples/agdb",
        ])
        .await
        .ok();
    let printed = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let mut objects: Vec<Value> = printed.map(Result::unwrap).collect();
    change(&mut objects);
    for object in &mut objects {
        object["metadata"]["namespace"] = scene.namespace.as_str().into();
    }
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    // By the server: what a client's own apply remembers has no room for a plugin.
    let namespace = scene.namespace.as_str();
    let apply = ["apply", "--server-side", "-n", namespace, "-f", "-"];
    scene
        .kubectl_with(&apply, &documents.join("\n---\n"))
        .await
        .ok();
}

/// The object of this kind among the example's.
pub(super) fn of_kind<'a>(objects: &'a mut [Value], kind: &str) -> &'a mut Value {
    let found = objects.iter_mut().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("the example has no {kind}"))
}

/// The pods of the example, in the order of their ordinals.
pub(super) async fn replicas(scene: &Scene) -> Vec<Replica> {
    let pods = scene
        .get(&["pods", "-n", &scene.namespace, "-l", "app=agdb"])
        .await;
    let mut found: Vec<Replica> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(Replica::read)
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Waits until so many are ready, no other is there, and one leads.
pub(super) async fn all_ready(scene: &Scene, count: usize) -> Vec<Replica> {
    eventually(READY, "all replicas are ready and one leads", async || {
        let found = replicas(scene).await;
        if found.len() != count || !found.iter().all(Replica::serves) {
            let mut told = format!("{found:?}");
            for replica in found.iter().filter(|replica| !replica.ready) {
                let log = scene
                    .kubectl(&[
                        "logs",
                        &replica.name,
                        "-n",
                        &scene.namespace,
                        "-c",
                        "outrigger",
                        "--tail=5",
                    ])
                    .await;
                told = format!("{told}\n{}{}", log.stdout, log.stderr);
            }
            return Err(told);
        }
        let mut leaders = 0;
        for replica in &found {
            let status = status(scene, &replica.name).await?;
            leaders += usize::from(status["role"] == "leader");
        }
        if leaders == 1 {
            Ok(found)
        } else {
            Err(format!("{leaders} lead"))
        }
    })
    .await
}

/// What a sidecar tells of itself, through the API server.
pub(super) async fn status(scene: &Scene, pod: &str) -> Result<Value, String> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{pod}:7070/proxy/status",
        scene.namespace
    );
    let said = scene.kubectl(&["get", "--raw", &path]).await;
    if said.success {
        serde_json::from_str(&said.stdout).map_err(|error| error.to_string())
    } else {
        Err(said.stderr)
    }
}

/// Waits until each sidecar's status is as it should be.
pub(super) async fn each(scene: &Scene, within: Duration, what: &str, so: impl Fn(&Value) -> bool) {
    eventually(within, what, async || {
        for replica in replicas(scene).await {
            let status = status(scene, &replica.name).await?;
            if !so(&status) {
                return Err(format!("{}: {status}", replica.name));
            }
        }
        Ok::<(), String>(())
    })
    .await;
}

/// Scales the example, and waits until all are ready and each knows how many are wanted, and sees them.
pub(super) async fn scaled(scene: &Scene, count: usize) -> Vec<Replica> {
    scale(scene, "agdb", count).await;
    let found = all_ready(scene, count).await;
    each(
        scene,
        READY,
        "each sidecar knows how many are wanted",
        |status| status["peers"]["desired"] == count && status["peers"]["seen"] == count,
    )
    .await;
    found
}
