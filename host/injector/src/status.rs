//! The annotation `outrigger.dev/status`: who injected what, and what `uninject` has to know to give
//! back exactly the original.

use serde::{Deserialize, Serialize};

use crate::injection::Injection;

/// What one injection wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Status {
    /// The version of Outrigger.
    pub(crate) version: String,
    /// The workload's container.
    pub(crate) workload: String,
    /// The ConfigMap, or `builtin:<name>`.
    pub(crate) profile: String,
    /// Over the profile's files.
    pub(crate) profile_digest: String,
    /// Over what was injected, but the token.
    pub(crate) hash: String,
    /// What was not there before and cannot be told by its name: places as in a JSON pointer, but
    /// containers by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) created: Vec<String>,
    /// The same where `null` stood before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nulls: Vec<String>,
}

/// The most bytes of a status that are read: its author is not always we.
const STATUS_BYTES_MAX: usize = 16 << 10;

impl Status {
    /// The annotation's key.
    pub(crate) const KEY: &str = "outrigger.dev/status";

    /// Of an injection by this program into a pod where everything of it is new.
    pub(crate) fn of(injection: &Injection) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            workload: injection.workload.clone(),
            profile: injection.profile.clone(),
            profile_digest: injection.profile_digest.clone(),
            hash: injection.hash.clone(),
            created: Vec::new(),
            nulls: Vec::new(),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > STATUS_BYTES_MAX {
            return Err(format!("it has more than {STATUS_BYTES_MAX} bytes"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    pub(crate) fn text(&self) -> String {
        // Texts and lists of texts always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether this place was not there before, or `null`.
    pub(crate) fn made(&self, place: &str) -> bool {
        self.created
            .iter()
            .chain(&self.nulls)
            .any(|one| one == place)
    }

    /// Whether the same program injected the same profile. Then what others changed since is left to
    /// them, as far as the sidecar works.
    pub(crate) fn same_source(&self, other: &Self) -> bool {
        self.version == other.version
            && self.workload == other.workload
            && self.profile == other.profile
            && self.profile_digest == other.profile_digest
    }
}

/// The places of a status.
pub(crate) mod place {
    pub(crate) const ANNOTATIONS: &str = "/metadata/annotations";
    pub(crate) const VOLUMES: &str = "/spec/volumes";
    pub(crate) const INIT_CONTAINERS: &str = "/spec/initContainers";
    pub(crate) const SHARE: &str = "/spec/shareProcessNamespace";

    /// A field of the workload's container.
    pub(crate) fn of(container: &str, field: &str) -> String {
        format!("/spec/containers/{container}/{field}")
    }

    /// An annotation.
    pub(crate) fn annotation(key: &str) -> String {
        format!(
            "{ANNOTATIONS}/{}",
            key.replace('~', "~0").replace('/', "~1")
        )
    }
}
