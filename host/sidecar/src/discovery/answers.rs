//! What DNS answers mean: which ordinals may be asked for, and what is known after a round of answers.
//!
//! Pure. An answer tells whether a name is there, no more: a name that resolves is a replica that is
//! ready, or one that is starting where the Service publishes addresses that are not ready.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_peers::{Ordinal, PeerSet, Phase, Replica, Source, Staleness};

use crate::config::PodManagement;
use crate::limits;

/// The reply to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// There are addresses.
    Addresses(Vec<IpAddr>),
    /// A server said that there are none: NXDOMAIN or NODATA.
    Nothing,
    /// Nobody said anything that can be believed: SERVFAIL, REFUSED, a timeout. The text says what.
    Failed(String),
}

/// The replies for one name, by family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// A.
    pub(crate) v4: Reply,
    /// AAAA.
    pub(crate) v6: Reply,
}

impl Answer {
    /// Whether the name is there.
    pub(crate) fn is_present(&self) -> bool {
        [&self.v4, &self.v6]
            .into_iter()
            .any(|reply| matches!(reply, Reply::Addresses(addresses) if !addresses.is_empty()))
    }

    /// Every address.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [&self.v4, &self.v6]
            .into_iter()
            .flat_map(|reply| match reply {
                Reply::Addresses(addresses) => addresses.clone(),
                _ => Vec::new(),
            })
    }

    fn failure(&self) -> Option<&str> {
        [&self.v4, &self.v6]
            .into_iter()
            .find_map(|reply| match reply {
                Reply::Failed(why) => Some(why.as_str()),
                _ => None,
            })
    }
}

/// What bounds the questions of one round.
#[derive(Debug, Clone)]
pub(crate) struct Frontier {
    /// The first ordinal.
    pub(crate) start: Ordinal,
    /// This replica's own: it exists.
    pub(crate) own: Ordinal,
    /// How many replicas there should be, where this is known.
    pub(crate) desired: Option<u32>,
    /// In which order they come.
    pub(crate) pod_management: PodManagement,
    /// Those that have been seen in the life of this sidecar: they may be asked for again.
    pub(crate) seen: BTreeSet<Ordinal>,
    /// Those that the governing Service's records name.
    pub(crate) named: BTreeSet<Ordinal>,
    /// How many addresses of the governing Service belong to no replica that is known.
    pub(crate) strangers: u32,
}

impl Frontier {
    /// The ordinals that may be asked for now, in ascending order: those that exist or can. A name
    /// that is asked for too early is answered with a "no" that cluster DNS keeps for up to 30 s.
    pub(crate) fn ordinals(&self) -> BTreeSet<Ordinal> {
        let mut asked: BTreeSet<Ordinal> = self.seen.union(&self.named).copied().collect();
        asked.insert(self.own);
        let limit = self.start.0.saturating_add(limits::REPLICAS_MAX);
        let end = match self.desired {
            Some(desired) => self.start.0.saturating_add(desired),
            // As many as the Service has addresses, and this replica's place is a lower bound.
            None => (self.highest().saturating_add(1)).saturating_add(self.strangers),
        }
        .min(limit);
        // Whoever exists, everybody below exists or has existed.
        let reached = self.highest().min(limit.saturating_sub(1));
        asked.extend((self.start.0..=reached).map(Ordinal));
        match self.pod_management {
            PodManagement::Parallel => asked.extend((self.start.0..end).map(Ordinal)),
            PodManagement::OrderedReady => {
                let next = reached.saturating_add(1);
                if next < end && self.seen.contains(&Ordinal(reached)) {
                    asked.insert(Ordinal(next));
                }
            }
        }
        if self.strangers > 0 {
            // Somebody beyond is there; a scale-up that this pod's environment does not know of yet.
            let next = self.highest().saturating_add(1).max(end);
            let last = next.saturating_add(self.strangers).min(limit);
            asked.extend((next..last).map(Ordinal));
        }
        asked.retain(|ordinal| *ordinal >= self.start && ordinal.0 < limit || *ordinal == self.own);
        asked
    }

    /// The highest ordinal that is known to exist.
    fn highest(&self) -> u32 {
        self.seen
            .iter()
            .chain(self.named.iter())
            .chain([&self.own])
            .max()
            .map_or(self.own.0, |ordinal| ordinal.0)
    }
}

/// What is known after a round. `expected` holds who should exist; `memory` is what was known before.
/// Replicas that are not wanted stay as long as their names do.
pub(crate) fn fold(
    expected: PeerSet,
    memory: &PeerSet,
    answers: &BTreeMap<Ordinal, Answer>,
    source: Source,
    now_unix_ms: u64,
) -> PeerSet {
    let mut set = expected;
    set.source = source;
    let mut failures: Vec<String> = Vec::new();
    for (ordinal, answer) in answers {
        let before = memory.replicas.get(ordinal);
        if let Some(why) = answer.failure() {
            let name = set
                .replicas
                .get(ordinal)
                .map_or_else(|| set.identity.host_of(*ordinal), |r| r.host.clone());
            failures.push(format!("{name}: {why}"));
        }
        if let Some(replica) = judge(&set, *ordinal, before, answer) {
            set.replicas.insert(*ordinal, replica);
        }
    }
    // Who was not asked for is not there yet, unless more was known before.
    for (ordinal, replica) in &mut set.replicas {
        if answers.contains_key(ordinal) {
            continue;
        }
        match memory.replicas.get(ordinal) {
            Some(before) if before.phase != Phase::Unknown => {
                replica.phase = before.phase;
                replica.addresses.clone_from(&before.addresses);
            }
            _ => replica.phase = Phase::Pending,
        }
    }
    if failures.is_empty() {
        set.confirmed_unix_ms = now_unix_ms;
    } else {
        set.confirmed_unix_ms = memory.confirmed_unix_ms;
        set.stale = Some(Staleness {
            since_unix_ms: memory.confirmed_unix_ms,
            reason: summary(&failures),
        });
    }
    set
}

/// One replica after its answer; none when it is neither there nor wanted.
fn judge(
    set: &PeerSet,
    ordinal: Ordinal,
    before: Option<&Replica>,
    answer: &Answer,
) -> Option<Replica> {
    let own = ordinal == set.identity.ordinal;
    let kept = |v4: bool| {
        before
            .into_iter()
            .flat_map(|replica| replica.addresses.iter().copied())
            .filter(move |address| address.is_ipv4() == v4)
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (reply, v4) in [(&answer.v4, true), (&answer.v6, false)] {
        match reply {
            Reply::Addresses(found) => addresses.extend(found),
            Reply::Nothing => {}
            Reply::Failed(_) => addresses.extend(kept(v4)),
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(limits::ADDRESSES_MAX);
    let failed = answer.failure().is_some();
    let mut replica = set.replicas.get(&ordinal).cloned().unwrap_or_else(|| {
        Replica::expected(
            ordinal,
            set.identity.pod_of(ordinal),
            set.identity.host_of(ordinal),
        )
    });
    replica.phase = if answer.is_present() {
        Phase::Ready
    } else if failed {
        before.map_or(Phase::Unknown, |replica| replica.phase)
    } else if own {
        Phase::Starting
    } else if set.is_wanted(ordinal) {
        Phase::Pending
    } else {
        return None;
    };
    if failed && before.is_none() && !set.is_wanted(ordinal) && !own && addresses.is_empty() {
        return None;
    }
    if own && addresses.is_empty() {
        addresses.extend(set.identity.ip);
    }
    replica.addresses = addresses;
    Some(replica)
}

/// The first failure, and how many more there are.
fn summary(failures: &[String]) -> String {
    match failures {
        [] => String::new(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use outrigger_peers::Identity;

    use super::*;

    fn identity(own: u32) -> Identity {
        Identity {
            stateful_set: "db".into(),
            ordinal: Ordinal(own),
            namespace: "default".into(),
            service: "db".into(),
            cluster_domain: "cluster.local".into(),
            ip: Some(IpAddr::from([10, 0, 0, 9])),
            uid: String::new(),
        }
    }

    fn expected(desired: u32) -> PeerSet {
        PeerSet::expected(identity(0), Ordinal(0), desired)
    }

    fn here(last: u8) -> Answer {
        Answer {
            v4: Reply::Addresses(vec![IpAddr::from([10, 0, 0, last])]),
            v6: Reply::Nothing,
        }
    }

    fn nowhere() -> Answer {
        Answer {
            v4: Reply::Nothing,
            v6: Reply::Nothing,
        }
    }

    fn failed() -> Answer {
        Answer {
            v4: Reply::Failed("server failure".into()),
            v6: Reply::Failed("server failure".into()),
        }
    }

    fn round(memory: &PeerSet, desired: u32, answers: &[(u32, Answer)], now: u64) -> PeerSet {
        let answers = answers
            .iter()
            .map(|(ordinal, answer)| (Ordinal(*ordinal), answer.clone()))
            .collect();
        fold(expected(desired), memory, &answers, Source::Dns, now)
    }

    fn frontier(pod_management: PodManagement, own: u32, desired: Option<u32>) -> Frontier {
        Frontier {
            start: Ordinal(0),
            own: Ordinal(own),
            desired,
            pod_management,
            seen: BTreeSet::new(),
            named: BTreeSet::new(),
            strangers: 0,
        }
    }

    fn asked(frontier: &Frontier) -> Vec<u32> {
        frontier.ordinals().iter().map(|o| o.0).collect()
    }

    #[test]
    fn with_parallel_starts_everyone_wanted_is_asked_for() {
        assert_eq!(
            asked(&frontier(PodManagement::Parallel, 1, Some(3))),
            [0, 1, 2]
        );
    }

    #[test]
    fn in_order_the_next_is_not_asked_for_before_the_last_is_seen() {
        let mut ordered = frontier(PodManagement::OrderedReady, 0, Some(3));
        assert_eq!(asked(&ordered), [0]);
        ordered.seen.insert(Ordinal(0));
        assert_eq!(asked(&ordered), [0, 1]);
        ordered.seen.insert(Ordinal(1));
        assert_eq!(asked(&ordered), [0, 1, 2]);
        ordered.seen.insert(Ordinal(2));
        assert_eq!(asked(&ordered), [0, 1, 2]);
    }

    #[test]
    fn in_order_everyone_below_this_replica_may_be_asked_for() {
        assert_eq!(
            asked(&frontier(PodManagement::OrderedReady, 2, Some(5))),
            [0, 1, 2]
        );
    }

    #[test]
    fn with_an_unknown_count_the_service_tells_how_far_to_ask() {
        let mut unknown = frontier(PodManagement::Parallel, 0, None);
        assert_eq!(asked(&unknown), [0]);
        unknown.strangers = 2;
        assert!(asked(&unknown).starts_with(&[0, 1, 2]));
        unknown.strangers = 0;
        unknown.named.insert(Ordinal(3));
        assert_eq!(asked(&unknown), [0, 1, 2, 3]);
    }

    #[test]
    fn a_replica_beyond_the_desired_count_is_asked_for_when_the_service_knows_it() {
        let mut known = frontier(PodManagement::Parallel, 0, Some(2));
        known.named.insert(Ordinal(4));
        assert_eq!(asked(&known), [0, 1, 2, 3, 4]);
        let mut stranger = frontier(PodManagement::Parallel, 0, Some(2));
        stranger.strangers = 1;
        assert_eq!(asked(&stranger), [0, 1, 2]);
    }

    #[test]
    fn questions_are_bounded_whatever_the_service_answers() {
        let mut wild = frontier(PodManagement::Parallel, 0, None);
        wild.strangers = u32::MAX;
        wild.named.insert(Ordinal(u32::MAX));
        assert!(wild.ordinals().len() <= limits::REPLICAS_MAX as usize + 1);
        wild.pod_management = PodManagement::OrderedReady;
        assert!(wild.ordinals().len() <= limits::REPLICAS_MAX as usize + 1);
    }

    #[test]
    fn a_name_that_a_server_denies_is_pending_and_one_that_nobody_answers_stays() {
        let memory = round(
            &expected(3),
            3,
            &[(0, here(1)), (1, here(2)), (2, nowhere())],
            10,
        );
        assert_eq!(memory.replicas[&Ordinal(2)].phase, Phase::Pending);
        assert_eq!(memory.confirmed_unix_ms, 10);
        let after = round(
            &memory,
            3,
            &[(0, here(1)), (1, failed()), (2, failed())],
            20,
        );
        assert_eq!(after.replicas[&Ordinal(1)], memory.replicas[&Ordinal(1)]);
        assert_eq!(after.replicas[&Ordinal(2)].phase, Phase::Pending);
        let stale = after.stale.unwrap();
        assert_eq!(stale.since_unix_ms, 10);
        assert_eq!(
            stale.reason,
            "db-1.db.default.svc.cluster.local: server failure (and 1 more)"
        );
        assert_eq!(after.confirmed_unix_ms, 10);
    }

    #[test]
    fn a_first_failed_look_up_leaves_the_replica_unknown_never_gone() {
        let set = round(&expected(2), 2, &[(0, here(1)), (1, failed())], 10);
        assert_eq!(set.replicas[&Ordinal(1)].phase, Phase::Unknown);
        assert_eq!(set.replicas.len(), 2);
    }

    #[test]
    fn one_family_that_fails_keeps_its_last_addresses() {
        let both = Answer {
            v4: Reply::Addresses(vec![IpAddr::from([10, 0, 0, 1])]),
            v6: Reply::Addresses(vec!["fd00::1".parse().unwrap()]),
        };
        let memory = round(&expected(1), 1, &[(0, both)], 10);
        let half = Answer {
            v4: Reply::Addresses(vec![IpAddr::from([10, 0, 0, 7])]),
            v6: Reply::Failed("timeout".into()),
        };
        let after = round(&memory, 1, &[(0, half)], 20);
        let texts: Vec<String> = after
            .own()
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts, ["10.0.0.7", "fd00::1"]);
    }

    #[test]
    fn this_replica_knows_its_own_address_before_dns_does() {
        let set = round(&expected(1), 1, &[(0, nowhere())], 10);
        assert_eq!(set.own().phase, Phase::Starting);
        assert_eq!(set.own().addresses, [IpAddr::from([10, 0, 0, 9])]);
    }

    #[test]
    fn a_replica_that_is_not_wanted_leaves_with_its_name() {
        let memory = round(&expected(1), 1, &[(0, here(1)), (1, here(2))], 10);
        assert_eq!(memory.replicas.len(), 2);
        let after = round(&memory, 1, &[(0, here(1)), (1, nowhere())], 20);
        assert_eq!(after.replicas.len(), 1);
    }

    #[test]
    fn who_cannot_exist_yet_is_pending_without_being_asked_for() {
        let set = round(&expected(3), 3, &[(0, here(1))], 10);
        assert_eq!(set.replicas[&Ordinal(2)].phase, Phase::Pending);
    }
}
