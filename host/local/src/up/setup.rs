//! What the front hands to the hub.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's name in the state folder; only the user may read it.
pub(super) const FILE: &str = "setup.json";

/// Everything that the hub needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Setup {
    pub(super) name: String,
    /// Absolute.
    pub(super) inputs: Vec<PathBuf>,
    pub(super) state: PathBuf,
    /// The x of the replicas' loopback addresses.
    pub(super) salt: u8,
    pub(super) replicas: Option<u32>,
    pub(super) plain: bool,
    /// The front.
    pub(super) pid: u32,
    /// Programs by image.
    pub(super) programs: BTreeMap<String, Vec<String>>,
    /// `PATH` of the containers.
    pub(super) path: String,
    pub(super) outrigger: PathBuf,
    pub(super) sidecar_env: BTreeMap<String, String>,
}

impl Setup {
    /// The folder that the sidecars of a StatefulSet and the hub share.
    pub(super) fn local(&self, namespace: &str, set: &str) -> PathBuf {
        self.of_set(namespace, set).join("run")
    }

    /// The folder of a pod.
    pub(super) fn pod(&self, namespace: &str, set: &str, pod: &str) -> PathBuf {
        self.of_set(namespace, set).join("pods").join(pod)
    }

    /// The folder of a StatefulSet's claims.
    pub(super) fn claims(&self, namespace: &str, set: &str) -> PathBuf {
        self.of_set(namespace, set).join("claims")
    }

    fn of_set(&self, namespace: &str, set: &str) -> PathBuf {
        self.state.join(namespace).join(set)
    }

    pub(super) fn file(state: &Path) -> PathBuf {
        state.join(FILE)
    }
}
