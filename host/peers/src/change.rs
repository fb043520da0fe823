//! What changed between two snapshots: the sentences of the timeline.

use std::fmt;

use crate::{Ordinal, PeerSet, Phase};

/// One difference between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A replica that was not in the set.
    Appeared(Ordinal),
    /// A replica that is no longer in the set.
    Left(Ordinal),
    /// A replica's phase.
    Phase {
        /// Which.
        ordinal: Ordinal,
        /// Before.
        from: Phase,
        /// Now.
        to: Phase,
    },
    /// A replica's addresses or host.
    Address(Ordinal),
    /// A replica's role.
    Role {
        /// Which.
        ordinal: Ordinal,
        /// Now.
        to: Option<String>,
    },
    /// How many replicas there should be.
    Desired {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// Look-ups began to fail, or work again.
    Stale(bool),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appeared(ordinal) => write!(f, "replica {ordinal} appeared"),
            Self::Left(ordinal) => write!(f, "replica {ordinal} left"),
            Self::Phase { ordinal, from, to } => {
                write!(f, "replica {ordinal} went from {from} to {to}")
            }
            Self::Address(ordinal) => write!(f, "replica {ordinal} has a new address"),
            Self::Role {
                ordinal,
                to: Some(role),
            } => {
                write!(f, "replica {ordinal} is now {role}")
            }
            Self::Role { ordinal, to: None } => write!(f, "replica {ordinal} has no role now"),
            Self::Desired { from, to } => write!(f, "{to} replicas are wanted, {from} before"),
            Self::Stale(true) => f.write_str("look-ups fail, the last known replicas stand"),
            Self::Stale(false) => f.write_str("look-ups work again"),
        }
    }
}

impl PeerSet {
    /// What is different in `self`, seen from `before`; in ordinal order, the set's own facts last.
    /// Revisions and times of confirmation are no difference.
    pub fn changes(&self, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let ordinals: std::collections::BTreeSet<Ordinal> = self
            .replicas
            .keys()
            .chain(before.replicas.keys())
            .copied()
            .collect();
        for ordinal in ordinals {
            match (before.replicas.get(&ordinal), self.replicas.get(&ordinal)) {
                (None, Some(_)) => changes.push(Change::Appeared(ordinal)),
                (Some(_), None) => changes.push(Change::Left(ordinal)),
                (Some(old), Some(new)) => {
                    if old.phase != new.phase {
                        changes.push(Change::Phase {
                            ordinal,
                            from: old.phase,
                            to: new.phase,
                        });
                    }
                    if old.addresses != new.addresses || old.host != new.host {
                        changes.push(Change::Address(ordinal));
                    }
                    if old.role != new.role {
                        changes.push(Change::Role {
                            ordinal,
                            to: new.role.clone(),
                        });
                    }
                }
                (None, None) => {}
            }
        }
        if before.desired != self.desired {
            changes.push(Change::Desired {
                from: before.desired,
                to: self.desired,
            });
        }
        if before.stale.is_some() != self.stale.is_some() {
            changes.push(Change::Stale(self.stale.is_some()));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn set(desired: u32) -> PeerSet {
        let identity = Identity {
            stateful_set: "db".into(),
            ordinal: Ordinal(0),
            namespace: "default".into(),
            service: "db".into(),
            cluster_domain: "cluster.local".into(),
            ip: None,
            uid: "u".into(),
        };
        PeerSet::expected(identity, Ordinal(0), desired)
    }

    #[test]
    fn equal_sets_have_no_changes_even_when_confirmed_later() {
        let mut later = set(3);
        later.confirmed_unix_ms = 5;
        later.revision = 9;
        assert_eq!(later.changes(&set(3)), []);
    }

    #[test]
    fn a_scale_up_tells_who_appeared_and_how_many_are_wanted() {
        let told: Vec<String> = set(4)
            .changes(&set(2))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "replica 2 appeared",
                "replica 3 appeared",
                "4 replicas are wanted, 2 before"
            ]
        );
    }

    #[test]
    fn a_lost_peer_changes_its_phase_and_does_not_leave() {
        let mut now = set(3);
        now.replicas.get_mut(&Ordinal(1)).unwrap().phase = Phase::NotReady;
        assert_eq!(
            now.changes(&set(3)),
            [Change::Phase {
                ordinal: Ordinal(1),
                from: Phase::Unknown,
                to: Phase::NotReady
            }]
        );
    }
}
