//! Who is there by the DNS names of the governing Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_peers::{Identity, Ordinal, PeerSet, ReplicaName, Source};
use outrigger_profile::Discovery;
use outrigger_telemetry::names;

use super::answers::{self, Answer, Frontier};
use super::count::Count;
use super::dns::Dns;
use super::settle::is_complete;
use super::{DiscoverySetup, Observer, pause, stale};
use crate::config::PodManagement;
use crate::timeline::unix_ms;

/// Asks again and again, for as many replicas as there should be.
pub(super) async fn observe(
    setup: &DiscoverySetup,
    settings: &Discovery,
    identity: Identity,
    mut count: Count,
    observer: &mut Observer,
) {
    let mut client = Dns::new(setup.servers.clone(), false, setup.recorder.clone());
    let mut look = DnsLook {
        identity,
        start: count.start(),
        desired: count.desired(),
        pod_management: setup.config.pod_management,
        port: settings.port.clone(),
        seen: BTreeSet::new(),
    };
    loop {
        (look.start, look.desired) = (count.start(), count.desired());
        let set = match client.refresh().await {
            Ok(()) => look.round(&client, &observer.memory).await,
            Err(reason) => {
                let labels = [("source", "dns"), ("kind", "no-server")];
                setup.recorder.count(names::DISCOVERY_FAILURES, &labels);
                stale(&observer.memory, reason)
            }
        };
        let complete = is_complete(&set) && set.stale.is_none();
        if !observer.tell(set).await {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause(settings.interval, complete)) => {}
            () = count.changed() => {}
        }
    }
}

/// The questions of DNS discovery and who has been seen by them.
#[derive(Debug)]
struct DnsLook {
    identity: Identity,
    start: Ordinal,
    desired: Option<u32>,
    pod_management: PodManagement,
    port: Option<String>,
    seen: BTreeSet<Ordinal>,
}

impl DnsLook {
    /// One round: the Service's records, then each ordinal that can exist; where replicas come in
    /// order, the next one as soon as the one before it is seen.
    async fn round(&mut self, client: &Dns, memory: &PeerSet) -> PeerSet {
        let mut named = BTreeSet::new();
        if let Some(port) = &self.port {
            let service = format!("_{port}._tcp.{}.", self.identity.service_host());
            let targets = client.targets(&service).await;
            named.extend(targets.iter().filter_map(|target| self.ordinal_of(target)));
        }
        let service = client
            .addresses([((), format!("{}.", self.identity.service_host()))])
            .await;
        let members: BTreeSet<IpAddr> = service
            .iter()
            .flat_map(|((), answer)| answer.addresses())
            .collect();
        let mut answers: BTreeMap<Ordinal, Answer> = BTreeMap::new();
        let mut strangers = 0;
        loop {
            let frontier = Frontier {
                start: self.start,
                own: self.identity.ordinal,
                desired: self.desired,
                pod_management: self.pod_management,
                seen: self.seen.clone(),
                named: named.clone(),
                strangers,
            };
            let next: Vec<_> = frontier
                .ordinals()
                .into_iter()
                .filter(|ordinal| !answers.contains_key(ordinal))
                .map(|ordinal| (ordinal, format!("{}.", self.identity.host_of(ordinal))))
                .collect();
            if next.is_empty() {
                // Addresses of the Service that nobody so far has: somebody beyond may have them.
                let found = unclaimed(&members, &answers);
                if found <= strangers {
                    break;
                }
                strangers = found;
                continue;
            }
            for (ordinal, answer) in client.addresses(next).await {
                if answer.is_present() {
                    self.seen.insert(ordinal);
                }
                answers.insert(ordinal, answer);
            }
        }
        let gone: Vec<Ordinal> = answers
            .iter()
            .filter(|(ordinal, answer)| !answer.is_present() && !self.is_wanted(**ordinal))
            .map(|(ordinal, _)| *ordinal)
            .collect();
        let set = answers::fold(self.expected(), memory, &answers, Source::Dns, unix_ms());
        // A replica beyond the wanted ones whose name is gone is not asked for again.
        for ordinal in gone {
            if !set.replicas.contains_key(&ordinal) {
                self.seen.remove(&ordinal);
            }
        }
        set
    }

    /// Those who should exist: as many as wanted, or as far as anybody was seen.
    fn expected(&self) -> PeerSet {
        let desired = self.desired.unwrap_or_else(|| {
            let last = self.seen.iter().next_back().map_or(0, |ordinal| ordinal.0);
            let last = last.max(self.identity.ordinal.0);
            last.saturating_sub(self.start.0).saturating_add(1)
        });
        PeerSet::expected(self.identity.clone(), self.start, desired)
    }

    fn is_wanted(&self, ordinal: Ordinal) -> bool {
        self.desired.is_none_or(|desired| {
            ordinal >= self.start && ordinal.0 < self.start.0.saturating_add(desired)
        })
    }

    /// The ordinal of an SRV record's target, where it is one of this StatefulSet's pods.
    fn ordinal_of(&self, target: &str) -> Option<Ordinal> {
        let pod = target.strip_suffix(&format!(".{}", self.identity.service_host()))?;
        let name: ReplicaName = pod.parse().ok()?;
        (name.stateful_set == self.identity.stateful_set).then_some(name.ordinal)
    }
}

/// How many replicas the addresses may stand for that no answer holds. A replica has at most one
/// address of each family in a Service's records, so the larger family counts.
fn unclaimed(members: &BTreeSet<IpAddr>, answers: &BTreeMap<Ordinal, Answer>) -> u32 {
    let claimed: BTreeSet<IpAddr> = answers.values().flat_map(Answer::addresses).collect();
    let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = members
        .difference(&claimed)
        .partition(|address| address.is_ipv4());
    u32::try_from(v4.len().max(v6.len())).unwrap_or(u32::MAX)
}
