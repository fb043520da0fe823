//! Reads a profile's folder whole, within bounds, and tells what its content hashes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use outrigger_profile::Finding;
use outrigger_profile::builtin::{BUILTIN_PREFIX, Builtin, builtin};
use sha2::{Digest as _, Sha256};

use crate::limits;

/// The name of the profile's document within its folder.
pub(crate) const DOCUMENT: &str = "outrigger.yaml";

/// The texts of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    /// By file name.
    pub(crate) files: BTreeMap<String, String>,
    /// Files that are not taken, each with the reason.
    pub(crate) skipped: BTreeMap<String, &'static str>,
    /// SHA-256 over names and contents, in hexadecimal.
    pub(crate) digest: String,
}

/// Reads every file of a folder: not its sub-folders, and not what the kubelet keeps for itself
/// (`..data`, `..2026_…`). Links are followed: that is how the kubelet lays out a `ConfigMap`.
/// `builtin:<name>` is a folder too: the one that ships inside the program.
///
/// # Errors
/// The finding names the path and what to check.
pub(crate) fn folder(path: &Path) -> Result<Folder, Finding> {
    let shown = path.display().to_string();
    if let Some(built_in) = shown.strip_prefix(BUILTIN_PREFIX).and_then(builtin) {
        return Ok(embedded(built_in));
    }
    let fault = |name: &str, error: &std::io::Error| {
        let place = if name.is_empty() {
            shown.clone()
        } else {
            format!("{shown}/{name}")
        };
        Finding::error("", format!("could not be read: {error}"))
            .in_file(place)
            .hint("check that the profile's ConfigMap is mounted there and readable by the sidecar")
    };
    let mut read = Folder::default();
    let mut total = 0;
    for entry in std::fs::read_dir(path).map_err(|error| fault("", &error))? {
        let entry = entry.map_err(|error| fault("", &error))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with("..") {
            continue;
        }
        // A file that vanishes meanwhile is one that is not there.
        let Ok(metadata) = std::fs::metadata(entry.path()) else {
            continue;
        };
        if !metadata.is_file() {
            continue;
        }
        if read.files.len() + read.skipped.len() >= limits::PROFILE_FILES_MAX {
            return Err(Finding::error(
                "",
                format!("holds more than {} files", limits::PROFILE_FILES_MAX),
            )
            .in_file(shown)
            .hint("put the profile and its templates into a folder of their own"));
        }
        let left = limits::PROFILE_BYTES_MAX.saturating_sub(total);
        match bounded(&entry.path(), left).map_err(|error| fault(&name, &error))? {
            None => {
                read.skipped.insert(
                    name,
                    "it is too long: a profile and its templates have at most 1 MiB together",
                );
            }
            Some(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    total += text.len() as u64;
                    read.files.insert(name, text);
                }
                Err(_) => {
                    read.skipped.insert(name, "it is not UTF-8 text");
                }
            },
        }
    }
    read.digest = digest(
        read.files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_bytes())),
    );
    Ok(read)
}

fn embedded(built_in: &Builtin) -> Folder {
    let files: BTreeMap<String, String> = built_in
        .files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let parts = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_bytes()));
    Folder {
        digest: digest(parts),
        files,
        skipped: BTreeMap::new(),
    }
}

/// A file's content; none when it is longer than `max` bytes.
pub(crate) fn bounded(path: &Path, max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

/// SHA-256 over names and contents, in hexadecimal. Lengths go in too, so that no two different lists
/// hash the same.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hasher = Sha256::new();
    for (name, content) in parts {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    hex(&hasher.finalize())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_map_is_read_through_the_kubelets_links() {
        let folder_ = tempfile::tempdir().unwrap();
        let root = folder_.path();
        std::fs::create_dir(root.join("..2026")).unwrap();
        std::fs::write(root.join("..2026/outrigger.yaml"), "kind: Profile").unwrap();
        std::os::unix::fs::symlink("..2026", root.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/outrigger.yaml", root.join("outrigger.yaml")).unwrap();
        std::fs::write(root.join("plugin.wasm"), [0, 0x61, 0x73, 0x6d, 0xff]).unwrap();
        let read = folder(root).unwrap();
        assert_eq!(read.files.keys().collect::<Vec<_>>(), ["outrigger.yaml"]);
        assert_eq!(read.skipped["plugin.wasm"], "it is not UTF-8 text");
    }

    #[test]
    fn a_built_in_profile_is_read_as_a_folder_of_the_same_files_is() {
        let read = folder(Path::new("builtin:agdb")).unwrap();
        let copy = tempfile::tempdir().unwrap();
        for (name, text) in &read.files {
            std::fs::write(copy.path().join(name), text).unwrap();
        }
        assert!(read.files.contains_key(DOCUMENT));
        assert_eq!(read, folder(copy.path()).unwrap());
    }

    #[test]
    fn a_missing_folder_is_told_with_its_path() {
        let finding = folder(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(finding.file, "/nowhere/at/all");
        assert!(finding.hint.is_some());
    }

    #[test]
    fn the_digest_tells_a_moved_boundary() {
        let one = digest([("a", &b"bc"[..])]);
        let other = digest([("ab", &b"c"[..])]);
        assert_ne!(one, other);
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn what_is_longer_than_the_bound_is_not_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(bounded(file.path(), 4).unwrap(), None);
        assert_eq!(bounded(file.path(), 5).unwrap().unwrap(), b"12345");
    }
}
