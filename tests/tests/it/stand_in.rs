//! Examples of workloads that cannot be had, with the stand-in in their place, and what is asked of them.

use std::time::Duration;

use outrigger_tests::{Answer, Example, Http, Up, eventually, stand_in};
use serde_json::Value;

use crate::pods::{Pod, pods};

/// From nothing to ready: processes, one of which starts first.
pub(crate) const READY: Duration = Duration::from_mins(1);

/// The example of a workload whose image is stood in for. A stop leaves its endpoints for a second only.
pub(crate) fn example(workload: &str, image: &str) -> Example {
    let example = Example::copy(workload);
    let program = stand_in().display();
    example.write(
        "local.yaml",
        format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: Local\nmetadata: {{name: {workload}}}\nspec:\n  programs:\n    \
             - image: {image}\n      command: [{program}, {workload}]\n"
        ),
    );
    example.edit("outrigger.yaml", "notice: 10s", "notice: 1s");
    example
}

/// Waits until exactly `count` replicas exist and all are ready.
pub(crate) async fn all_ready(up: &Up, count: usize) -> Vec<Pod> {
    eventually(READY, &format!("{count} replicas are ready"), async || {
        let pods = pods(up).await?;
        if pods.len() == count && pods.iter().all(|pod| pod.ready) {
            Ok(pods)
        } else {
            Err(format!("{pods:?}"))
        }
    })
    .await
}

/// Where a replica's port is reached.
pub(crate) async fn port(up: &Up, pod: &str, name: &str) -> Result<Http, String> {
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
pub(crate) async fn get(up: &Up, pod: &str, name: &str, path: &str) -> Result<Answer, String> {
    let http = port(up, pod, name).await?;
    http.get(path).await.map_err(|error| error.to_string())
}

/// A sidecar's exposition.
pub(crate) async fn exposition(up: &Up, pod: &str) -> Result<String, String> {
    let answer = up.sidecar(pod).get("/metrics").await;
    Ok(answer.map_err(|error| error.to_string())?.text())
}

/// The value of a series in it.
pub(crate) async fn series(up: &Up, pod: &str, series: &str) -> Result<f64, String> {
    let text = exposition(up, pod).await?;
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .find(|(name, _)| *name == series)
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| format!("no series {series} in\n{text}"))
}

/// The lines that the containers of a replica have written so far.
pub(crate) fn lines(up: &Up, pod: &str, container: &str) -> Vec<String> {
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
pub(crate) async fn wrote(up: &Up, pod: &str, container: &str, text: &str, within: Duration) {
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
