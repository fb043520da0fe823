//! A guest of an ordinary toolchain, with the whole standard library on WASI.

use outrigger_plugin_host::{CallErrorKind, Plugin, Probe};
use serde_json::json;

use crate::fakes::{load, peers, setup};
use crate::guests;

async fn plugin(name: &str) -> Plugin {
    Plugin::new(load(guests::std(), setup(name, &json!({}))).await.unwrap())
}

#[tokio::test]
async fn the_standard_library_finds_an_empty_world_with_clocks() {
    let plugin = plugin("wasi-empty").await;
    let verdict = plugin.evaluate(Probe::Readiness, &peers()).await.unwrap();
    let seen: Vec<String> = verdict
        .attrs
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    assert_eq!(
        seen,
        [
            "after-2020: true",
            "arguments: 0",
            "file: true",
            "flushed: true",
            "map: 1",
            "slept: true",
            "stdin: Ok(0) 0",
            "variables: 0",
        ]
    );
}

#[tokio::test]
async fn what_it_prints_becomes_log_lines() {
    let plugin = plugin("wasi-prints").await;
    plugin.evaluate(Probe::Readiness, &peers()).await.unwrap();
    let lines = guests::logged("wasi-prints");
    let has = |level: &str, text: &str| {
        lines
            .iter()
            .any(|line| line.contains(level) && line.contains(text))
    };
    assert!(has("INFO", "a line on stdout"), "{lines:?}");
    assert!(has("WARN", "a line on stderr"), "{lines:?}");
    assert!(has("INFO", "without an end"), "{lines:?}");
}

#[tokio::test]
async fn exit_and_sockets_cost_the_call_and_say_why() {
    let plugin = plugin("wasi-traps").await;
    let why = async |probe| {
        let error = plugin.evaluate(probe, &peers()).await.unwrap_err();
        match error.kind {
            CallErrorKind::Trap(why) => why,
            kind => panic!("{kind:?}"),
        }
    };
    let exit = why(Probe::Startup).await;
    assert!(exit.contains("it ended itself with a failure"), "{exit}");
    let socket = why(Probe::Liveness).await;
    assert!(
        socket.contains("wasi:sockets/") && socket.contains("which this host does not have"),
        "{socket}"
    );
}
