//! What the coordinator would panic over, or take without a word, in a list of servers that is about to be put
//! in place.

use std::collections::BTreeMap;

use outrigger_plugin_sdk::Diagnostic;
use outrigger_plugin_sdk::inspect::{self, Inspection};
use outrigger_plugin_sdk::yaml::Node;

use crate::census::{Running, census};
use crate::status::Status;

/// The keys of the file's top level: Oxia ignores those that it does not know.
const TOP: &[&str] = &[
    "namespaces",
    "servers",
    "serverMetadata",
    "allowExtraAuthorities",
    "loadBalancer",
];

struct Checked<'a> {
    root: Node,
    found: Inspection<'a>,
}

/// What is wrong with a list. `services` are those by which clients come, `status` is what there is now.
pub fn check(
    path: &str,
    content: &[u8],
    services: &[String],
    status: Option<&Status>,
) -> Vec<Diagnostic> {
    const PANICS: &str = "the coordinator panics over this file, and again at each start";
    let root = match inspect::yaml(path, content) {
        Ok(Some(root)) => root,
        Ok(None) => return vec![Diagnostic::error(path, 0, "the file is empty").hint(PANICS)],
        Err(found) => return vec![found.hint(PANICS)],
    };
    let mut checked = Checked {
        root,
        found: Inspection::new(path),
    };
    unknown_keys(&checked.root, &[(&[], TOP)], &mut checked.found);
    let servers = checked.servers();
    checked.namespaces(servers.len());
    checked.authorities(services);
    if let Some(status) = status {
        checked.beside(status, &servers);
    }
    checked.found.into_diagnostics()
}

/// Warns of the keys that no section knows.
pub(crate) fn unknown_keys(
    root: &Node,
    sections: &[(&[&str], &[&str])],
    found: &mut Inspection<'_>,
) {
    for (section, known) in sections {
        let place = match section {
            [] => "this file".to_owned(),
            path => format!("`{}`", path.join(".")),
        };
        for entry in root.unknown(section, known) {
            let message = format!("`{}` is no key of {place}", entry.key);
            found.warning(entry.line, message, "Oxia ignores it without a word");
        }
    }
}

impl Checked<'_> {
    /// The line and the items of a list of the top level.
    fn list(&self, key: &str) -> (u32, Vec<Node>) {
        match self.root.entry(&[key]) {
            Some(entry) => (entry.line, entry.node.items().to_vec()),
            None => (0, Vec::new()),
        }
    }

    /// The names, each once.
    fn servers(&mut self) -> Vec<String> {
        const BOTH: &str = "each server has a name and two addresses of its own, as host:port";
        let (_, items) = self.list("servers");
        let mut taken: BTreeMap<String, u32> = BTreeMap::new();
        let mut names: Vec<String> = Vec::new();
        for item in &items {
            let text = |key: &str| {
                let node = &item.entry(&[key])?.node;
                node.text().filter(|text| !text.is_empty())
            };
            let name = text("name");
            if let Some(name) = name {
                if names.iter().any(|other| other == name) {
                    self.found
                        .error(item.line, format!("two servers are named `{name}`"), BOTH);
                } else {
                    names.push(name.to_owned());
                }
            } else {
                self.found.error(
                    item.line,
                    "a server has no name",
                    "Oxia would name it by its address, which changes; give it its pod's name",
                );
            }
            for key in ["public", "internal"] {
                let Some(address) = text(key) else {
                    self.found
                        .error(item.line, format!("a server has no address `{key}`"), BOTH);
                    continue;
                };
                let Some(host) = host(address) else {
                    let message = format!("`{key}: {address}` is no host with a port");
                    self.found.error(item.line, message, BOTH);
                    continue;
                };
                if let Some(line) = taken.insert(address.to_owned(), item.line) {
                    let message =
                        format!("`{address}` is an address of the server in line {line} too");
                    self.found.error(item.line, message, BOTH);
                }
                let first = host.split('.').next().unwrap_or_default();
                if let Some(name) = name
                    && is_pod_of(first, name)
                    && first != name
                {
                    self.found.error(
                        item.line,
                        format!("`{key}` of `{name}` leads to `{first}`"),
                        "a server under another one's name keeps that one's shards",
                    );
                }
            }
        }
        self.order(&names);
        names
    }

    /// Names of one StatefulSet are in the order of their ordinals and without a gap.
    fn order(&mut self, names: &[String]) {
        let ordinals: Option<Vec<(&str, u32)>> = names.iter().map(|name| ordinal(name)).collect();
        let Some(ordinals) = ordinals else { return };
        let follows = |pair: &[(&str, u32)]| match pair {
            [(set, first), (other, second)] => {
                set != other || first.checked_add(1) == Some(*second)
            }
            _ => true,
        };
        if !ordinals.windows(2).all(follows) {
            let (line, _) = self.list("servers");
            self.found.warning(
                line,
                format!("the servers are {}", names.join(", ")),
                "a StatefulSet has its replicas without a gap: is one missing here?",
            );
        }
    }

    fn namespaces(&mut self, servers: usize) {
        const FEWER: &str = "the coordinator would panic, and again at each start: first scale the servers up, or \
                             lower the factor";
        let (_, items) = self.list("namespaces");
        if items.is_empty() {
            self.found.error(
                0,
                "there are no namespaces",
                "clients find none, not even `default`",
            );
        }
        let mut names: Vec<String> = Vec::new();
        for item in &items {
            let entry = |key: &str| item.entry(&[key]).map(|entry| &entry.node);
            let name = entry("name")
                .and_then(Node::text)
                .unwrap_or_default()
                .to_owned();
            if name.is_empty() {
                self.found
                    .error(item.line, "a namespace has no name", "clients ask by it");
            } else if names.contains(&name) {
                self.found.error(
                    item.line,
                    format!("two namespaces are named `{name}`"),
                    "one would be lost",
                );
            } else {
                names.push(name.clone());
            }
            for key in ["replicationFactor", "initialShardCount"] {
                let number = entry(key)
                    .and_then(Node::text)
                    .and_then(|text| text.parse::<u32>().ok());
                match number {
                    Some(number) if number > 0 => {
                        if key == "replicationFactor" && number as usize > servers {
                            let message = format!(
                                "the namespace `{name}` wants {number} copies, and there are {servers} servers"
                            );
                            self.found.error(item.line, message, FEWER);
                        }
                    }
                    _ => {
                        let message = format!("the namespace `{name}` has no `{key}` of 1 or more");
                        self.found.error(
                            item.line,
                            message,
                            "without it its shards have no ensemble",
                        );
                    }
                }
            }
        }
    }

    fn authorities(&mut self, services: &[String]) {
        let (line, items) = self.list("allowExtraAuthorities");
        let mut listed: Vec<String> = Vec::new();
        for item in &items {
            match item.text().and_then(host) {
                Some(host) => listed.push(host.to_owned()),
                None => self.found.error(
                    item.line,
                    format!(
                        "`{}` is no host with a port",
                        item.text().unwrap_or_default()
                    ),
                    "servers hold it against what clients connect to, port included",
                ),
            }
        }
        for service in services {
            let is_listed = listed
                .iter()
                .any(|host| host == service || host.split('.').next() == Some(service.as_str()));
            if !is_listed {
                self.found.error(
                    line,
                    format!("the Service `{service}` is not in `allowExtraAuthorities`"),
                    "servers refuse the clients that come by it; add each form of its name, with the port",
                );
            }
        }
    }

    /// What the change does to what there is.
    fn beside(&mut self, status: &Status, servers: &[String]) {
        let listed: Running = servers.iter().map(|name| (name.clone(), true)).collect();
        let census = census(status, &listed);
        let (line, _) = self.list("servers");
        for name in census.removed() {
            let shards = census.servers.get(name).map_or(0, |server| server.shards);
            self.found.warning(
                line,
                format!("`{name}` goes from the list, and the ensembles of {shards} shards name it"),
                &format!(
                    "leave it running until none does: oxia_derived_server_shards{{server=\"{name}\"}} 0"
                ),
            );
        }
        let (line, items) = self.list("namespaces");
        let is_named = |name: &String| {
            let mut named = items
                .iter()
                .filter_map(|item| item.entry(&["name"])?.node.text());
            named.any(|named| named == name)
        };
        for name in &status.namespaces {
            let has_shards = status.shards.iter().any(|shard| {
                shard
                    .name
                    .rsplit_once('/')
                    .is_some_and(|(of, _)| of == name)
            });
            if has_shards && !is_named(name) {
                self.found.warning(
                    line,
                    format!("the namespace `{name}` goes from the list"),
                    "Oxia deletes its shards, and with them its data",
                );
            }
        }
    }
}

/// The host of `host:port`.
fn host(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    (is_port && !host.is_empty()).then_some(host)
}

/// The StatefulSet and the ordinal of a pod's name.
fn ordinal(name: &str) -> Option<(&str, u32)> {
    let (set, ordinal) = name.rsplit_once('-')?;
    Some((set, ordinal.parse().ok()?))
}

/// Whether this is the name of a pod of the StatefulSet that the other is one of.
fn is_pod_of(name: &str, other: &str) -> bool {
    match (ordinal(name), ordinal(other)) {
        (Some((set, _)), Some((of, _))) => set == of,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
