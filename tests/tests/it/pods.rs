//! What the tests ask of a running `up`: which replicas are ready, who leads, where they answer.

use std::time::Duration;

use outrigger_tests::{Agdb, Up, eventually};
use serde_json::Value;

/// From nothing to ready: agdb's own election takes up to four seconds, the rest is processes.
pub(crate) const READY: Duration = Duration::from_mins(1);

/// One replica as `outrigger ps --json` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) ready: bool,
    pub(crate) role: Option<String>,
    pub(crate) restarts: u64,
    pub(crate) address: String,
}

/// Every replica, in the order of `ps`.
pub(crate) async fn pods(up: &Up) -> Result<Vec<Pod>, String> {
    let ps = up.ps().await?;
    let sets = ps["stateful-sets"]
        .as_array()
        .ok_or_else(|| format!("no StatefulSets in {ps}"))?;
    let lists = sets.iter().filter_map(|set| set["pods"].as_array());
    Ok(lists.flatten().map(pod).collect())
}

fn pod(value: &Value) -> Pod {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    Pod {
        name: text("name").unwrap_or_default(),
        ready: value["phase"] == "ready",
        role: text("role"),
        restarts: value["restarts"].as_u64().unwrap_or_default(),
        address: value["reachable"]
            .as_array()
            .and_then(|ports| ports.iter().find(|port| port["name"] == "api"))
            .and_then(|port| port["address"].as_str())
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Waits until exactly `count` replicas exist, all are ready and one leads; gives them.
pub(crate) async fn all_ready(up: &Up, count: usize) -> Vec<Pod> {
    eventually(
        READY,
        &format!("{count} replicas are ready and one leads"),
        async || {
            let pods = pods(up).await?;
            let leaders = pods
                .iter()
                .filter(|pod| pod.role.as_deref() == Some("leader"))
                .count();
            if pods.len() == count && pods.iter().all(|pod| pod.ready) && leaders == 1 {
                Ok(pods)
            } else {
                Err(format!("{pods:?}"))
            }
        },
    )
    .await
}

/// The agdb server of a replica, as the user's shell reaches it.
pub(crate) fn agdb(pod: &Pod) -> Agdb {
    Agdb::at(&pod.address)
}

/// The one that leads.
pub(crate) fn leader(pods: &[Pod]) -> &Pod {
    pods.iter()
        .find(|pod| pod.role.as_deref() == Some("leader"))
        .expect("one leads")
}

/// The entries of a sidecar's timeline, oldest first: each its message and its fields.
async fn timeline(up: &Up, pod: &str) -> Result<Vec<String>, String> {
    let answer = up
        .sidecar(pod)
        .get("/timeline")
        .await
        .map_err(|error| error.to_string())?;
    let entries: Value = answer.json();
    let list = entries["entries"]
        .as_array()
        .ok_or_else(|| format!("no entries in {entries}"))?;
    let line = |entry: &Value| {
        let message = entry["message"].as_str().unwrap_or_default();
        format!("{message} {}", entry["fields"])
    };
    Ok(list.iter().map(line).collect())
}

/// Waits until a line of a sidecar's timeline holds a text.
pub(crate) async fn told(up: &Up, pod: &str, text: &str, within: Duration) {
    eventually(
        within,
        &format!("{pod}'s timeline tells `{text}`"),
        async || {
            let lines = timeline(up, pod).await?;
            if lines.iter().any(|line| line.contains(text)) {
                Ok(())
            } else {
                Err(lines.join("\n    "))
            }
        },
    )
    .await;
}

/// A sidecar's answer to a probe: whether it passes, and the codes of its reasons.
pub(crate) async fn probe(up: &Up, pod: &str, probe: &str) -> Result<(bool, Vec<String>), String> {
    let answer = up
        .sidecar(pod)
        .get(&format!("/{probe}"))
        .await
        .map_err(|error| error.to_string())?;
    let body: Value = answer.json();
    let codes = body["reasons"].as_array().cloned().unwrap_or_default();
    Ok((
        body["pass"].as_bool().unwrap_or_default(),
        codes
            .iter()
            .map(|reason| reason["code"].as_str().unwrap_or_default().to_owned())
            .collect(),
    ))
}
