//! One snapshot of a StatefulSet as a sidecar knows it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Ordinal, Phase, Replica, ReplicaName};

/// Which replica this is, and of what. Fixed for the life of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// The pod's name and index.
    pub stateful_set: String,
    /// This replica's index.
    pub ordinal: Ordinal,
    /// The pod's namespace.
    pub namespace: String,
    /// The governing Service.
    pub service: String,
    /// The cluster's DNS domain, usually `cluster.local`.
    pub cluster_domain: String,
    /// The pod's address, once it has one.
    pub ip: Option<IpAddr>,
    /// The pod's uid: new with each pod, the same for restarts of its containers.
    pub uid: String,
}

impl Identity {
    /// This pod's name.
    pub fn pod(&self) -> String {
        self.pod_of(self.ordinal)
    }

    /// The name of the pod with this ordinal.
    pub fn pod_of(&self, ordinal: Ordinal) -> String {
        ReplicaName::new(self.stateful_set.as_str(), ordinal).to_string()
    }

    /// The absolute DNS name of the pod with this ordinal, without the trailing dot.
    pub fn host_of(&self, ordinal: Ordinal) -> String {
        format!("{}.{}", self.pod_of(ordinal), self.service_host())
    }

    /// The absolute DNS name of the governing Service, without the trailing dot.
    pub fn service_host(&self) -> String {
        format!(
            "{}.{}.svc.{}",
            self.service, self.namespace, self.cluster_domain
        )
    }
}

/// Where a snapshot was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Nothing has been learnt yet.
    None,
    /// Names of the governing Service.
    Dns,
    /// The profile's fixed list.
    Fixed,
    /// The controller of `outrigger up`.
    Local,
    /// EndpointSlices of the API server.
    EndpointSlice,
}

impl Source {
    /// The word that the status and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Dns => "dns",
            Self::Fixed => "fixed",
            Self::Local => "local",
            Self::EndpointSlice => "endpoint-slice",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a snapshot may be out of date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Staleness {
    /// When something was last learnt, in milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
    /// What went wrong since.
    pub reason: String,
}

/// One snapshot of the StatefulSet. Holds this replica too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PeerSet {
    /// Grows with each change within the life of one sidecar.
    pub revision: u32,
    /// Which of the replicas this is.
    pub identity: Identity,
    /// The first ordinal.
    pub start: Ordinal,
    /// How many replicas there should be; known apart from how many are seen.
    pub desired: u32,
    /// Where this was learnt.
    pub source: Source,
    /// When this was last confirmed, in milliseconds since the Unix epoch; 0 = never.
    pub confirmed_unix_ms: u64,
    /// Set while look-ups fail: the replicas are then the last that were known.
    pub stale: Option<Staleness>,
    /// Every replica that should exist or is seen.
    pub replicas: BTreeMap<Ordinal, Replica>,
}

impl PeerSet {
    /// The set that is known before anything was learnt: the expected replicas, all unknown.
    pub fn expected(identity: Identity, start: Ordinal, desired: u32) -> Self {
        let mut replicas = BTreeMap::new();
        for ordinal in (start.0..start.0.saturating_add(desired)).map(Ordinal) {
            replicas.insert(
                ordinal,
                Replica::expected(ordinal, identity.pod_of(ordinal), identity.host_of(ordinal)),
            );
        }
        let own = identity.ordinal;
        replicas
            .entry(own)
            .or_insert_with(|| Replica::expected(own, identity.pod_of(own), identity.host_of(own)));
        Self {
            revision: 0,
            identity,
            start,
            desired,
            source: Source::None,
            confirmed_unix_ms: 0,
            stale: None,
            replicas,
        }
    }

    /// This replica.
    pub fn own(&self) -> &Replica {
        self.replicas
            .get(&self.identity.ordinal)
            .expect("a peer set always holds its own replica")
    }

    /// The other replicas, in ordinal order.
    pub fn peers(&self) -> impl Iterator<Item = &Replica> {
        let own = self.identity.ordinal;
        self.replicas
            .values()
            .filter(move |replica| replica.ordinal != own)
    }

    /// The replicas that should exist, in ordinal order: those within `start..start+desired`.
    pub fn wanted(&self) -> impl Iterator<Item = &Replica> {
        self.replicas
            .values()
            .filter(|replica| self.is_wanted(replica.ordinal))
    }

    /// Whether a replica with this ordinal should exist.
    pub fn is_wanted(&self, ordinal: Ordinal) -> bool {
        ordinal >= self.start && ordinal.0 < self.start.0.saturating_add(self.desired)
    }

    /// How many replicas are there, by what is known.
    pub fn seen(&self) -> usize {
        self.replicas
            .values()
            .filter(|replica| {
                matches!(
                    replica.phase,
                    Phase::Starting | Phase::Ready | Phase::NotReady
                ) || (replica.phase == Phase::Terminating && !replica.addresses.is_empty())
            })
            .count()
    }

    /// How many of the replicas make a majority of those desired.
    pub fn quorum(&self) -> u32 {
        quorum(self.desired)
    }
}

/// How many of `members` make a majority.
pub fn quorum(members: u32) -> u32 {
    members / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(ordinal: u32) -> Identity {
        Identity {
            stateful_set: "db".into(),
            ordinal: Ordinal(ordinal),
            namespace: "default".into(),
            service: "db".into(),
            cluster_domain: "cluster.local".into(),
            ip: None,
            uid: "u".into(),
        }
    }

    #[test]
    fn the_expected_set_starts_at_the_start_ordinal() {
        let set = PeerSet::expected(identity(6), Ordinal(5), 3);
        let names: Vec<&str> = set.replicas.values().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["db-5", "db-6", "db-7"]);
        assert_eq!(set.own().host, "db-6.db.default.svc.cluster.local");
        assert_eq!(set.peers().count(), 2);
    }

    #[test]
    fn a_replica_beyond_the_desired_count_still_holds_itself() {
        let set = PeerSet::expected(identity(4), Ordinal(0), 3);
        assert_eq!(set.own().name, "db-4");
        assert_eq!(set.wanted().count(), 3);
    }

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!([1, 2, 3, 4, 5].map(quorum), [1, 2, 2, 3, 3]);
    }
}
