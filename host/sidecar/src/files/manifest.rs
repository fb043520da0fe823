//! What a set holds: the digest of each file. Written into a set last, it tells that the set is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::reload::read;
use crate::template::RenderedSet;

/// Its file's name within a set.
pub(super) const NAME: &str = ".digests";

/// The digests of a set's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// By the path in the workload; `env` for the variables.
    pub(super) digests: BTreeMap<String, String>,
}

impl Manifest {
    /// What a rendered set will hold.
    pub(super) fn of(set: &RenderedSet) -> Self {
        let mut digests: BTreeMap<String, String> = set
            .files
            .iter()
            .map(|file| (file.path.display().to_string(), file.digest()))
            .collect();
        if let Some(env) = &set.env {
            digests.insert("env".to_owned(), read::digest([("env", env.as_bytes())]));
        }
        Self { digests }
    }

    /// What a set's folder holds; none when it was never finished.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join(NAME)).ok()?;
        let digests = serde_json::from_slice(&text).ok()?;
        Some(Self { digests })
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(&self.digests).expect("texts can be written as JSON")
    }

    /// The files that differ from those of an earlier set; those that are gone are among them.
    pub(super) fn changes(&self, before: Option<&Self>) -> Vec<String> {
        let nothing = BTreeMap::new();
        let old = before.map_or(&nothing, |before| &before.digests);
        let mut changed: Vec<String> = self
            .digests
            .iter()
            .filter(|(path, digest)| old.get(*path) != Some(digest))
            .map(|(path, _)| path.clone())
            .collect();
        changed.extend(
            old.keys()
                .filter(|path| !self.digests.contains_key(*path))
                .cloned(),
        );
        changed
    }
}
