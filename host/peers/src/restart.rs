//! In which order replicas restart, one after the other.

use std::cmp::Reverse;

use crate::ordinal::Ordinal;

/// The role of the replica that restarts last, as sidecars publish it.
pub const LEADER: &str = "leader";

/// A replica's place in the order of restarts, the first one the smallest: from the highest ordinal down, as
/// the StatefulSet controller goes, and the leader after all others, since its restart costs an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RestartPlace {
    leads: bool,
    ordinal: Reverse<Ordinal>,
}

impl RestartPlace {
    /// The place of the replica with this role, if one is known, and this ordinal.
    pub fn of(role: Option<&str>, ordinal: Ordinal) -> Self {
        Self {
            leads: role == Some(LEADER),
            ordinal: Reverse(ordinal),
        }
    }

    /// Whether the replica leads.
    pub fn leads(self) -> bool {
        self.leads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_restart_from_the_highest_ordinal_down_and_the_leader_last() {
        let roles = [Some("follower"), None, Some("leader"), Some("candidate")];
        let mut order: Vec<u32> = (0..4).collect();
        order.sort_by_key(|ordinal| RestartPlace::of(roles[*ordinal as usize], Ordinal(*ordinal)));
        assert_eq!(order, [3, 1, 0, 2]);
    }
}
