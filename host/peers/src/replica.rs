//! One replica as it is known here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Ordinal;

/// What is known of a replica's life, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing has been learnt. A failed look-up is this, never [`Phase::Gone`].
    #[default]
    Unknown,
    /// It should exist and is not there yet.
    Pending,
    /// It exists and has not been ready yet.
    Starting,
    /// It is ready.
    Ready,
    /// It was ready and is not now.
    NotReady,
    /// It is being deleted.
    Terminating,
    /// It is known to be gone.
    Gone,
}

impl Phase {
    /// The word that the status, metrics and WIT use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
            Self::Terminating => "terminating",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One replica of the StatefulSet, this one or a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Replica {
    /// Its index.
    pub ordinal: Ordinal,
    /// The pod's name.
    pub name: String,
    /// How other replicas reach it: a DNS name without trailing dot, or an address where there is no
    /// cluster DNS.
    pub host: String,
    /// Its addresses, sorted; empty while unknown.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// What is known of its life.
    #[serde(default)]
    pub phase: Phase,
    /// The role that its own sidecar published, where this is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Open for what sources know beyond this (zone, version).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, String>,
}

impl Replica {
    /// A replica of which nothing but its place is known.
    pub fn expected(ordinal: Ordinal, name: impl Into<String>, host: impl Into<String>) -> Self {
        Self {
            ordinal,
            name: name.into(),
            host: host.into(),
            addresses: Vec::new(),
            phase: Phase::Unknown,
            role: None,
            attrs: BTreeMap::new(),
        }
    }
}
