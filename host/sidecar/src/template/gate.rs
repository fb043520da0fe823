//! Whether the workload may start, as far as its files and its peers' names go. Pure.

use outrigger_peers::{PeerSet, Replica};
use outrigger_plugin_host::Plan;
use outrigger_profile::WaitFor;

use crate::config::PodManagement;

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

/// The gate once the files are in place. `order` is that in which replicas start, `plan` the plugin's.
pub(super) fn judge(
    set: &PeerSet,
    wait_for: WaitFor,
    order: PodManagement,
    plan: Option<&Plan>,
) -> Gate {
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
        WaitFor::Earlier => {
            let own = set.own();
            let is_earlier = |replica: &&Replica| {
                order == PodManagement::Parallel || replica.ordinal < own.ordinal
            };
            set.wanted()
                .filter(is_earlier)
                .filter(|replica| replica.ordinal != own.ordinal)
                .chain([own])
                .filter(is_missing)
                .map(|replica| replica.name.as_str())
                .collect()
        }
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

    use outrigger_peers::Ordinal;

    use super::*;
    use crate::fixture;

    fn set(present: &[u32]) -> PeerSet {
        let mut set = fixture::peers(3);
        for ordinal in present {
            let replica = set.replicas.get_mut(&Ordinal(*ordinal)).unwrap();
            replica.addresses.push(IpAddr::from([10, 0, 0, 1]));
        }
        set
    }

    #[test]
    fn names_are_waited_for_as_the_profile_says() {
        use PodManagement::{OrderedReady, Parallel};
        for (wait_for, order, present, open) in [
            (WaitFor::Nobody, Parallel, &[][..], true),
            (WaitFor::Own, Parallel, &[1, 2][..], false),
            (WaitFor::Own, Parallel, &[0][..], true),
            (WaitFor::Majority, Parallel, &[0][..], false),
            (WaitFor::Majority, Parallel, &[0, 2][..], true),
            (WaitFor::All, Parallel, &[0, 2][..], false),
            (WaitFor::All, Parallel, &[0, 1, 2][..], true),
            (WaitFor::Earlier, Parallel, &[0, 2][..], false),
            (WaitFor::Earlier, Parallel, &[0, 1, 2][..], true),
            (WaitFor::Earlier, OrderedReady, &[2][..], false),
            (WaitFor::Earlier, OrderedReady, &[0][..], true),
        ] {
            let gate = judge(&set(present), wait_for, order, None);
            assert_eq!(gate.is_ready(), open, "{wait_for:?} {order:?} {present:?}");
        }
        assert_eq!(
            judge(&set(&[0]), WaitFor::All, PodManagement::Parallel, None),
            Gate::Waiting("these names do not resolve yet: db-1, db-2".into())
        );
    }

    #[test]
    fn a_replica_that_starts_later_waits_for_those_before_it() {
        let mut last = set(&[2]);
        last.identity.ordinal = Ordinal(2);
        let gate = |set| judge(set, WaitFor::Earlier, PodManagement::OrderedReady, None);
        assert_eq!(
            gate(&last),
            Gate::Waiting("these names do not resolve yet: db-0, db-1".into())
        );
        let mut middle = set(&[0, 1]);
        middle.identity.ordinal = Ordinal(1);
        assert!(gate(&middle).is_ready());
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
            judge(
                &set(&[0, 1, 2]),
                WaitFor::Nobody,
                PodManagement::Parallel,
                Some(&plan)
            ),
            Gate::Waiting(
                "the plugin holds the start: the data folder is another replica's".into()
            )
        );
    }
}
