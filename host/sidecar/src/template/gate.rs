//! Whether the workload may start, as far as its files and its peers' names go. Pure.

use outrigger_peers::{PeerSet, Replica};
use outrigger_plugin_host::Plan;
use outrigger_profile::WaitFor;

/// Whether the workload may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Ready,
    /// It waits, for this.
    Waiting(String),
}

impl Gate {
    /// Whether it is open.
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}

/// The gate once the files are in place. `plan` is the plugin's.
pub(super) fn judge(set: &PeerSet, wait_for: WaitFor, plan: Option<&Plan>) -> Gate {
    if let Some(plan) = plan
        && !plan.may_start
    {
        return Gate::Waiting(format!("the plugin holds the start: {}", plan.reason));
    }
    let is_missing = |replica: &&Replica| replica.addresses.is_empty();
    let missing: Vec<&str> = match wait_for {
        WaitFor::Nobody => return Gate::Ready,
        WaitFor::Own => Some(set.own())
            .into_iter()
            .filter(is_missing)
            .map(|replica| replica.name.as_str())
            .collect(),
        WaitFor::Majority | WaitFor::All => set
            .wanted()
            .filter(is_missing)
            .map(|replica| replica.name.as_str())
            .collect(),
    };
    let there = set.wanted().count().saturating_sub(missing.len());
    let enough = match wait_for {
        WaitFor::Majority => u32::try_from(there).unwrap_or(u32::MAX) >= set.quorum(),
        _ => missing.is_empty(),
    };
    if enough {
        Gate::Ready
    } else {
        Gate::Waiting(format!(
            "these names do not resolve yet: {}",
            missing.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use outrigger_peers::{Identity, Ordinal};

    use super::*;

    fn set(present: &[u32]) -> PeerSet {
        let identity = Identity {
            stateful_set: "db".into(),
            ordinal: Ordinal(0),
            namespace: "default".into(),
            service: "db".into(),
            cluster_domain: "cluster.local".into(),
            ip: None,
            uid: String::new(),
        };
        let mut set = PeerSet::expected(identity, Ordinal(0), 3);
        for ordinal in present {
            let replica = set.replicas.get_mut(&Ordinal(*ordinal)).unwrap();
            replica.addresses.push(IpAddr::from([10, 0, 0, 1]));
        }
        set
    }

    #[test]
    fn names_are_waited_for_as_the_profile_says() {
        for (wait_for, present, open) in [
            (WaitFor::Nobody, &[][..], true),
            (WaitFor::Own, &[1, 2][..], false),
            (WaitFor::Own, &[0][..], true),
            (WaitFor::Majority, &[0][..], false),
            (WaitFor::Majority, &[0, 2][..], true),
            (WaitFor::All, &[0, 2][..], false),
            (WaitFor::All, &[0, 1, 2][..], true),
        ] {
            let gate = judge(&set(present), wait_for, None);
            assert_eq!(gate.is_ready(), open, "{wait_for:?} {present:?}");
        }
        assert_eq!(
            judge(&set(&[0]), WaitFor::All, None),
            Gate::Waiting("these names do not resolve yet: db-1, db-2".into())
        );
    }

    #[test]
    fn the_plugin_can_hold_the_start() {
        let plan = Plan {
            outputs: BTreeMap::new(),
            seeds: Vec::new(),
            may_start: false,
            reason: "the data folder is another replica's".into(),
        };
        assert_eq!(
            judge(&set(&[0, 1, 2]), WaitFor::Nobody, Some(&plan)),
            Gate::Waiting(
                "the plugin holds the start: the data folder is another replica's".into()
            )
        );
    }
}
