//! `cluster.json`: what the sidecars know of each other.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use outrigger_peers::Replica;
use serde::{Deserialize, Serialize};

/// The file's name.
pub const NAME: &str = "cluster.json";

/// What it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterFile {
    /// Grows with each change.
    pub revision: u64,
    /// The first ordinal.
    pub start: u32,
    /// How many replicas there should be.
    pub desired: u32,
    /// Those that exist or are about to, in ordinal order.
    pub replicas: Vec<Replica>,
}

/// Puts it in its place as one.
pub fn write(folder: &Path, file: &ClusterFile) -> io::Result<()> {
    let text = serde_json::to_vec(file).map_err(io::Error::other)?;
    replace(&folder.join(NAME), &text)
}

/// Replaces a file so that a reader sees the old or the new one whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let mut file = File::create(&name)?;
    file.write_all(bytes)?;
    drop(file);
    std::fs::rename(&name, path)
}
