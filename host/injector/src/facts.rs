//! What is known beside the pod itself: its profile, the StatefulSet that owns it, the Service that
//! names it. A cluster's watches fill it, and so does a folder of manifests.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_profile::layout::PROFILE_KEY;
use outrigger_profile::{ByteSize, Finding, Findings, Profile, did_you_mean};
use sha2::{Digest as _, Sha256};

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

impl ProfileEntry {
    /// Reads a profile's files, by their names: a ConfigMap's `data`, a folder, or what is built in.
    /// `name` is how the findings call the place. Values of `binaryData` count in `others`: they are
    /// keys that no template can use.
    pub fn read<'f>(
        name: &str,
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
        others: impl IntoIterator<Item = &'f str>,
    ) -> Self {
        let files: BTreeMap<&str, &str> = files.into_iter().collect();
        // As the sidecar hashes its folder, so that both name a profile by the same digest.
        let mut hasher = Sha256::new();
        for (key, value) in &files {
            for part in [key, value] {
                hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        let mut keys: Vec<String> = files.keys().map(|key| (*key).to_owned()).collect();
        keys.extend(others.into_iter().map(str::to_owned));
        let (profile, findings) = match files.get(PROFILE_KEY) {
            Some(text) => outrigger_profile::parse(text, PROFILE_KEY),
            None => (None, Findings(vec![no_document(name, &keys)])),
        };
        Self {
            profile,
            findings,
            keys,
            digest: hex_digest(&hasher.finalize()),
        }
    }
}

fn no_document(name: &str, keys: &[String]) -> Finding {
    let finding = Finding::error("", format!("{name} has no key `{PROFILE_KEY}`"));
    match did_you_mean(PROFILE_KEY, keys.iter().map(String::as_str)) {
        Some(near) => finding.hint(format!("there is `{near}`: name it `{PROFILE_KEY}`")),
        None => finding.hint(format!("put the profile under the key `{PROFILE_KEY}`")),
    }
}

/// `sha256:` and hexadecimal digits.
pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(7 + 2 * bytes.len());
    text.push_str("sha256:");
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
    }
    text
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
