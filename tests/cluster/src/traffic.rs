//! Clients that ask without an end while something happens: for pods, as dry runs, or a Service.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::Api;
use crate::golden;
use crate::scene::Scene;

/// A StatefulSet whose second pod never comes, since nobody makes the first one ready: so that it can be
/// created again and again as a dry run.
const WORKLOAD: &str = "
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: db}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: none}]}
";

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    /// What was answered to those that failed.
    pub(crate) failed: Vec<String>,
    pub(crate) slowest: Duration,
}

/// Two clients create pods of `workload`, each as fast as it gets answers, until `drive` ends.
pub(crate) async fn during<T>(scene: &Scene, drive: impl Future<Output = T>) -> (T, Traffic) {
    let api = Api::start(scene).await;
    let pod = pod(scene).await;
    let create = async || {
        let pod = api.would_create(&scene.namespace, &pod).await?;
        if pod["spec"]["initContainers"][0]["name"] == "outrigger" {
            Ok(())
        } else {
            Err(format!("not injected: {pod}"))
        }
    };
    clients(create, drive).await
}

/// Two clients read a path of a Service through the API server, which passes each request on to an
/// endpoint that is ready, until `drive` ends.
pub(crate) async fn reading<T>(
    scene: &Scene,
    service_and_port: &str,
    path: &str,
    drive: impl Future<Output = T>,
) -> (T, Traffic) {
    let api = Api::start(scene).await;
    let read = async || api.read(&scene.namespace, service_and_port, path).await;
    clients(read, drive).await
}

async fn clients<T>(
    ask: impl AsyncFn() -> Result<(), String>,
    drive: impl Future<Output = T>,
) -> (T, Traffic) {
    let traffic = RefCell::new(Traffic::default());
    let client = async || {
        loop {
            let asked = Instant::now();
            let answer = ask().await;
            let mut traffic = traffic.borrow_mut();
            traffic.requests += 1;
            traffic.slowest = traffic.slowest.max(asked.elapsed());
            traffic.failed.extend(answer.err());
        }
    };
    let result = tokio::select! {
        result = drive => result,
        () = client() => unreachable!("a client goes on"),
        () = client() => unreachable!("a client goes on"),
    };
    (result, traffic.into_inner())
}

/// Makes a namespace with the workload and its profile.
pub(crate) async fn workload(scene: &Scene) {
    scene.make_namespace().await;
    scene.apply(WORKLOAD).await;
    let namespace = scene.namespace.as_str();
    let file = "--from-file=host/injector/tests/profiles/plain/outrigger.yaml";
    for args in [
        ["create", "configmap", "plain", file],
        ["label", "configmap", "plain", "outrigger.dev/profile=true"],
    ] {
        let args = [&args[..], &["-n", namespace]].concat();
        scene.kubectl(&args).await.ok();
    }
}

/// Its second pod as the controller would make it, asking for the sidecar.
async fn pod(scene: &Scene) -> Value {
    let owner = scene.get(&["statefulset/db", "-n", &scene.namespace]).await;
    let mut pod = golden::read("plain/pod.yaml", &scene.namespace);
    pod["metadata"]["name"] = json!("db-1");
    let labels = &mut pod["metadata"]["labels"];
    labels["apps.kubernetes.io/pod-index"] = json!("1");
    labels["statefulset.kubernetes.io/pod-name"] = json!("db-1");
    pod["metadata"]["ownerReferences"][0]["uid"] = owner["metadata"]["uid"].clone();
    pod["spec"]["hostname"] = json!("db-1");
    pod
}
