//! The vocabulary of a StatefulSet's replicas: ordinals, replicas, sets of them, what changed between two
//! sets, and in which order replicas restart.
//!
//! Pure: no IO, no clock, no async. Everything here is a value that can be compared, serialised and
//! sent through a `watch` channel.

mod change;
mod ordinal;
mod peer_set;
mod replica;
mod restart;

pub use change::Change;
pub use ordinal::{Ordinal, ParseReplicaNameError, ReplicaName};
pub use peer_set::{Identity, PeerSet, Source, Staleness, quorum};
pub use replica::{Phase, Replica};
pub use restart::{LEADER, RestartPlace};
