//! What the tests of several modules need.

use outrigger_plugin_sdk::fake::members;
use outrigger_plugin_sdk::{Membership, PodPhase, Replica};

/// `tag-<ordinal>` of the namespace `default`, with the addresses of the captures.
pub(crate) fn replica(ordinal: u32) -> Replica {
    let name = format!("tag-{ordinal}");
    let host = format!("{name}.tag-headless.default.svc.cluster.local");
    Replica {
        phase: PodPhase::Starting,
        addresses: vec![format!("127.40.0.{}", ordinal + 1)],
        ..Replica::new(ordinal, name, host)
    }
}

/// `desired` replicas, of which `own` is this one.
pub(crate) fn membership(own: u32, desired: u32) -> Membership {
    members("tag-headless", own, desired, replica)
}
