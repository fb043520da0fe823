//! Where things are in a pod that has the sidecar: names, ports, paths. The injector and `up` arrange
//! them so, the sidecar looks for them there.

use std::path::{Path, PathBuf};

/// The folder that `up` and the sidecars of another StatefulSet of the namespace share, from that of one's
/// own: `…/<stateful set>/run`. None where `local` is no such folder.
pub fn local_of(local: &Path, stateful_set: &str) -> Option<PathBuf> {
    let sets = local.parent()?.parent()?;
    Some(sets.join(stateful_set).join(local.file_name()?))
}

/// The sidecar container's name.
pub const CONTAINER: &str = "outrigger";
/// The name of the sidecar's port.
pub const PORT_NAME: &str = "outrigger";
/// The sidecar's pod-facing port.
pub const PORT: u16 = 7070;
/// What the workload's preStop hook asks for at [`PORT`].
pub const PRE_STOP_PATH: &str = "/pre-stop";
/// The profile's ConfigMap: `outrigger.yaml` and the templates.
pub const PROFILE_DIR: &str = "/etc/outrigger/profile";
/// The key of the profile in its ConfigMap.
pub const PROFILE_KEY: &str = "outrigger.yaml";
/// One folder for each Secret, by the Secret's name.
pub const SECRETS_DIR: &str = "/etc/outrigger/secrets";
/// The volume of the rendered files, at the same path in the sidecar and the workload.
pub const FILES_DIR: &str = "/run/outrigger";
/// In [`FILES_DIR`]: `dirs/<i>` is what the workload sees at `Profile::file_dirs()[i]`.
pub const FILES_DIRS: &str = "dirs";
/// The sidecar's own folder.
pub const STATE_DIR: &str = "/var/lib/outrigger";
/// Where the sidecar sees the pod's volumes: `/volumes/<name>`.
pub const VOLUMES_DIR: &str = "/volumes";
/// The environment variable by which the sidecar knows the workload's processes where a pod's containers
/// see each other's: its value is the workload container's name.
pub const WORKLOAD_VARIABLE: &str = "OUTRIGGER_WORKLOAD";
/// What the sidecar's liveness probe asks: whether the sidecar itself works, whatever the workload does.
pub const ALIVE_PATH: &str = "/alive";
/// Within [`FILES_DIR`]: the rendered variables, as `fileKeyRef` reads them.
pub const ENV_FILE: &str = "current/env";
