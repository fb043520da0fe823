//! A change that passes every check and yet costs a replica its health is taken back, and said so.

use std::time::Duration;

use outrigger_tests::{Example, Up, eventually};
use serde_json::Value;

use crate::components::{example_with_misbehaving, plugin};
use crate::pods::{READY, all_ready, pods, told};

/// The time that files are on trial in this test, and a restart of all.
const TRIED: Duration = Duration::from_secs(90);

#[tokio::test]
async fn files_with_which_the_workload_does_not_start_are_taken_back() {
    let example = Example::copy("agdb");
    example.edit(
        "outrigger.yaml",
        "  drain:\n",
        "  trial: {files: 10s}\n\n  drain:\n",
    );
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;

    // Well-formed, and nobody here has that address.
    example.edit(
        "agdb_server.yaml",
        "bind: {{ self.ip }}:3000",
        "bind: 203.0.113.1:3000",
    );
    eventually(
        TRIED,
        "each replica that tried it is back, and ready",
        async || {
            let all = pods(&up).await?;
            let mut back = 0;
            for pod in &all {
                let answer = up.sidecar(&pod.name).get("/status").await;
                let status: Value = answer.map_err(|error| error.to_string())?.json();
                if status["files"]["refused"]
                    .to_string()
                    .contains("rolled back")
                {
                    back += 1;
                }
            }
            if back == 3 && all.iter().all(|pod| pod.ready) {
                Ok(())
            } else {
                Err(format!("{back} rolled back; {all:?}"))
            }
        },
    )
    .await;
    all_ready(&up, 3).await;

    // What is mended is tried again.
    example.edit(
        "agdb_server.yaml",
        "bind: 203.0.113.1:3000\n",
        "bind: {{ self.host }}:3000\n",
    );
    eventually(
        TRIED,
        "the mended files are in use everywhere",
        async || {
            for pod in pods(&up).await? {
                let answer = up.sidecar(&pod.name).get("/status").await;
                let status: Value = answer.map_err(|error| error.to_string())?.json();
                let refused = status["files"]["refused"].as_array().cloned();
                if !pod.ready || refused.is_none_or(|findings| !findings.is_empty()) {
                    return Err(format!("{pod:?}: {}", status["files"]));
                }
            }
            Ok(())
        },
    )
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

    example.edit("outrigger.yaml", "behaviour: well", "behaviour: trap");
    told(&up, "agdb-0", "the plugin is rolled back", TRIED).await;
    let seen = plugin(&up, "agdb-0").await.unwrap();
    assert!(
        seen["refused"].to_string().contains("was rolled back"),
        "{seen}"
    );
    let all = pods(&up).await.unwrap();
    assert!(all[0].ready && all[0].restarts == 0, "{all:?}");
}
