//! What is put into one pod: every element by its name, apart from where it goes.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::facts::hex_digest;

/// What the names of all volumes of ours begin with.
pub(crate) const VOLUME_PREFIX: &str = "outrigger-";
/// The volume of the rendered files, in memory: what is rendered may be secret.
pub(crate) const FILES_VOLUME: &str = "outrigger-files";
/// The sidecar's own folder.
pub(crate) const STATE_VOLUME: &str = "outrigger-state";
/// The profile's `ConfigMap`.
pub(crate) const PROFILE_VOLUME: &str = "outrigger-profile";

/// What is put into one pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The workload's container.
    pub workload: String,
    /// The sidecar's container.
    pub sidecar: Value,
    /// Where among the init containers it goes.
    pub order: Order,
    /// Volumes of the pod.
    pub volumes: Vec<Value>,
    /// Mounts of the workload's container.
    pub mounts: Vec<Value>,
    /// Variables of the workload's container.
    pub env: Vec<Value>,
    /// The workload's preStop hook.
    pub pre_stop: Option<Value>,
    /// Whether containers see each other's processes.
    pub share_process_namespace: bool,
    /// Annotations, without the status.
    pub annotations: Vec<(String, String)>,
    /// The profile: `<ConfigMap>` or `builtin:<name>`.
    pub profile: String,
    /// `sha256:…` over the profile's files.
    pub profile_digest: String,
    /// `sha256:…` over all of the above but the token.
    pub hash: String,
}

/// Where among the init containers the sidecar goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Order {
    /// First; who comes later may go before it.
    #[default]
    Default,
    /// First, whoever comes later.
    First,
    /// Last.
    Last,
    /// Before the init container of this name.
    Before(String),
    /// After the init container of this name.
    After(String),
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::First => f.write_str("first"),
            Self::Last => f.write_str("last"),
            Self::Before(name) => write!(f, "before={name}"),
            Self::After(name) => write!(f, "after={name}"),
        }
    }
}

/// The volume of a Secret. A volume's name is shorter than a Secret's may be and has no dots, so that
/// other names are cut and told apart by a digest.
pub(crate) fn secret_volume(secret: &str) -> String {
    const MOST: usize = 63;
    const DIGITS: usize = 8;
    let plain = format!("{VOLUME_PREFIX}secret-{secret}");
    if plain.len() <= MOST && !secret.contains('.') {
        return plain;
    }
    let digest = hex_digest(&Sha256::digest(secret.as_bytes()));
    let digest = digest.trim_start_matches("sha256:");
    let kept: String = plain
        .replace('.', "-")
        .chars()
        .take(MOST - DIGITS - 1)
        .collect();
    format!("{kept}-{}", digest.get(..DIGITS).unwrap_or(digest))
}

#[cfg(test)]
mod tests {
    use super::secret_volume;

    #[test]
    fn every_secret_has_a_volume_name_of_its_own_that_kubernetes_takes() {
        assert_eq!(secret_volume("agdb-admin"), "outrigger-secret-agdb-admin");
        let long = "a".repeat(253);
        let names = ["a.b", "a-b", "a.c", &long, &long[1..]].map(secret_volume);
        for (index, name) in names.iter().enumerate() {
            assert!(name.len() <= 63 && !name.contains('.'), "{name}");
            assert!(!names[..index].contains(name), "{name}");
        }
    }
}
