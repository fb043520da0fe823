//! A change that passes every check and yet costs a replica its health is taken back, and said so.

use std::time::Duration;

use outrigger_tests::{Example, Up, eventually};
use serde_json::Value;

use crate::components::{example_with_misbehaving, plugin};
use crate::pods::{READY, all_ready, pods, told};

/// Time to be tried, found wanting and taken back.
const TRIED: Duration = Duration::from_secs(90);

#[tokio::test]
async fn files_with_which_the_workload_does_not_start_are_taken_back() {
    let example = Example::copy("agdb");
    // What does not start is known sooner than with the defaults.
    example.edit(
        "outrigger.yaml",
        "  health:\n",
        "  trial: {files: 10s}\n\n  health:\n    startup: {period: 500ms, failure-threshold: 6}\n",
    );
    let up = Up::start(example.path(), &["--replicas", "1"]).await;
    all_ready(&up, 1).await;

    // Well-formed, and nobody here has that address.
    example.edit(
        "agdb_server.yaml",
        "bind: {{ self.ip }}:3000",
        "bind: 203.0.113.1:3000",
    );
    files(&up, "it is taken back, and serves", |refused| {
        refused.contains("rolled back")
    })
    .await;

    // What is mended is tried again.
    example.edit(
        "agdb_server.yaml",
        "bind: 203.0.113.1:3000",
        "bind: {{ self.host }}:3000",
    );
    files(&up, "the mended files are in use", |refused| {
        refused == "[]"
    })
    .await;
}

/// Waits until the replica is ready, and what is refused of its files is so.
async fn files(up: &Up, what: &str, so: impl Fn(&str) -> bool) {
    eventually(TRIED, what, async || {
        let all = pods(up).await?;
        let answer = up.sidecar("agdb-0").get("/status").await;
        let status: Value = answer.map_err(|error| error.to_string())?.json();
        if all[0].ready && so(&status["files"]["refused"].to_string()) {
            Ok(())
        } else {
            Err(format!("{all:?}: {}", status["files"]))
        }
    })
    .await;
}

#[tokio::test]
async fn a_plugin_that_goes_wrong_after_its_swap_is_taken_back_and_costs_no_probe() {
    let example = example_with_misbehaving("well", "keep-last");
    let up = Up::start(example.path(), &["--replicas", "1"]).await;
    eventually(READY, "the replica is ready", async || {
        match pods(&up).await?.as_slice() {
            [pod] if pod.ready => Ok(()),
            all => Err(format!("{all:?}")),
        }
    })
    .await;

    example.edit("outrigger.yaml", "behaviour: well", "behaviour: trap-later");
    told(&up, "agdb-0", "the plugin is rolled back", TRIED).await;
    let seen = plugin(&up, "agdb-0").await.unwrap();
    assert!(
        seen["refused"].to_string().contains("was rolled back"),
        "{seen}"
    );
    let all = pods(&up).await.unwrap();
    assert!(all[0].ready && all[0].restarts == 0, "{all:?}");
}
