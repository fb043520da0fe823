//! What the tests of several modules need.

use outrigger_plugin_sdk::fake::members;
use outrigger_plugin_sdk::{Membership, Replica};

use crate::census::Running;

/// The status as it was captured with everything well.
pub(crate) const STEADY: &str = include_str!("../tests/data/steady.yaml");

/// The same with two of three servers dead.
pub(crate) const NO_QUORUM: &str = include_str!("../tests/data/no-quorum.yaml");

/// The list of servers as it was captured.
pub(crate) const CLUSTER: &str = include_str!("../tests/data/cluster.yaml");

/// The coordinator's own metrics, with everything well.
pub(crate) const METRICS: &str = include_str!("../tests/data/coordinator.prom");

/// `oxia-<ordinal>` of the namespace `default`.
pub(crate) fn replica(ordinal: u32) -> Replica {
    let name = format!("oxia-{ordinal}");
    let host = format!("{name}.oxia.default.svc.cluster.local");
    Replica::new(ordinal, name, host)
}

/// `desired` replicas, of which `own` is this one.
pub(crate) fn membership(own: u32, desired: u32) -> Membership {
    members("oxia", own, desired, replica)
}

/// Who answers the coordinator.
pub(crate) fn running(servers: &[(&str, bool)]) -> Running {
    servers
        .iter()
        .map(|(name, runs)| ((*name).to_owned(), *runs))
        .collect()
}
