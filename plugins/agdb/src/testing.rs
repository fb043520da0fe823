//! What the tests of several modules need.

use outrigger_plugin_sdk::fake::members;
use outrigger_plugin_sdk::{Membership, Replica};

/// `agdb-<ordinal>` of the namespace `default`.
pub(crate) fn replica(ordinal: u32) -> Replica {
    let name = format!("agdb-{ordinal}");
    let host = format!("{name}.agdb.default.svc.cluster.local");
    Replica::new(ordinal, name, host)
}

/// `desired` replicas, of which `own` is this one (beyond them, when it is being removed).
pub(crate) fn membership(own: u32, desired: u32) -> Membership {
    members("agdb", own, desired, replica)
}
