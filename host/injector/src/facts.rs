//! What is known beside the pod itself: its profile, the StatefulSet that owns it, the Service that
//! names it. A cluster's watches fill it, and so does a folder of manifests.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_profile::{ByteSize, Findings, Profile};

/// What is known of a cluster or of a folder of manifests.
pub trait Catalog {
    /// The profile in a ConfigMap.
    fn profile(&self, namespace: &str, config_map: &str) -> Option<Arc<ProfileEntry>>;
    /// A StatefulSet.
    fn stateful_set(&self, namespace: &str, name: &str) -> Option<Arc<StatefulSetFacts>>;
    /// A Service.
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<ServiceFacts>>;
}

/// A profile as its ConfigMap holds it, parsed once when it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileEntry {
    /// The profile, unless the document has errors.
    pub profile: Option<Profile>,
    /// What is wrong or doubtful in it.
    pub findings: Findings,
    /// The keys of the ConfigMap, so that a template that is not there is found at admission.
    pub keys: Vec<String>,
    /// `sha256:…` over the ConfigMap's keys and values.
    pub digest: String,
}

/// What a StatefulSet tells about its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatefulSetFacts {
    /// `metadata.uid`; none in a manifest.
    pub uid: Option<String>,
    /// How many replicas it wants.
    pub replicas: u32,
    /// Its first ordinal.
    pub start: u32,
    /// How its pods are started.
    pub management: PodManagement,
    /// The governing Service.
    pub service: String,
    /// What each claim asks for, by the claim's name.
    pub claims: BTreeMap<String, ByteSize>,
}

/// How a StatefulSet starts its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodManagement {
    /// One after the other, each when the one before is ready.
    #[default]
    OrderedReady,
    /// All at once.
    Parallel,
}

/// What the governing Service tells about names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Whether it has no address of its own.
    pub headless: bool,
    /// Whether pods that are not ready have names too.
    pub publish_not_ready: bool,
}
