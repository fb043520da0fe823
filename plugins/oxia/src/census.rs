//! What the shards and the servers that answer the coordinator come to: who leads, who keeps what, and what
//! would break if one stopped. Pure.

use std::collections::BTreeMap;

use crate::status::{Shard, State, Status};

/// Whether each server of the coordinator's list answers it; empty while that is not known.
pub type Running = BTreeMap<String, bool>;

/// One server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Server {
    /// Whether it answers the coordinator; none when it is not in its list.
    pub running: Option<bool>,
    /// How many shards name it in their ensemble.
    pub shards: u32,
    /// How many of those are steady.
    pub steady: u32,
    /// How many of those have no majority that answers.
    pub without_quorum: u32,
    /// How many of those lose their majority if it stops now, and would not if all others answered.
    pub breaks: u32,
    /// How many it leads.
    pub leads: u32,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// By name: those of the list and those that ensembles name.
    pub servers: BTreeMap<String, Server>,
    /// How many shards there are.
    pub shards: u32,
    /// The shards that are not steady.
    pub unsteady: Vec<String>,
    /// The shards without a leader.
    pub leaderless: Vec<String>,
    /// The shards of whose copies no majority answers; none where it is not known who does.
    pub without_quorum: Vec<String>,
}

/// Counts. A server of whom it is not known whether it answers is not counted on, and not missed either.
pub fn census(status: &Status, running: &Running) -> Census {
    let mut census = Census::default();
    for (name, runs) in running {
        census.servers.entry(name.clone()).or_default().running = Some(*runs);
    }
    for shard in &status.shards {
        census.add(shard, running);
    }
    census
}

impl Census {
    fn add(&mut self, shard: &Shard, running: &Running) {
        self.shards += 1;
        let is_steady = shard.state == State::Steady;
        if !is_steady {
            self.unsteady.push(shard.name.clone());
        }
        match &shard.leader {
            Some(leader) => self.servers.entry(leader.clone()).or_default().leads += 1,
            None => self.leaderless.push(shard.name.clone()),
        }
        let majority = shard.ensemble.len() / 2 + 1;
        let down = |name: &&String| running.get(*name) == Some(&false);
        let is_lost = shard.ensemble.len() - shard.ensemble.iter().filter(down).count() < majority
            && !shard.ensemble.is_empty();
        if is_lost {
            self.without_quorum.push(shard.name.clone());
        }
        for name in &shard.ensemble {
            let up = |other: &&String| *other != name && running.get(*other) == Some(&true);
            let others = shard.ensemble.iter().filter(up).count();
            let breaks = !is_lost && others < majority && shard.ensemble.len() > majority;
            let server = self.servers.entry(name.clone()).or_default();
            server.shards += 1;
            server.steady += u32::from(is_steady);
            server.without_quorum += u32::from(is_lost);
            server.breaks += u32::from(breaks && !running.is_empty());
        }
    }

    /// How many more shards the busiest leader has than the least busy server that keeps any.
    pub fn spread(&self) -> u32 {
        let leads = || {
            let keeping = self.servers.values().filter(|server| server.shards > 0);
            keeping.map(|server| server.leads)
        };
        leads().max().unwrap_or_default() - leads().min().unwrap_or_default()
    }

    /// The servers that do not answer the coordinator.
    pub fn down(&self) -> Vec<&str> {
        self.named(|server| server.running == Some(false))
    }

    /// The servers that ensembles name and the coordinator's list does not.
    pub fn removed(&self) -> Vec<&str> {
        let is_known = self.servers.values().any(|server| server.running.is_some());
        self.named(|server| is_known && server.running.is_none() && server.shards > 0)
    }

    fn named(&self, wanted: impl Fn(&Server) -> bool) -> Vec<&str> {
        let found = self.servers.iter().filter(|(_, server)| wanted(server));
        found.map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status;
    use crate::testing::{NO_QUORUM, STEADY, running};

    fn of(status: &str, servers: &[(&str, bool)]) -> Census {
        census(&status::read(status.as_bytes()).unwrap(), &running(servers))
    }

    const ALL: [(&str, bool); 3] = [("oxia-0", true), ("oxia-1", true), ("oxia-2", true)];

    #[test]
    fn a_steady_cluster_loses_nothing_with_one_server() {
        let census = of(STEADY, &ALL);
        assert_eq!((census.shards, census.spread()), (2, 1));
        assert!(census.unsteady.is_empty() && census.leaderless.is_empty());
        let expected = Server {
            running: Some(true),
            shards: 2,
            steady: 2,
            leads: 1,
            ..Server::default()
        };
        assert_eq!(census.servers["oxia-0"], expected);
        assert!(census.down().is_empty() && census.removed().is_empty());
    }

    #[test]
    fn with_one_down_the_others_are_needed() {
        let census = of(
            STEADY,
            &[("oxia-0", true), ("oxia-1", true), ("oxia-2", false)],
        );
        assert!(census.without_quorum.is_empty());
        let breaks = |name: &str| census.servers[name].breaks;
        assert_eq!(
            (breaks("oxia-0"), breaks("oxia-1"), breaks("oxia-2")),
            (2, 2, 0)
        );
        assert_eq!(census.down(), ["oxia-2"]);
    }

    #[test]
    fn without_a_quorum_a_steady_shard_is_told_too_and_there_is_nothing_to_lose() {
        let census = of(
            NO_QUORUM,
            &[("oxia-0", true), ("oxia-1", false), ("oxia-2", false)],
        );
        assert_eq!(census.leaderless, ["default/0"]);
        assert_eq!(census.unsteady, ["default/0"]);
        // The second says status 1 and a leader, and its writes time out.
        assert_eq!(census.without_quorum, ["default/0", "default/1"]);
        assert_eq!(census.servers["oxia-0"].without_quorum, 2);
        assert_eq!(census.servers["oxia-0"].breaks, 0);
    }

    #[test]
    fn while_it_is_not_known_who_answers_nothing_is_said_of_quorums() {
        let census = of(STEADY, &[]);
        assert!(census.without_quorum.is_empty() && census.removed().is_empty());
        assert!(census.servers.values().all(|server| server.breaks == 0));
    }

    #[test]
    fn a_server_that_was_removed_and_is_still_named_is_told_and_not_counted_on() {
        let census = of(
            STEADY,
            &[("oxia-0", true), ("oxia-1", true), ("oxia-3", true)],
        );
        assert_eq!(census.removed(), ["oxia-2"]);
        assert!(census.without_quorum.is_empty());
        assert_eq!(census.servers["oxia-0"].breaks, 2);
        assert_eq!(census.servers["oxia-3"].shards, 0);
    }

    #[test]
    fn one_copy_or_two_cannot_be_spared_and_nobody_waits_for_that() {
        let text = "namespaces: {a: {shards: {0: {status: 1, term: 1, leader: {name: a}, ensemble: [{name: a}, {name: b}]}}}}";
        let census = of(text, &[("a", true), ("b", true)]);
        assert_eq!(census.servers["a"].breaks, 0);
        assert_eq!(census.servers["b"].breaks, 0);
    }
}
