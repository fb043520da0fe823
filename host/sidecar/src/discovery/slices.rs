//! Who is there by the EndpointSlices of the governing Service. Pure.
//!
//! A pod may be in several slices: one for each family of addresses, and in two of one family while the
//! controller moves it. It counts once, as the newest slice says that calls it well.

use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_peers::{Ordinal, PeerSet, Phase, Replica, ReplicaName, Source};

use crate::cluster::{Endpoint, Slice};
use crate::limits;

/// Which pods have been ready: what makes one that is not now differ from one that starts.
#[derive(Debug, Clone, Default)]
pub(super) struct SliceView {
    /// The uid of the last pod with this ordinal that was.
    ready: BTreeMap<Ordinal, String>,
}

/// One mention of a pod in a slice, with what decides between several.
#[derive(Debug, Clone, Copy)]
struct Mention<'a> {
    endpoint: &'a Endpoint,
    version: u64,
}

impl Mention<'_> {
    /// Whoever is not leaving comes first, then who is well, then the newest.
    fn rank(&self) -> (bool, bool, u64) {
        let Endpoint {
            is_terminating,
            is_serving,
            ..
        } = self.endpoint;
        (!is_terminating, *is_serving, self.version)
    }
}

impl SliceView {
    /// What slices say, over the replicas that should exist.
    pub(super) fn fold<'a>(
        &mut self,
        expected: PeerSet,
        slices: impl IntoIterator<Item = &'a Slice>,
    ) -> PeerSet {
        let mut set = expected;
        set.source = Source::EndpointSlice;
        let mentions = mentions(&set, slices);
        let own = set.identity.ordinal;
        for (ordinal, replica) in &mut set.replicas {
            if !mentions.contains_key(ordinal) {
                replica.phase = if *ordinal == own {
                    Phase::Starting
                } else {
                    Phase::Pending
                };
            }
        }
        for (ordinal, found) in mentions {
            let (pod, host) = (set.identity.pod_of(ordinal), set.identity.host_of(ordinal));
            let mut replica = Replica::expected(ordinal, pod, host);
            replica.phase = self.phase(ordinal, &found);
            replica.addresses = addresses(&found);
            set.replicas.insert(ordinal, replica);
        }
        let ip = set.identity.ip;
        if let Some(replica) = set.replicas.get_mut(&own)
            && replica.addresses.is_empty()
        {
            replica.addresses.extend(ip);
        }
        set
    }

    fn phase(&mut self, ordinal: Ordinal, found: &[Mention<'_>]) -> Phase {
        let Some(best) = found.first().map(|mention| mention.endpoint) else {
            return Phase::Pending;
        };
        if best.is_terminating {
            return Phase::Terminating;
        }
        if best.is_serving {
            self.ready.insert(ordinal, best.uid.clone());
            return Phase::Ready;
        }
        match self.ready.get(&ordinal) {
            Some(uid) if *uid == best.uid => Phase::NotReady,
            _ => Phase::Starting,
        }
    }
}

/// Every mention of the pod that each ordinal has now, best first.
fn mentions<'a>(
    set: &PeerSet,
    slices: impl IntoIterator<Item = &'a Slice>,
) -> BTreeMap<Ordinal, Vec<Mention<'a>>> {
    let identity = &set.identity;
    let limit = set.start.0.saturating_add(limits::REPLICAS_MAX);
    let mut found: BTreeMap<Ordinal, Vec<Mention<'a>>> = BTreeMap::new();
    for slice in slices {
        for endpoint in &slice.endpoints {
            let Ok(name) = endpoint.pod.parse::<ReplicaName>() else {
                continue;
            };
            let ordinal = name.ordinal;
            let is_ours = name.stateful_set == identity.stateful_set
                && (ordinal.0 < limit || ordinal == identity.ordinal);
            // A pod of this one's name that was there before it.
            let is_former = ordinal == identity.ordinal
                && !identity.uid.is_empty()
                && !endpoint.uid.is_empty()
                && identity.uid != endpoint.uid;
            if is_ours && !is_former {
                let version = slice.version;
                found
                    .entry(ordinal)
                    .or_default()
                    .push(Mention { endpoint, version });
            }
        }
    }
    for mentions in found.values_mut() {
        mentions.sort_by_key(|mention| std::cmp::Reverse(mention.rank()));
        // A StatefulSet has one pod of a name at a time: the others are gone, or about to be.
        let uid = mentions[0].endpoint.uid.clone();
        mentions.retain(|mention| mention.endpoint.uid == uid);
    }
    found
}

/// The addresses of each family as the best mention of that family gives them.
fn addresses(mentions: &[Mention<'_>]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for v4 in [true, false] {
        let of_family = |mention: &Mention<'_>| -> Vec<IpAddr> {
            let all = mention.endpoint.addresses.iter().copied();
            all.filter(|address| address.is_ipv4() == v4).collect()
        };
        let best = mentions
            .iter()
            .map(of_family)
            .find(|found| !found.is_empty());
        addresses.extend(best.unwrap_or_default());
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(limits::ADDRESSES_MAX);
    addresses
}

#[cfg(test)]
mod tests;
