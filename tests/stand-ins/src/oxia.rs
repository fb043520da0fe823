//! Oxia: data servers that learn their shards from a coordinator, which keeps what there is in a file.

mod cluster;
mod coordinator;
mod server;

use std::fs;
use std::future::Future;

use saphyr::{LoadableYamlNode as _, Yaml};
use tokio::signal::unix::{SignalKind, signal};

use crate::yaml::text;

/// Where a server of ours is told its shards, beside Oxia's own ports.
const ASSIGN_PORT: u16 = 6650;

pub(crate) async fn run(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["server", "--sconfig", path] => until_stopped(server::run(&read(path)?)).await,
        ["coordinator", "--sconfig", path] => until_stopped(coordinator::run(&read(path)?)).await,
        _ => Err("unknown command: server or coordinator --sconfig FILE".to_owned()),
    }
}

/// Runs until it ends or a signal comes; the real ones end within 30 ms of it.
async fn until_stopped(running: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::select! {
        ended = running => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// The addresses that both have, and what is the coordinator's own.
#[derive(Debug)]
struct Config {
    public: String,
    internal: String,
    metrics: String,
    list: String,
    status: String,
}

fn read(path: &str) -> Result<Config, String> {
    let content = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let documents =
        Yaml::load_from_str(&content).map_err(|error| format!("{path}: yaml: {error}"))?;
    let root = documents.first().ok_or_else(|| format!("{path}: EOF"))?;
    let of = |path: &[&str]| text(root, path).unwrap_or_default();
    Ok(Config {
        public: of(&["server", "public", "bindAddress"]),
        internal: of(&["server", "internal", "bindAddress"]),
        metrics: of(&["observability", "metric", "bindAddress"]),
        list: of(&["metadata", "file", "configName"]),
        status: of(&["metadata", "file", "statusName"]),
    })
}
