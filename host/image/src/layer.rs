//! What an image consists of: files and folders, in an order and with times that do not depend on
//! the machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// The folders and files of an image, by their path without the leading `/`.
///
/// Everything belongs to root and carries the time 0; what the image's user may write is said by the
/// folder's mode.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Folder { mode: u32 },
    File { mode: u32, content: Vec<u8> },
}

/// What cannot be put into an image.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The file cannot be read here.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file on this machine.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A path in an image is absolute, and has no `.` or `..`.
    #[error("`{target}` is no absolute path in an image")]
    Target {
        /// What was given.
        target: String,
    },
}

impl Layer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with its content, and the folders above it. A second one of the same path wins.
    ///
    /// # Errors
    /// When the path is not absolute or not plain.
    pub fn add(&mut self, target: &str, mode: u32, content: Vec<u8>) -> Result<(), LayerError> {
        self.insert(target, Entry::File { mode, content })
    }

    /// Adds a file of this machine; of its mode only whether it can be run is kept.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Layer::add`].
    pub fn add_file(&mut self, source: &Path, target: &str) -> Result<(), LayerError> {
        let cannot = |error| LayerError::Read {
            path: source.to_owned(),
            source: error,
        };
        let mode = fs::metadata(source).map_err(cannot)?.permissions().mode();
        let content = fs::read(source).map_err(cannot)?;
        let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        self.add(target, mode, content)
    }

    /// Adds an empty folder, and the folders above it.
    ///
    /// # Errors
    /// As [`Layer::add`].
    pub fn add_folder(&mut self, target: &str, mode: u32) -> Result<(), LayerError> {
        self.insert(target, Entry::Folder { mode })
    }

    fn insert(&mut self, target: &str, entry: Entry) -> Result<(), LayerError> {
        let refused = || LayerError::Target {
            target: target.to_owned(),
        };
        let path = target.strip_prefix('/').ok_or_else(refused)?;
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refused());
        }
        for (end, _) in path.match_indices('/') {
            self.entries
                .entry(path[..end].to_owned())
                .or_insert(Entry::Folder { mode: 0o755 });
        }
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    /// The layer as a tar archive.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let (kind, mode, content) = match entry {
                Entry::Folder { mode } => (EntryType::Directory, *mode, &[][..]),
                Entry::File { mode, content } => (EntryType::Regular, *mode, content.as_slice()),
            };
            append(&mut builder, kind, path, mode, content);
        }
        finish(builder)
    }
}

/// Adds one entry of a fixed owner and time.
pub(crate) fn append(
    builder: &mut Builder<Vec<u8>>,
    kind: EntryType,
    path: &str,
    mode: u32,
    content: &[u8],
) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    builder
        .append_data(&mut header, path, content)
        .expect("a plain path fits and writing to memory does not fail");
}

/// The archive's bytes.
pub(crate) fn finish(builder: Builder<Vec<u8>>) -> Vec<u8> {
    builder
        .into_inner()
        .expect("writing to memory does not fail")
}

/// Compressed, without a time and a name.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    encoder
        .write_all(content)
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(layer: &Layer) -> Vec<(String, u32, u64)> {
        let bytes = layer.tar();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().to_str().unwrap().to_owned();
                let header = entry.header();
                (path, header.mode().unwrap(), header.mtime().unwrap())
            })
            .collect()
    }

    #[test]
    fn the_folders_above_a_file_come_before_it_and_all_is_sorted() {
        let mut layer = Layer::new();
        layer.add("/usr/bin/b", 0o755, vec![1]).unwrap();
        layer.add("/etc/passwd", 0o644, vec![]).unwrap();
        layer.add_folder("/tmp", 0o1777).unwrap();
        let expected = [
            ("etc", 0o755),
            ("etc/passwd", 0o644),
            ("tmp", 0o1777),
            ("usr", 0o755),
            ("usr/bin", 0o755),
            ("usr/bin/b", 0o755),
        ];
        assert_eq!(
            paths(&layer),
            expected.map(|(path, mode)| (path.to_owned(), mode, 0))
        );
    }

    #[test]
    fn neither_the_order_of_adding_nor_the_time_of_a_file_changes_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let one = folder.path().join("one");
        fs::write(&one, "content").unwrap();
        let mut first = Layer::new();
        first.add_file(&one, "/one").unwrap();
        first.add("/two", 0o644, vec![2]).unwrap();

        let later = folder.path().join("later");
        fs::write(&later, "content").unwrap();
        fs::set_permissions(&later, fs::Permissions::from_mode(0o600)).unwrap();
        let mut second = Layer::new();
        second.add("/two", 0o644, vec![2]).unwrap();
        second.add_file(&later, "/one").unwrap();
        assert_eq!(gzip(&first.tar()), gzip(&second.tar()));
    }

    #[test]
    fn a_path_that_leaves_the_image_is_refused() {
        for target in ["etc/passwd", "/", "/../etc", "/a//b", "/a/./b", "/a/", ""] {
            assert!(
                Layer::new().add(target, 0o644, vec![]).is_err(),
                "{target:?} was taken"
            );
        }
    }
}
