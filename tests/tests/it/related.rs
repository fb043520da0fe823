//! A StatefulSet whose files list the replicas of another one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outrigger_tests::{Example, Up, eventually};

use crate::pods::{pods, told};

const STATEFUL_SET: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: NAME}
spec:
  serviceName: NAME
  replicas: COUNT
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: NAME}}
  template:
    metadata:
      labels: {app: NAME, outrigger.dev/inject: \"true\"}
      annotations: {outrigger.dev/profile: NAME}
    spec:
      containers:
        - name: main
          image: main
          command: [sleep, infinity]
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: NAME}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME, labels: {outrigger.dev/profile: \"true\"}}
data:
  outrigger.yaml: |
    apiVersion: outrigger.dev/v1alpha1
    kind: Profile
    metadata: {name: NAME}
    spec:
      workload: {container: main}
";

const LISTS: &str = "      related:
        servers: {statefulset: servers}
      files:
        - template: list
          path: /etc/front/list
  list: |
    {% if related.servers.desired < 2 %}{{ refuse(\"one server is no cluster\") }}{% endif %}
    {% for server in related.servers.replicas %}
    {{ server.host }}
    {% endfor %}
";

fn example() -> Example {
    let source = tempfile::tempdir().unwrap();
    let manifest = |name: &str, count: &str| {
        let text = STATEFUL_SET.replace("NAME", name);
        text.replace("COUNT", count)
    };
    // Named so that the one that waits is started before the one it waits for.
    let front = manifest("front", "1") + LISTS;
    fs::write(source.path().join("front.yaml"), front).unwrap();
    fs::write(source.path().join("servers.yaml"), manifest("servers", "2")).unwrap();
    Example::copy_of(source.path())
}

/// The rendered list as it stands.
fn list(folder: &Path) -> Option<PathBuf> {
    let here = folder.join("current/0/list");
    let within = || fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = within().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut below = folders.map(|entry| entry.path());
    here.exists()
        .then_some(here)
        .or_else(|| below.find_map(|folder| list(&folder)))
}

async fn until_listed(up: &Up, count: u32) {
    let hosts = (0..count).map(|n| format!("servers-{n}.servers.default.svc.cluster.local\n"));
    let wanted: String = hosts.collect();
    let what = format!("{count} servers are listed");
    eventually(Duration::from_mins(1), &what, async || {
        let path = list(up.state()).ok_or("there is no list")?;
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        if text == wanted { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test]
async fn a_file_follows_the_replicas_of_another_stateful_set() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    until_listed(&up, 2).await;
    up.command(&["scale", "--statefulset", "servers", "3"])
        .await
        .success();
    until_listed(&up, 3).await;
    told(
        &up,
        "front-0",
        "related `servers`: 3 replicas are wanted, 2 before",
        Duration::from_secs(10),
    )
    .await;
    // Too few: what stands stands, and it is said why.
    up.command(&["scale", "--statefulset", "servers", "1"])
        .await
        .success();
    told(
        &up,
        "front-0",
        "a render is refused, the set before it stands",
        Duration::from_secs(10),
    )
    .await;
    until_listed(&up, 3).await;
    let restarts: Vec<u64> = pods(&up)
        .await
        .unwrap()
        .iter()
        .map(|pod| pod.restarts)
        .collect();
    assert!(
        restarts.iter().all(|restarts| *restarts == 0),
        "{restarts:?}"
    );
}
