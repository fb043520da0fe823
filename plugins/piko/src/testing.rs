//! What the tests of several modules need.

use outrigger_plugin_sdk::fake::members;
use outrigger_plugin_sdk::{Membership, PodPhase, Replica};

/// `piko-<ordinal>` of the namespace `default`.
pub(crate) fn replica(ordinal: u32) -> Replica {
    let name = format!("piko-{ordinal}");
    let host = format!("{name}.piko.default.svc.cluster.local");
    Replica {
        phase: PodPhase::Starting,
        ..Replica::new(ordinal, name, host)
    }
}

/// `desired` replicas, of which `own` is this one.
pub(crate) fn membership(own: u32, desired: u32) -> Membership {
    members("piko", own, desired, replica)
}

/// The same with the addresses of the captures: `127.10.0.<ordinal + 1>`.
pub(crate) fn with_addresses(mut now: Membership) -> Membership {
    for replica in &mut now.replicas {
        replica.addresses = vec![format!("127.10.0.{}", replica.ordinal + 1)];
    }
    now
}
