//! What tests ask of a running `up`, as a user at a second terminal does: which replicas there are, what
//! their ports and their sidecars answer, what they wrote.

use std::time::Duration;

use serde_json::Value;

use crate::{Answer, Http, Up, eventually};

/// One replica as `outrigger ps --json` shows it.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Whether it is in service.
    pub ready: bool,
    /// The role that its sidecar tells.
    pub role: Option<String>,
    /// How often its containers were started again.
    pub restarts: u64,
    /// Where its port `api` is reached; empty where it has none.
    pub address: String,
}

/// Every replica, in the order of `ps`.
pub async fn pods(up: &Up) -> Result<Vec<Pod>, String> {
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

/// Waits until exactly `count` replicas exist and all are ready; gives them.
pub async fn all_ready(up: &Up, count: usize, within: Duration) -> Vec<Pod> {
    eventually(within, &format!("{count} replicas are ready"), async || {
        let pods = pods(up).await?;
        if pods.len() == count && pods.iter().all(|pod| pod.ready) {
            Ok(pods)
        } else {
            Err(format!("{pods:?}"))
        }
    })
    .await
}

/// What a replica's sidecar answers; a replica that has none yet is an error.
pub async fn sidecar(up: &Up, pod: &str, path: &str) -> Result<Answer, String> {
    let sidecar = up.started_sidecar(pod);
    let sidecar = sidecar.ok_or_else(|| format!("{pod} has no sidecar yet"))?;
    sidecar.get(path).await.map_err(|error| error.to_string())
}

/// The entries of a sidecar's timeline, oldest first: each its message and its fields.
pub async fn timeline(up: &Up, pod: &str) -> Result<Vec<String>, String> {
    let entries: Value = sidecar(up, pod, "/timeline").await?.json();
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
pub async fn told(up: &Up, pod: &str, text: &str, within: Duration) {
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
pub async fn probe(up: &Up, pod: &str, probe: &str) -> Result<(bool, Vec<String>), String> {
    let body: Value = sidecar(up, pod, &format!("/{probe}")).await?.json();
    let codes = body["reasons"].as_array().cloned().unwrap_or_default();
    Ok((
        body["pass"].as_bool().unwrap_or_default(),
        codes
            .iter()
            .map(|reason| reason["code"].as_str().unwrap_or_default().to_owned())
            .collect(),
    ))
}

/// Where a replica's port is reached.
pub async fn port(up: &Up, pod: &str, name: &str) -> Result<Http, String> {
    let ps = up.ps().await?;
    let sets = ps["stateful-sets"].as_array().cloned().unwrap_or_default();
    let pods = sets.iter().filter_map(|set| set["pods"].as_array());
    let found = pods.flatten().find(|one| one["name"] == pod);
    let ports = found.and_then(|one| one["reachable"].as_array());
    let port = ports.and_then(|ports| ports.iter().find(|port| port["name"] == name));
    let address = port.and_then(|port| port["address"].as_str());
    match address {
        Some(address) => Ok(Http::tcp(address)),
        None => Err(format!("{pod} has no port {name} in {ps}")),
    }
}

/// The answer of a replica's port.
pub async fn get(up: &Up, pod: &str, name: &str, path: &str) -> Result<Answer, String> {
    let http = port(up, pod, name).await?;
    http.get(path).await.map_err(|error| error.to_string())
}

/// A sidecar's exposition.
pub async fn exposition(up: &Up, pod: &str) -> Result<String, String> {
    Ok(sidecar(up, pod, "/metrics").await?.text())
}

/// The value of a series in it.
pub async fn series(up: &Up, pod: &str, series: &str) -> Result<f64, String> {
    let text = exposition(up, pod).await?;
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .find(|(name, _)| *name == series)
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| format!("no series {series} in\n{text}"))
}

/// The lines that the containers of a replica have written so far.
pub fn lines(up: &Up, pod: &str, container: &str) -> Vec<String> {
    let is_line = |event: &Value| {
        event["event"] == "log" && event["pod"] == pod && event["container"] == container
    };
    up.events()
        .iter()
        .filter(|event| is_line(event))
        .filter_map(|event| event["line"].as_str().map(str::to_owned))
        .collect()
}

/// Waits until a container of a replica has written a line with a text.
pub async fn wrote(up: &Up, pod: &str, container: &str, text: &str, within: Duration) {
    let what = format!("{container} of {pod} writes `{text}`");
    eventually(within, &what, async || {
        let lines = lines(up, pod, container);
        if lines.iter().any(|line| line.contains(text)) {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    })
    .await;
}
