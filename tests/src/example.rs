//! A copy of an example's folder, for tests that edit it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::programs;

/// A copy of `examples/<name>` in a temporary folder, gone with the value.
#[derive(Debug)]
pub struct Example {
    folder: TempDir,
}

impl Example {
    /// Copies an example.
    ///
    /// # Panics
    /// When there is no such example.
    #[track_caller]
    pub fn copy(name: &str) -> Self {
        Self::copy_of(&programs::root().join("examples").join(name))
    }

    /// Copies any folder.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[track_caller]
    pub fn copy_of(source: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("outrigger-example-")
            .tempdir()
            .unwrap();
        copy(source, folder.path());
        Self { folder }
    }

    /// Where the copy is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// One file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Replaces a text that stands in a file exactly once, the way editors do: a new file is put in
    /// the old one's place.
    ///
    /// # Panics
    /// When the text does not stand there exactly once; the message shows the file.
    #[track_caller]
    pub fn edit(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.file(name)).unwrap();
        let count = text.matches(old).count();
        assert_eq!(count, 1, "`{old}` stands {count} times in {name}:\n{text}");
        self.write(name, text.replacen(old, new, 1));
    }

    /// Writes a file anew, the way editors do.
    ///
    /// # Panics
    /// When it cannot be written.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.file(name);
        let beside = path.with_extension("new~");
        fs::write(&beside, content).unwrap();
        fs::rename(&beside, &path).unwrap();
    }
}

fn copy(source: &Path, target: &Path) {
    let entries = fs::read_dir(source)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", source.display()));
    for entry in entries {
        let entry = entry.unwrap();
        let target = target.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_folders_too_and_an_edit_leaves_the_original_alone() {
        let original = tempfile::tempdir().unwrap();
        fs::create_dir(original.path().join("sub")).unwrap();
        fs::write(original.path().join("sub/a.yaml"), "replicas: 3\n").unwrap();
        let copy = Example::copy_of(original.path());
        copy.edit("sub/a.yaml", "3", "5");
        assert_eq!(
            fs::read_to_string(copy.file("sub/a.yaml")).unwrap(),
            "replicas: 5\n"
        );
        assert_eq!(
            fs::read_to_string(original.path().join("sub/a.yaml")).unwrap(),
            "replicas: 3\n"
        );
    }

    #[test]
    #[should_panic(expected = "stands 2 times")]
    fn an_edit_that_could_mean_two_places_fails() {
        let original = tempfile::tempdir().unwrap();
        fs::write(original.path().join("a"), "x x").unwrap();
        Example::copy_of(original.path()).edit("a", "x", "y");
    }
}
