//! What a look comes to: whether this node is of the cluster and sound, and what people should know. Pure.

use outrigger_plugin_sdk::{Reason, Replica, Verdict};

use crate::flags;
use crate::settings::Role;
use crate::smap::{Map, Node};
use crate::status::NodeStatus;

/// One look.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// What the node is.
    pub role: Role,
    /// This replica.
    pub own: Replica,
    /// Whether `/v1/health` is 200.
    pub alive: bool,
    /// Whether `?readiness=true` is.
    pub ready: bool,
    /// What the node says of itself; none when it does not.
    pub status: Option<NodeStatus>,
    /// The map that it has; none before the cluster has started.
    pub map: Option<Map>,
    /// Whether the primary says that the cluster has started; for proxies.
    pub started: bool,
    /// How many mountpaths there should be; none = not known.
    pub mountpaths: Option<u32>,
}

impl Look {
    /// This node in the map.
    pub fn node(&self) -> Option<&Node> {
        let map = self.map.as_ref()?;
        match self.role {
            Role::Proxy => map.proxy(&self.own.name),
            Role::Target => map.target(&self.own.name),
        }
    }

    /// Whether this node is the primary.
    pub fn is_primary(&self) -> bool {
        self.role == Role::Proxy
            && self
                .map
                .as_ref()
                .is_some_and(|map| map.primary == self.own.name)
    }
}

/// Judges a look. `others` are the other replicas of this StatefulSet.
pub fn judge(look: &Look, others: &[&Replica]) -> Verdict {
    if !look.alive {
        return Verdict::fail(vec![Reason::own(
            "not-answering",
            "AIStore's /v1/health does not answer with 200",
        )]);
    }
    let state = look.status.as_ref().and_then(|status| status.state);
    let mut fails = Vec::new();
    match look.role {
        Role::Target if !look.ready => fails.push(why_not_ready(look)),
        Role::Target => {}
        Role::Proxy if !look.ready => fails.push(Reason::own(
            "not-ready",
            "AIStore's /v1/health?readiness=true is not 200",
        )),
        Role::Proxy => fails.extend(not_started(look)),
    }
    fails.extend(flags::fatal(state.unwrap_or_default()).map(|(code, why)| Reason::own(code, why)));
    let told = told(look, state, others);
    let verdict = if !fails.is_empty() {
        fails.extend(told);
        Verdict::fail(fails)
    } else if told.is_empty() {
        Verdict::pass()
    } else {
        Verdict::degraded(told)
    };
    describe(verdict, look)
}

/// A proxy is of use once it knows targets: its own readiness says nothing of that.
fn not_started(look: &Look) -> Option<Reason> {
    if look.started && look.node().is_some() {
        return None;
    }
    let message = match &look.map {
        None => "the cluster has not started: there is no cluster map yet".to_owned(),
        Some(map) if map.proxy(&look.own.name).is_none() => {
            format!(
                "this proxy has not joined: the cluster map v{} does not have it",
                map.version
            )
        }
        Some(map) => format!(
            "the cluster is not ready: the primary {} has {} targets and still starts (`prr`)",
            map.primary,
            map.targets.len()
        ),
    };
    Some(Reason::cluster("cluster-not-started", message))
}

fn why_not_ready(look: &Look) -> Reason {
    let Some(map) = &look.map else {
        return Reason::own(
            "not-joined",
            "the target has not joined: there is no cluster map yet; does a proxy run, and does its name resolve?",
        );
    };
    match look.node() {
        None => Reason::own(
            "not-joined",
            format!(
                "the target is not in the cluster map v{}: it unregistered, was removed after 25 to 36 s of silence, or \
                 was decommissioned",
                map.version
            ),
        ),
        Some(node) if node.decommission => Reason::own(
            "decommissioning",
            "the target is being decommissioned: its objects move to the others",
        ),
        Some(node) if node.maintenance => Reason::own(
            "in-maintenance",
            "the target is in maintenance; `ais cluster add-remove-nodes stop-maintenance` ends it",
        ),
        Some(_) => Reason::own(
            "not-ready",
            format!(
                "the target is in the cluster map v{} and does not take requests yet",
                map.version
            ),
        ),
    }
}

fn told(look: &Look, state: Option<u64>, others: &[&Replica]) -> Vec<Reason> {
    let mut told = Vec::new();
    if state.is_none() {
        told.push(Reason::own(
            "no-status",
            "the node does not tell its state: disks, memory and rebalance are not known",
        ));
    }
    let seen = look.status.as_ref().and_then(|status| status.mountpaths);
    if let (Some(seen), Some(expected)) = (seen, look.mountpaths)
        && seen < expected
    {
        told.push(Reason::own(
            "mountpath-missing",
            format!("{seen} of {expected} mountpaths are in use: one was disabled or detached"),
        ));
    }
    if let Some(map) = &look.map {
        told.extend(look.node().and_then(|node| stale(&look.own, node)).map(|old| {
            Reason::own(
                "stale-address",
                format!(
                    "the cluster map has this node at {old}, which it is not any more: peers reach nobody there; restart \
                     it, with all three host names set"
                ),
            )
        }));
        for other in others {
            let node = map.proxy(&other.name).or_else(|| map.target(&other.name));
            told.extend(node.and_then(|node| stale(other, node)).map(|old| {
                Reason::cluster(
                    "stale-peer-address",
                    format!(
                        "the cluster map has {} at {old}, which it is not any more",
                        other.name
                    ),
                )
            }));
        }
    }
    told.extend(flags::told(state.unwrap_or_default()).map(|(code, why)| Reason::own(code, why)));
    told
}

/// An address of the map that the replica does not have. Names are looked up anew by whoever dials them;
/// an address that was written down is not.
pub fn stale<'a>(replica: &Replica, node: &'a Node) -> Option<&'a str> {
    if replica.addresses.is_empty() {
        return None;
    }
    let is_stale = |host: &&String| {
        let is_address =
            host.contains(':') || host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        is_address && **host != replica.host && !replica.addresses.contains(host)
    };
    node.hosts.iter().find(is_stale).map(String::as_str)
}

fn describe(verdict: Verdict, look: &Look) -> Verdict {
    let Some(map) = &look.map else {
        return verdict;
    };
    let resting = map
        .targets
        .iter()
        .filter(|node| node.maintenance || node.decommission);
    let resting = match resting.count() {
        0 => String::new(),
        some => format!(", {some} in maintenance"),
    };
    let mut verdict = verdict
        .attr("map", format!("v{}", map.version))
        .attr("primary", &map.primary)
        .attr("targets", format!("{}{resting}", map.targets.len()));
    if let Some(id) = look
        .status
        .as_ref()
        .and_then(|status| status.rebalance.as_ref())
    {
        verdict = verdict.attr("rebalance", id);
    }
    match look.role {
        Role::Target => verdict,
        // The primary is restarted last, and has the leader's Service.
        Role::Proxy if look.is_primary() && look.started => verdict.role("leader"),
        Role::Proxy => verdict.role("follower"),
    }
}

#[cfg(test)]
mod tests;
