//! What `/status` answers: everything about one replica at one moment.

use std::collections::BTreeMap;

use outrigger_peers::Replica;
use serde::{Deserialize, Serialize};

/// Everything about one replica at one moment. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// When.
    pub unix_ms: u64,
    /// Which replica.
    pub pod: Pod,
    /// Where in its life it is: `starting`, `running`, `draining`, `drained` or `stopped`.
    pub phase: String,
    /// Its role now.
    pub role: Option<String>,
    /// The probes: `start`, `startup`, `readiness`, `liveness`.
    pub probes: Vec<Probe>,
    /// What the plugin saw.
    pub attrs: BTreeMap<String, String>,
    /// Who is there.
    pub peers: Peers,
    /// Every other StatefulSet that the profile names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub related: BTreeMap<String, Related>,
    /// The rendered files.
    pub files: Files,
    /// The profile in use.
    pub profile: Profile,
    /// The plugin; none where the profile names none.
    pub plugin: Option<Plugin>,
    /// What the API of the pod's cluster gives; none where the pod has no service account's token.
    pub cluster: Option<Cluster>,
    /// The sidecar itself.
    pub sidecar: Sidecar,
}

/// Which replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pod {
    /// The pod's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The `StatefulSet`'s name.
    pub stateful_set: String,
    /// Its index.
    pub ordinal: u32,
    /// The governing Service.
    pub service: String,
    /// Its address, where it is known.
    pub ip: Option<String>,
}

/// How one probe stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Probe {
    /// Which.
    pub name: String,
    /// Whether it passes.
    pub pass: bool,
    /// What there is to say, most important first.
    pub reasons: Vec<Reason>,
    /// When it was last looked at.
    pub checked_unix_ms: Option<u64>,
}

/// One thing there is to say of a probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reason {
    /// `self`, `cluster` or `outrigger`.
    pub scope: String,
    /// A stable word.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Whether it holds the probe back now.
    pub counts: bool,
}

/// Who is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Peers {
    /// Grows with each change.
    pub revision: u32,
    /// The first ordinal.
    pub start: u32,
    /// How many there should be.
    pub desired: u32,
    /// How many are there.
    pub seen: usize,
    /// Where this was learnt.
    pub source: String,
    /// When it was last confirmed; 0 = never.
    pub confirmed_unix_ms: u64,
    /// Why look-ups fail; none while they work.
    pub stale: Option<String>,
    /// The replicas in ordinal order, this one included.
    pub replicas: Vec<Replica>,
}

/// What is known of another StatefulSet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Related {
    /// Who is there; none before that was learnt once.
    pub peers: Option<Peers>,
    /// Why nothing is known yet; none once something is.
    pub unknown: Option<String>,
}

/// What the API of the pod's cluster gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Cluster {
    /// The EndpointSlices: `followed`, `stale`, `forbidden`, `unreachable`, or `unknown` where they are not
    /// asked for.
    pub endpoint_slices: String,
    /// The `StatefulSet`, in the same words.
    pub stateful_set: String,
    /// The pod's label with its role, as it was written last.
    pub role_label: Option<String>,
    /// Why the label is not what it should be; none where it is.
    pub role_label_problem: Option<String>,
    /// Requests to the API server since the start, watches included.
    pub requests: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Events on the pod.
    pub events_sent: u64,
    /// Events that the API server did not take.
    pub events_failed: u64,
}

/// The rendered files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Files {
    /// The number of the set in place; none before the first.
    pub set: Option<u64>,
    /// When it was put in place, or found there by this sidecar when it started.
    pub committed_unix_ms: Option<u64>,
    /// SHA-256 of each file in hexadecimal, by its path in the workload.
    pub digests: BTreeMap<String, String>,
    /// Why the newest render was refused; empty when it was not.
    pub refused: Vec<String>,
    /// When it was refused.
    pub refused_unix_ms: Option<u64>,
}

/// The profile in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Grows with each change that is taken.
    pub revision: u32,
    /// SHA-256 over document and templates.
    pub digest: String,
    /// What is doubtful in it.
    pub warnings: Vec<String>,
    /// Why the one that lies there now is not in use; empty when it is.
    pub refused: Vec<String>,
    /// When it was refused.
    pub refused_unix_ms: Option<u64>,
}

/// The plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plugin {
    /// The name that it gives itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line about it.
    pub summary: String,
    /// The component's SHA-256 in hexadecimal.
    pub digest: String,
    /// Counts its generations from 1.
    pub generation: u32,
    /// What it does, by the interfaces that it exports.
    pub exports: Vec<String>,
    /// Calls since the start.
    pub calls: u64,
    /// Calls without an answer, by kind.
    pub failures: BTreeMap<String, u64>,
    /// For how many milliseconds it is still left alone; none = it is not.
    pub quarantined_ms: Option<u64>,
    /// The newest call without an answer.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_unix_ms: Option<u64>,
    /// Why the component that lies there now is not in use; empty when it is.
    pub refused: Vec<String>,
    /// What it asks for and the profile does not grant.
    pub not_granted: Vec<String>,
}

/// The sidecar itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sidecar {
    /// Its version.
    pub version: String,
    /// The commit that it was built from; empty where the build was not told.
    pub revision: String,
    /// For how long it has run.
    pub uptime_ms: u64,
    /// The log's filter.
    pub log: String,
    /// What runs in it, by name.
    pub tasks: Vec<String>,
}
