//! What Piko would take without a word, or die of at its next start, in a configuration that is about to be
//! put in place.

use outrigger_plugin_sdk::inspect::{self, Inspection};
use outrigger_plugin_sdk::yaml::{Node, Value};
use outrigger_plugin_sdk::{Diagnostic, Membership, Replica};

use crate::settings::{Settings, id_prefix};

/// The keys of the file's top level and of `cluster`. Piko ends at one that it does not know; one that we
/// do not know may be a later version's, so that is a warning.
const TOP: &[&str] = &[
    "proxy",
    "upstream",
    "admin",
    "cluster",
    "usage",
    "log",
    "grace_period",
];
const CLUSTER: &[&str] = &[
    "node_id",
    "node_id_prefix",
    "join",
    "join_timeout",
    "abort_if_join_fails",
    "gossip",
    "rebalancing_threshold",
    "rebalancing_rate",
    "rebalancing_check_interval",
];

/// The last parts of keys that hold a span of time.
const SPANS: &[&str] = &["timeout", "interval", "grace_period"];

struct Checked<'a> {
    root: Node,
    settings: &'a Settings,
    now: &'a Membership,
    own: &'a Replica,
    found: Inspection<'a>,
}

/// What is wrong with a configuration, for this replica.
pub fn check(path: &str, content: &[u8], settings: &Settings, now: &Membership) -> Vec<Diagnostic> {
    let root = match inspect::yaml(path, content) {
        Ok(Some(root)) => root,
        Ok(None) => {
            return vec![
                Diagnostic::error(path, 0, "the file is empty, and Piko ends at an empty file")
                    .hint("check the template's conditions"),
            ];
        }
        Err(found) => return vec![found],
    };
    let Some(own) = now.own() else {
        return Vec::new();
    };
    let mut checked = Checked {
        root,
        settings,
        now,
        own,
        found: Inspection::new(path),
    };
    checked.keys(&[], TOP);
    checked.keys(&["cluster"], CLUSTER);
    checked.left_open();
    checked.spans();
    checked.identity();
    checked.addresses();
    checked.join();
    checked.found.into_diagnostics()
}

impl Checked<'_> {
    fn keys(&mut self, section: &[&str], known: &[&str]) {
        for entry in self.root.unknown(section, known) {
            self.found.warning(
                entry.line,
                format!(
                    "`{}` is no key that we know here, and Piko ends at one that it does not know",
                    entry.key
                ),
                &format!("known are {}", known.join(", ")),
            );
        }
    }

    /// Variables that nobody fills in: Piko does so with `--config.expand-env` alone, and then puts nothing
    /// where one is not defined.
    fn left_open(&mut self) {
        let open: Vec<(u32, String)> = self
            .root
            .scalars()
            .into_iter()
            .filter_map(|(path, node)| {
                let text = node.text()?;
                let variable = variable(text)?;
                Some((node.line, format!("`{path}` holds `{variable}`, which is taken as it stands, or as nothing where it is not defined")))
            })
            .collect();
        for (line, message) in open {
            self.found.error(
                line,
                message,
                "write the value itself, by `{{ … }}`, and leave out --config.expand-env",
            );
        }
    }

    fn spans(&mut self) {
        let numbers: Vec<(u32, String)> = self
            .root
            .scalars()
            .into_iter()
            .filter_map(|(path, node)| {
                let key = path.rsplit('.').next()?;
                let is_span = SPANS
                    .iter()
                    .any(|end| key == *end || key.ends_with(&format!("_{end}")));
                let text = node.text()?;
                let is_number = text.parse::<f64>().is_ok() && text != "0";
                (is_span && is_number).then(|| {
                    (
                        node.line,
                        format!("`{path}: {text}` has no unit, and Piko ends at it"),
                    )
                })
            })
            .collect();
        for (line, message) in numbers {
            self.found.error(line, message, "write the unit: 5s, 1m");
        }
    }

    fn identity(&mut self) {
        const USE_THE_OUTPUT: &str = "write `node_id_prefix: \"{{ plugin[\"node-id-prefix\"] }}\"`";
        if let Some((id, line)) = self.root.filled(&["cluster", "node_id"]) {
            self.found.error(
                line,
                format!("the node ID `{id}` is fixed: after a restart the other servers go on taking it for gone, and its endpoints answer 502 through them"),
                "take `node_id` out and set `node_id_prefix`: the ID must be new at each start",
            );
            return;
        }
        let section = self.root.entry(&["cluster"]).map_or(0, |entry| entry.line);
        let prefix = id_prefix(self.own);
        match self.root.filled(&["cluster", "node_id_prefix"]) {
            None => {
                let line = self
                    .root
                    .entry(&["cluster", "node_id_prefix"])
                    .map_or(section, |entry| entry.line);
                self.found.error(
                    line,
                    "`cluster.node_id_prefix` is missing or empty: nobody could tell which server is which",
                    USE_THE_OUTPUT,
                );
            }
            // Told as a variable that nobody fills in.
            Some((found, _)) if variable(&found).is_some() => {}
            Some((found, line)) if !found.starts_with(&prefix) => self.found.error(
                line,
                format!("`cluster.node_id_prefix` is `{found}` and does not begin with `{prefix}`: nobody could tell which server is which"),
                USE_THE_OUTPUT,
            ),
            Some(_) => {}
        }
    }

    fn addresses(&mut self) {
        for (section, port) in self.settings.listeners() {
            let at = |key: &'static str| [section, &[key]].concat();
            let name = section.join(".");
            let bind = self.root.filled(&at("bind_addr"));
            let line = self.root.entry(section).map_or(0, |entry| entry.line);
            let Some((told, line)) = self.root.filled(&at("advertise_addr")) else {
                let has_host = bind.as_ref().is_some_and(|(bind, _)| {
                    host(bind).is_some_and(|host| !host.is_empty() && !is_any(host))
                });
                // Nobody uses what the upstream listener tells.
                if !has_host && section != ["upstream"] {
                    let at = bind.map_or(line, |(_, line)| line);
                    self.found.warning(
                        at,
                        format!("`{name}.advertise_addr` is missing: Piko tells the others the first private address that it finds"),
                        "write `advertise_addr: \"{{ self.ip }}:PORT\"` with the port of `bind_addr`",
                    );
                }
                continue;
            };
            if variable(&told).is_some() {
                continue;
            }
            let Some(host) = host(&told) else {
                self.found.error(
                    line,
                    format!("`{name}.advertise_addr: {told}` is no host and port: an IPv6 address stands in brackets"),
                    "write `[fd00::2]:PORT`, or use the plugin's output",
                );
                continue;
            };
            if host.is_empty() || is_any(host) {
                self.found.error(
                    line,
                    format!("`{name}.advertise_addr: {told}` names no host: the others could not reach this replica"),
                    "write the pod's own address: `{{ self.ip }}`",
                );
            } else if let Some(other) = self.owner(host) {
                self.found.error(
                    line,
                    format!("`{name}.advertise_addr: {told}` is the address of {other}"),
                    "write the pod's own address: `{{ self.ip }}`",
                );
            } else if told.rsplit(':').next() != Some(&port.to_string()) {
                self.found.warning(
                    line,
                    format!(
                        "`{name}.advertise_addr: {told}` has another port than the setting, {port}"
                    ),
                    "set the port in the plugin's `settings` too",
                );
            }
        }
    }

    /// The name of the other replica that has this address or host.
    fn owner(&self, host: &str) -> Option<String> {
        let is_its = |replica: &&Replica| {
            replica.host == host || replica.addresses.iter().any(|address| address == host)
        };
        if is_its(&self.own) {
            return None;
        }
        let other = self.now.peers().find(is_its)?;
        Some(other.name.clone())
    }

    fn join(&mut self) {
        const USE_THE_OUTPUT: &str = "write `join: {{ plugin.join }}`";
        let others = self.settings.join(self.now);
        let entry = self.root.entry(&["cluster", "join"]);
        let line = entry
            .as_ref()
            .or(self.root.entry(&["cluster"]).as_ref())
            .map_or(0, |entry| entry.line);
        let items: Vec<(String, u32)> = entry
            .iter()
            .flat_map(|entry| match &entry.node.value {
                Value::List(items) => items.clone(),
                _ => vec![entry.node.clone()],
            })
            .filter_map(|item| Some((item.text()?.to_owned(), item.line)))
            .filter(|(item, _)| variable(item).is_none())
            .collect();
        let own_name = (self.own.name.clone(), self.own.host.clone());
        let is_own = |item: &str| {
            let host = item.rsplit_once(':').map_or(item, |(host, _)| host);
            host == own_name.1 || self.own.addresses.iter().any(|address| address == host)
        };
        let foreign: Vec<&(String, u32)> = items.iter().filter(|(item, _)| !is_own(item)).collect();
        let only_own = !items.is_empty() && foreign.is_empty();
        let service: Option<(String, u32)> = items
            .iter()
            .find(|(item, _)| {
                let host = item
                    .rsplit_once(':')
                    .map_or(item.as_str(), |(host, _)| host);
                host == self.now.service || host.starts_with(&format!("{}.", self.now.service))
            })
            .cloned();
        let holds_own = items.iter().find(|(item, _)| is_own(item)).cloned();

        if items.is_empty() && !others.is_empty() {
            self.found.error(
                line,
                format!("`cluster.join` is missing or empty though {} other replicas are there: this one would start a cluster of its own", others.len()),
                USE_THE_OUTPUT,
            );
        } else if only_own && !others.is_empty() {
            self.found.error(
                line,
                "`cluster.join` names this replica alone, and Piko takes having found itself for having joined",
                USE_THE_OUTPUT,
            );
        } else if let Some((item, line)) = holds_own {
            self.found.warning(
                line,
                format!("`{item}` is this replica itself: Piko takes having found itself for having joined, and does not try the others again"),
                USE_THE_OUTPUT,
            );
        }
        if let Some((item, line)) = service {
            self.found.warning(
                line,
                format!("`{item}` is the Service: Piko asks for it once, and an answer with this replica alone starts a second cluster"),
                USE_THE_OUTPUT,
            );
        }
        let aborts = self
            .root
            .filled(&["cluster", "abort_if_join_fails"])
            .is_none_or(|(value, _)| value != "false");
        if aborts && !items.is_empty() {
            self.found.warning(
                line,
                "without `abort_if_join_fails: false` Piko ends when nobody answers within `join_timeout`, and until then a SIGTERM is not noticed",
                "write `abort_if_join_fails: false`: the others join this one when they come",
            );
        }
    }
}

/// The first variable in a text that Piko would expand, or leave: `${NAME}`, `$NAME`.
fn variable(text: &str) -> Option<&str> {
    let from = text
        .match_indices('$')
        .map(|(place, _)| place)
        .find(|place| {
            let next = text[place + 1..].chars().next();
            next.is_some_and(|c| c == '{' || c == '_' || c.is_ascii_alphabetic())
        })?;
    let rest = &text[from..];
    let end = match rest.strip_prefix("${") {
        Some(inner) => inner.find('}').map_or(rest.len(), |end| end + 3),
        None => rest[1..]
            .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
            .map_or(rest.len(), |end| end + 1),
    };
    rest.get(..end)
}

/// The host of `host:port`, without brackets; none where there are more colons than that.
fn host(address: &str) -> Option<&str> {
    let (host, _port) = address.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']'),
        None => (!host.contains(':')).then_some(host),
    }
}

fn is_any(host: &str) -> bool {
    host == "0.0.0.0" || host == "::"
}

#[cfg(test)]
mod tests;
