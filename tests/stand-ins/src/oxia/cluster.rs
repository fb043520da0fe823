//! The list of servers, and what a coordinator makes of it and of who answers. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use saphyr::{LoadableYamlNode as _, Yaml};

use crate::yaml::{at, text};

/// A server of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) public: String,
    pub(super) internal: String,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) servers: Vec<Server>,
    /// With copies and shards.
    namespaces: Vec<(String, usize, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shard {
    namespace: String,
    copies: usize,
    number: usize,
    steady: bool,
    term: u64,
    leader: Option<Server>,
    ensemble: Vec<Server>,
}

/// The status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cluster {
    shards: Vec<Shard>,
}

/// Reads a list. What the real one panics over is an error.
pub(super) fn list(content: &str) -> Result<List, String> {
    let documents =
        Yaml::load_from_str(content).map_err(|error| format!("panic: yaml: {error}"))?;
    let root = documents.first().ok_or("panic: yaml: EOF")?;
    let items = |key: &str| at(root, &[key]).and_then(Yaml::as_vec);
    let server = |item: &Yaml<'_>| {
        Some(Server {
            name: text(item, &["name"])?,
            public: text(item, &["public"])?,
            internal: text(item, &["internal"])?,
        })
    };
    let namespace = |item: &Yaml<'_>| {
        let number = |key: &str| {
            let number = at(item, &[key]).and_then(Yaml::as_integer);
            number.and_then(|number| usize::try_from(number).ok())
        };
        Some((
            text(item, &["name"])?,
            number("replicationFactor")?,
            number("initialShardCount")?,
        ))
    };
    let list = List {
        servers: items("servers")
            .into_iter()
            .flatten()
            .filter_map(server)
            .collect(),
        namespaces: items("namespaces")
            .into_iter()
            .flatten()
            .filter_map(namespace)
            .collect(),
    };
    let most = list.namespaces.iter().map(|(_, copies, _)| *copies).max();
    if most.is_some_and(|copies| copies > list.servers.len()) {
        return Err("panic: unexpected behaviour".to_owned());
    }
    Ok(list)
}

impl Cluster {
    /// One round: new shards, copies that move from servers that went, and elections where a leader is gone.
    /// `again` says whether an election that failed is tried again.
    pub(super) fn step(&mut self, list: &List, running: &BTreeMap<String, bool>, again: bool) {
        for (namespace, copies, shards) in &list.namespaces {
            if self
                .shards
                .iter()
                .any(|shard| shard.namespace == *namespace)
            {
                continue;
            }
            for number in 0..*shards {
                let servers = list.servers.iter().cycle().skip(number);
                self.shards.push(Shard {
                    namespace: namespace.clone(),
                    copies: *copies,
                    number,
                    steady: false,
                    term: 0,
                    leader: None,
                    ensemble: servers.take(*copies).cloned().collect(),
                });
            }
        }
        let runs = |server: &Server| running.get(&server.name) == Some(&true);
        for shard in &mut self.shards {
            let moved = shard.move_from_those_that_went(list, runs);
            let is_led = shard
                .leader
                .as_ref()
                .is_some_and(|leader| shard.ensemble.contains(leader) && runs(leader));
            if is_led && !moved || (shard.term > 0 && !shard.steady && !again) {
                continue;
            }
            let up: Vec<&Server> = shard
                .ensemble
                .iter()
                .filter(|server| runs(server))
                .collect();
            shard.term += 1;
            shard.steady = up.len() > shard.copies / 2;
            let chosen = up.get(shard.number % up.len().max(1)).copied().cloned();
            shard.leader = chosen.filter(|_| shard.steady);
        }
    }

    /// How many shards a server leads, and how many it follows.
    pub(super) fn of(&self, name: &str) -> (usize, usize) {
        let leads = |shard: &&Shard| {
            shard
                .leader
                .as_ref()
                .is_some_and(|leader| leader.name == name)
        };
        let keeps = |shard: &&Shard| shard.ensemble.iter().any(|server| server.name == name);
        let leads = self.shards.iter().filter(leads).count();
        (
            leads,
            self.shards
                .iter()
                .filter(keeps)
                .count()
                .saturating_sub(leads),
        )
    }

    /// Namespace, number and term of each shard.
    pub(super) fn terms(&self) -> impl Iterator<Item = (&str, usize, u64)> {
        let of = |shard: &'_ Shard| (shard.number, shard.term);
        self.shards.iter().map(move |shard| {
            let (number, term) = of(shard);
            (shard.namespace.as_str(), number, term)
        })
    }

    /// The status file, as captured: YAML, whatever its name.
    pub(super) fn status(&self) -> String {
        let mut text = "namespaces:\n".to_owned();
        let mut namespace = "";
        for shard in &self.shards {
            if shard.namespace != namespace {
                namespace = &shard.namespace;
                let copies = shard.copies;
                put(&mut text, 4, &format!("{namespace}:"));
                put(&mut text, 8, &format!("replicationFactor: {copies}"));
                put(&mut text, 8, "shards:");
            }
            put(&mut text, 12, &format!("{}:", shard.number));
            put(
                &mut text,
                16,
                &format!("status: {}", if shard.steady { 1 } else { 2 }),
            );
            put(&mut text, 16, &format!("term: {}", shard.term));
            match &shard.leader {
                None => put(&mut text, 16, "leader: null"),
                Some(leader) => {
                    put(&mut text, 16, "leader:");
                    leader.put(&mut text, "");
                }
            }
            put(&mut text, 16, "ensemble:");
            for server in &shard.ensemble {
                server.put(&mut text, "- ");
            }
        }
        let count = self.shards.len();
        put(&mut text, 0, &format!("shardIdGenerator: {count}"));
        put(
            &mut text,
            0,
            "instanceId: 153496fa-2124-4a5a-beca-9232cef906b5",
        );
        text
    }
}

impl Shard {
    fn move_from_those_that_went(&mut self, list: &List, runs: impl Fn(&Server) -> bool) -> bool {
        let mut moved = false;
        for place in 0..self.ensemble.len() {
            let stays = |server: &Server| list.servers.contains(server);
            let Some(gone) = self.ensemble.get(place).filter(|server| !stays(server)) else {
                continue;
            };
            let gone = gone.clone();
            let is_free = |server: &&Server| runs(server) && !self.ensemble.contains(server);
            if let Some(next) = list.servers.iter().find(is_free).cloned() {
                self.ensemble.retain(|server| *server != gone);
                self.ensemble.insert(place, next);
                moved = true;
            }
        }
        moved
    }
}

impl Server {
    fn put(&self, text: &mut String, first: &str) {
        let rest = " ".repeat(first.len());
        put(text, 20, &format!("{first}name: {}", self.name));
        put(text, 20, &format!("{rest}public: {}", self.public));
        put(text, 20, &format!("{rest}internal: {}", self.internal));
    }
}

fn put(text: &mut String, indent: usize, line: &str) {
    // A String takes everything.
    let _infallible = writeln!(text, "{:indent$}{line}", "");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(count: usize) -> List {
        let server = |n| format!("{{name: o-{n}, public: 'o-{n}:6648', internal: 'o-{n}:6649'}}");
        let servers: Vec<String> = (0..count).map(server).collect();
        let servers = servers.join(", ");
        let namespaces =
            "namespaces: [{name: default, replicationFactor: 3, initialShardCount: 2}]";
        list(&format!("{namespaces}\nservers: [{servers}]")).unwrap()
    }

    fn running(up: &[usize]) -> BTreeMap<String, bool> {
        (0..5)
            .map(|n| (format!("o-{n}"), up.contains(&n)))
            .collect()
    }

    fn shards(cluster: &Cluster) -> Vec<(bool, u64, Option<&str>)> {
        let of = |shard: &'_ Shard| (shard.steady, shard.term);
        let all = cluster.shards.iter();
        all.map(|shard| {
            let (steady, term) = of(shard);
            (
                steady,
                term,
                shard.leader.as_ref().map(|leader| leader.name.as_str()),
            )
        })
        .collect()
    }

    #[test]
    fn without_a_quorum_terms_climb_and_a_shard_whose_leader_lives_stays_steady() {
        let mut cluster = Cluster::default();
        cluster.step(&servers(3), &running(&[0, 1, 2]), true);
        let first = shards(&cluster);
        assert_eq!(first[0], (true, 1, Some("o-0")));
        cluster.step(&servers(3), &running(&[0]), true);
        cluster.step(&servers(3), &running(&[0]), false);
        cluster.step(&servers(3), &running(&[0]), true);
        let lost = shards(&cluster);
        assert_eq!(lost[0], (true, 1, Some("o-0")));
        assert_eq!(lost[1], (false, 3, None));
        assert!(cluster.status().contains("leader: null"));
    }

    #[test]
    fn a_server_that_goes_from_the_list_is_replaced_and_fewer_than_the_copies_panic() {
        let mut cluster = Cluster::default();
        cluster.step(&servers(4), &running(&[0, 1, 2, 3]), true);
        assert_eq!(cluster.of("o-3"), (0, 1));
        cluster.step(&servers(3), &running(&[0, 1, 2, 3]), true);
        assert_eq!(cluster.of("o-3"), (0, 0));
        let short =
            "namespaces: [{name: a, replicationFactor: 3, initialShardCount: 1}]\nservers: []\n";
        assert_eq!(list(short).unwrap_err(), "panic: unexpected behaviour");
    }
}
