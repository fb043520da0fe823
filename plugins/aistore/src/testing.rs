//! What the tests of several modules need.

use outrigger_plugin_sdk::fake::members;
use outrigger_plugin_sdk::{Membership, PodPhase, Replica, json};

use crate::smap::Map;

/// The captured map: a proxy and two targets.
pub(crate) const SMAP: &str = include_str!("../tests/data/smap.json");

/// A target's captured status, while a rebalance runs.
pub(crate) const STATUS: &str = include_str!("../tests/data/node_status.json");

/// The same when it has ended.
pub(crate) fn at_rest() -> String {
    STATUS.replace("0001-01-01T00:00:00Z", "2026-11-21T08:53:20.1Z")
}

/// The captured map, with these flags for the second target, or without it.
pub(crate) fn map_with(second: Option<u32>) -> String {
    let (before, after) = SMAP.split_once(",\"ais-target-1\":").unwrap();
    if let Some(flags) = second {
        let after = after.replacen("\"flags\":0", &format!("\"flags\":{flags}"), 1);
        return format!("{before},\"ais-target-1\":{after}");
    }
    let (_, rest) = after.split_once("},\"uuid\"").unwrap();
    format!("{before}}},\"uuid\"{rest}")
}

pub(crate) fn map(text: &str) -> Map {
    json::parse(text).unwrap()
}

/// `ais-<kind>-<ordinal>` of the namespace `default`.
pub(crate) fn replica(kind: &str, ordinal: u32) -> Replica {
    let name = format!("ais-{kind}-{ordinal}");
    let host = format!("{name}.ais-{kind}.default.svc.cluster.local");
    Replica {
        phase: PodPhase::Ready,
        addresses: vec!["127.0.0.1".to_owned()],
        ..Replica::new(ordinal, name, host)
    }
}

/// `desired` replicas, of which `own` is this one.
pub(crate) fn membership(kind: &str, own: u32, desired: u32) -> Membership {
    members(&format!("ais-{kind}"), own, desired, |n| replica(kind, n))
}
