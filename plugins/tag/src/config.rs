//! What TAG would take without a word in a configuration file that is about to be put in place. Most run it
//! by its environment, and have none.

use outrigger_plugin_sdk::env::Variable;
use outrigger_plugin_sdk::inspect::{self, Inspection};
use outrigger_plugin_sdk::yaml::{Node, Value};
use outrigger_plugin_sdk::{Diagnostic, Membership, Severity};

use crate::faults;
use crate::settings::Settings;

/// The keys of the file's top level and of `cache`: TAG ignores those that it does not know.
const TOP: &[&str] = &[
    "server",
    "upstream",
    "credentials",
    "cache",
    "broadcast",
    "log",
];
const CACHE: &[&str] = &[
    "enabled",
    "ttl",
    "size_threshold",
    "disk_path",
    "max_disk_usage_bytes",
    "eviction_policy",
    "warm_on_write",
    "node_id",
    "cluster_addr",
    "grpc_addr",
    "advertise_addr",
    "seed_nodes",
    "grpc_auth",
    "delete_batch_size",
    "recovery_workers",
    "max_concurrent_writes",
    "max_populate_memory_bytes",
];

struct Checked<'a> {
    root: Node,
    now: &'a Membership,
    env: &'a [Variable],
    found: Inspection<'a>,
}

/// What is wrong with a configuration, for this replica, beside the rendered variables. `total` is the size of
/// the cache's disk, where it is known.
pub fn check(
    path: &str,
    content: &[u8],
    settings: &Settings,
    now: &Membership,
    env: &[Variable],
    total: Option<f64>,
) -> Vec<Diagnostic> {
    let root = match inspect::yaml(path, content) {
        Ok(Some(root)) => root,
        Ok(None) => return Vec::new(),
        Err(found) => return vec![found],
    };
    let mut checked = Checked {
        root,
        now,
        env,
        found: Inspection::new(path),
    };
    checked.keys(&[], TOP);
    checked.keys(&["cache"], CACHE);
    checked.left_open();
    checked.cap(total);
    if settings.cluster {
        checked.identity();
        checked.advertised();
    }
    checked.found.into_diagnostics()
}

impl Checked<'_> {
    /// The text and the line of what `cache` sets a key to.
    fn text(&self, key: &str) -> Option<(String, u32)> {
        self.root.filled(&["cache", key])
    }

    fn keys(&mut self, section: &[&str], known: &[&str]) {
        for entry in self.root.unknown(section, known) {
            self.found.warning(
                entry.line,
                format!(
                    "`{}` is no key that we know here, and TAG ignores one that it does not know",
                    entry.key
                ),
                &format!("known are {}", known.join(", ")),
            );
        }
    }

    fn left_open(&mut self) {
        let open: Vec<(u32, String)> = self
            .root
            .scalars()
            .into_iter()
            .filter(|(_, node)| node.text().is_some_and(faults::is_left_open))
            .map(|(path, node)| (node.line, path))
            .collect();
        for (line, path) in open {
            self.found.error(
                line,
                format!("`{path}` holds a variable, and TAG takes it as it stands"),
                "write the value itself, by `{{ … }}`",
            );
        }
    }

    fn cap(&mut self, total: Option<f64>) {
        const USE_THE_OUTPUT: &str = "write `max_disk_usage_bytes: {{ plugin[\"disk-cap\"] }}`";
        let line = self.root.entry(&["cache"]).map_or(0, |entry| entry.line);
        if let Some((text, line)) = self.text("max_disk_usage_bytes") {
            if let Some(why) = faults::cap(&text, total) {
                let why = format!("`cache.max_disk_usage_bytes`: {why}");
                self.found.error(line, why, USE_THE_OUTPUT);
            }
        } else if !self.is_in_env("TAG_CACHE_MAX_DISK_USAGE") {
            // The manifest may say it, which is not shown here.
            self.found.warning(
                line,
                "`cache.max_disk_usage_bytes` is missing: without TAG_CACHE_MAX_DISK_USAGE there is no cap, and the disk fills up",
                USE_THE_OUTPUT,
            );
        }
    }

    fn identity(&mut self) {
        const USE_THE_OUTPUT: &str = "write `node_id: {{ plugin[\"node-id\"] }}`";
        let Some((id, line)) = self.text("node_id") else {
            let seeds = self.root.entry(&["cache", "seed_nodes"]);
            if let Some(seeds) = seeds
                && has_any(&seeds.node)
                && !self.is_in_env("TAG_CACHE_NODE_ID")
            {
                self.found.error(
                    seeds.line,
                    "`cache.seed_nodes` without `cache.node_id`: TAG runs alone, and says nothing of it",
                    USE_THE_OUTPUT,
                );
            }
            return;
        };
        match faults::node_id(&id, self.now) {
            None => {}
            Some((Severity::Error, why)) => {
                let why = format!("`cache.node_id`: {why}");
                self.found.error(line, why, USE_THE_OUTPUT);
            }
            Some((Severity::Warning, why)) => {
                let why = format!("`cache.node_id`: {why}");
                self.found.warning(line, why, USE_THE_OUTPUT);
            }
        }
    }

    fn advertised(&mut self) {
        let Some((told, line)) = self.text("advertise_addr") else {
            return;
        };
        if let Some(why) = faults::advertised(&told, self.now) {
            self.found.error(
                line,
                format!("`cache.advertise_addr`: {why}"),
                "write `advertise_addr: {{ plugin[\"advertise-addr\"] }}`",
            );
        }
    }

    /// Whether a rendered variable says it, which TAG takes before the file.
    fn is_in_env(&self, name: &str) -> bool {
        let mut env = self.env.iter();
        env.any(|variable| variable.name == name && !variable.value.is_empty())
    }
}

fn has_any(seeds: &Node) -> bool {
    match &seeds.value {
        Value::List(items) => !items.is_empty(),
        _ => seeds.text().is_some(),
    }
}

#[cfg(test)]
mod tests;
