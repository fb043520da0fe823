//! Components that are not built in: swapped while replicas serve, refused when they are wrong, and
//! misbehaving without harm to the replica.

use std::time::Duration;

use outrigger_tests::{Example, Up, eventually};
use serde_json::Value;

use crate::guests;
use crate::pods::{READY, all_ready, pods};

/// Time for a component to be noticed, compiled and tried.
const SOON: Duration = Duration::from_secs(30);

/// The same component rebuilt: other bytes, by a custom section at its end, and the same behaviour.
fn rebuilt(component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let (name, content) = (b"build", b"2");
    bytes.push(0);
    bytes.push(u8::try_from(1 + name.len() + content.len()).expect("it is short"));
    bytes.push(u8::try_from(name.len()).expect("it is short"));
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(content);
    bytes
}

/// The agdb example with its plugin as a file instead of the built-in one.
fn example_with_file(component: &[u8]) -> Example {
    let example = Example::copy("agdb");
    example.edit(
        "outrigger.yaml",
        "source: builtin:agdb",
        "source: file:plugin.wasm\n    digest: any",
    );
    example.edit(
        "kustomization.yaml",
        "files: [outrigger.yaml, agdb_server.yaml]",
        "files: [outrigger.yaml, agdb_server.yaml, plugin.wasm]",
    );
    example.write("plugin.wasm", component);
    example
}

pub(crate) async fn plugin(up: &Up, pod: &str) -> Result<Value, String> {
    let answer = up
        .sidecar(pod)
        .get("/status")
        .await
        .map_err(|error| error.to_string())?;
    Ok(answer.json::<Value>()["plugin"].clone())
}

#[tokio::test]
async fn a_rebuilt_plugin_is_swapped_while_replicas_serve_and_a_truncated_one_is_refused() {
    let component = guests::agdb();
    let example = example_with_file(component);
    let up = Up::start(example.path(), &[]).await;
    let before = all_ready(&up, 3).await;
    assert_eq!(plugin(&up, "agdb-0").await.unwrap()["generation"], 1);

    example.write("plugin.wasm", rebuilt(component));
    for pod in &before {
        eventually(SOON, "the second generation is in use", async || {
            let all = pods(&up).await?;
            assert!(
                all.iter().all(|pod| pod.ready),
                "a swap costs nothing: {all:?}"
            );
            let seen = plugin(&up, &pod.name).await?;
            if seen["generation"] == 2 {
                Ok(())
            } else {
                Err(seen.to_string())
            }
        })
        .await;
    }

    example.write("plugin.wasm", &component[..component.len() / 2]);
    eventually(SOON, "the half of a component is refused", async || {
        let seen = plugin(&up, "agdb-0").await?;
        match seen["refused"].as_array() {
            Some(findings) if !findings.is_empty() => Ok(()),
            _ => Err(seen.to_string()),
        }
    })
    .await;
    let seen = plugin(&up, "agdb-0").await.unwrap();
    assert_eq!(seen["generation"], 2, "{seen}");
    assert!(!seen["refused"].as_array().unwrap().is_empty(), "{seen}");
    let after = pods(&up).await.unwrap();
    assert!(
        after.iter().all(|pod| pod.ready && pod.restarts == 0),
        "{after:?}"
    );
}

/// The example beside a guest that goes wrong as its settings say, instead of agdb's plugin.
pub(crate) fn example_with_misbehaving(behaviour: &str, on_failure: &str) -> Example {
    let example = example_with_file(guests::misbehaving());
    let profile = std::fs::read_to_string(example.file("outrigger.yaml")).expect("it is there");
    let begin = profile.find("    settings:").expect("it has settings");
    let end = profile
        .find("  discovery:")
        .expect("it says how peers are found");
    let plugin_block = format!(
        "    settings: {{behaviour: {behaviour}}}\n    on-failure: {on_failure}\n    limits: {{cpu: 50ms, wall: 500ms}}\n\n"
    );
    let profile = [&profile[..begin], &plugin_block, &profile[end..]].concat();
    example.write("outrigger.yaml", profile);
    example.edit(
        "agdb_server.yaml",
        "{{ plugin.address }}",
        "http://{{ self.host }}:3000",
    );
    example.edit(
        "agdb_server.yaml",
        "{{ plugin.cluster }}",
        "[{{ replicas | urls(\"http\", 3000) | join(\", \") }}]",
    );
    example
}

/// One replica beside a plugin that goes wrong in every call: the workload serves, the sidecar stays
/// up, and the status says what is wrong.
async fn one_replica_beside(behaviour: &str, kind: &str) {
    let example = example_with_misbehaving(behaviour, "ignore");
    let up = Up::start(example.path(), &["--replicas", "1"]).await;
    eventually(
        READY,
        "the replica is ready without its plugin",
        async || {
            let all = pods(&up).await?;
            if all.len() == 1 && all[0].ready {
                Ok(())
            } else {
                Err(format!("{all:?}"))
            }
        },
    )
    .await;
    eventually(SOON, "the status names the failures", async || {
        let seen = plugin(&up, "agdb-0").await?;
        let counted = seen["failures"][kind].as_u64().unwrap_or_default();
        if counted >= 3 && seen["last-error"].is_string() {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    })
    .await;
    let all = pods(&up).await.expect("up answers");
    assert!(all[0].ready && all[0].restarts == 0, "{all:?}");
}

#[tokio::test]
async fn a_plugin_that_traps_costs_its_own_calls_alone() {
    one_replica_beside("trap", "trap").await;
}

#[tokio::test]
async fn a_plugin_that_loops_costs_its_own_calls_alone() {
    one_replica_beside("loop", "cpu-deadline").await;
}

#[tokio::test]
async fn a_plugin_that_allocates_without_end_costs_its_own_calls_alone() {
    one_replica_beside("allocate", "memory-limit").await;
}
