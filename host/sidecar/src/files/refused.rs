//! What was rolled back and is not to be tried again; a sidecar that is started anew knows it too.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FilesError, fault};

/// Its file's name within the root.
const NAME: &str = "refused.json";

/// What was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refused {
    /// The digest of the profile with its templates that made it, where another stood before.
    pub profile: Option<String>,
    /// The digest of the rendered set.
    pub set: String,
    /// Why it was rolled back.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
}

/// What is remembered; none where nothing is, or it cannot be read.
pub(super) fn read(root: &Path) -> Option<Refused> {
    serde_json::from_slice(&fs::read(path(root)).ok()?).ok()
}

/// Remembers this, or nothing.
pub(super) fn write(root: &Path, refused: Option<&Refused>) -> Result<(), FilesError> {
    let path = path(root);
    let Some(refused) = refused else {
        return super::remove(&path);
    };
    let temporary = path.with_extension("new");
    let text = serde_json::to_vec(refused).expect("texts can be written as JSON");
    fs::write(&temporary, text).map_err(fault("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(fault("rename", &temporary))
}

fn path(root: &Path) -> PathBuf {
    root.join(NAME)
}
