//! What TAG would take without a word in a configuration file that is about to be put in place. Most run it
//! by its environment, and have none.

use outrigger_plugin_sdk::inspect::{self, Inspection};
use outrigger_plugin_sdk::yaml::{Node, Value};
use outrigger_plugin_sdk::{Diagnostic, Membership, Replica};

use crate::disk;
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
    own: &'a Replica,
    now: &'a Membership,
    found: Inspection<'a>,
}

/// What is wrong with a configuration, for this replica. `total` is the size of the cache's disk, where it is
/// known.
pub fn check(
    path: &str,
    content: &[u8],
    settings: &Settings,
    now: &Membership,
    total: Option<f64>,
) -> Vec<Diagnostic> {
    let root = match inspect::yaml(path, content) {
        Ok(Some(root)) => root,
        Ok(None) => return Vec::new(),
        Err(found) => return vec![found],
    };
    let Some(own) = now.own() else {
        return Vec::new();
    };
    let mut checked = Checked {
        root,
        own,
        now,
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
            .filter(|(_, node)| node.text().is_some_and(|text| text.contains("${")))
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
        let Some((text, line)) = self.text("max_disk_usage_bytes") else {
            // The environment may say it, which is not shown here.
            self.found.warning(
                line,
                "`cache.max_disk_usage_bytes` is missing: without TAG_CACHE_MAX_DISK_USAGE there is no cap, and the disk fills up",
                USE_THE_OUTPUT,
            );
            return;
        };
        let Ok(bytes) = text.parse::<u64>() else {
            self.found.error(
                line,
                format!("`cache.max_disk_usage_bytes: {text}` is no number of bytes, and TAG takes nothing else"),
                USE_THE_OUTPUT,
            );
            return;
        };
        if let Err(why) = disk::cap(total.unwrap_or(f64::MAX), 100, Some(&bytes.to_string())) {
            self.found.error(
                line,
                format!("`cache.max_disk_usage_bytes`: {why}"),
                USE_THE_OUTPUT,
            );
        }
    }

    fn identity(&mut self) {
        const USE_THE_OUTPUT: &str = "write `node_id: {{ plugin[\"node-id\"] }}`";
        let seeds = self.root.entry(&["cache", "seed_nodes"]);
        let has_seeds = seeds.as_ref().is_some_and(|entry| match &entry.node.value {
            Value::List(items) => !items.is_empty(),
            _ => entry.node.text().is_some(),
        });
        let Some((id, line)) = self.text("node_id") else {
            if let Some(seeds) = seeds.filter(|_| has_seeds) {
                self.found.error(
                    seeds.line,
                    "`cache.seed_nodes` without `cache.node_id`: TAG runs alone, and says nothing of it",
                    USE_THE_OUTPUT,
                );
            }
            return;
        };
        if id == self.own.name {
            return;
        }
        let other = self.now.peers().any(|peer| peer.name == id);
        if other {
            self.found.error(
                line,
                format!("`cache.node_id: {id}` is another replica's: of two with the same ID one is no member"),
                USE_THE_OUTPUT,
            );
        } else {
            self.found.warning(
                line,
                format!("`cache.node_id: {id}` is not the pod's name: is it another one in each replica?"),
                USE_THE_OUTPUT,
            );
        }
    }

    fn advertised(&mut self) {
        let Some((told, line)) = self.text("advertise_addr") else {
            return;
        };
        let host = told.rsplit_once(':').map_or("", |(host, _)| host);
        let of_another = self
            .now
            .peers()
            .any(|peer| peer.host == host || peer.addresses.iter().any(|address| address == host));
        let problem = if matches!(host, "" | "0.0.0.0" | "[::]") {
            "names no host: the others could not reach this replica"
        } else if of_another {
            "is another replica's"
        } else {
            return;
        };
        self.found.error(
            line,
            format!("`cache.advertise_addr: {told}` {problem}"),
            "write `advertise_addr: {{ plugin[\"advertise-addr\"] }}`",
        );
    }
}

#[cfg(test)]
mod tests;
