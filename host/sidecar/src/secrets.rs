//! Reads the Secrets that are mounted for the sidecar: one folder for each, one file for each key.
//! Their values never show in logs or errors.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use outrigger_plugin_host::{SecretError, SecretReader};
use outrigger_profile::SecretSource;

use crate::limits;
use crate::reload::read;

/// The values of a profile's Secrets at one moment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    values: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Why a Secret is not among the values, by the profile's name for it.
    problems: BTreeMap<String, String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: BTreeMap<&String, Vec<&String>> = self
            .values
            .iter()
            .map(|(name, keys)| (name, keys.keys().collect()))
            .collect();
        f.debug_struct("Secrets")
            .field("keys", &keys)
            .field("problems", &self.problems)
            .finish()
    }
}

impl Secrets {
    /// Secrets from values, for tests and `check`.
    pub fn from_values(values: BTreeMap<String, BTreeMap<String, Vec<u8>>>) -> Self {
        Self {
            values,
            problems: BTreeMap::new(),
        }
    }

    /// Reads the Secrets of a profile out of the folder that holds their folders. One that cannot be
    /// read is remembered with its reason.
    pub fn read(folder: &Path, sources: &BTreeMap<String, SecretSource>) -> Self {
        let mut secrets = Self::default();
        for (name, source) in sources {
            match read_folder(&folder.join(&source.secret)) {
                Ok(keys) => {
                    secrets.values.insert(name.clone(), keys);
                }
                Err(error) => {
                    let optional = if source.optional { " (optional)" } else { "" };
                    secrets.problems.insert(
                        name.clone(),
                        format!(
                            "the secret `{}`{optional} is not readable: {error}",
                            source.secret
                        ),
                    );
                }
            }
        }
        secrets
    }

    /// The keys of a Secret.
    pub fn keys(&self, name: &str) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.values.get(name)
    }

    /// The names of those that could be read.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Why a Secret could not be read, where it could not.
    pub fn problem(&self, name: &str) -> Option<&str> {
        self.problems.get(name).map(String::as_str)
    }

    /// The Secrets that could not be read, with the reasons.
    pub fn problems(&self) -> &BTreeMap<String, String> {
        &self.problems
    }

    /// A text without the values that it may quote. Values of fewer than four bytes are left: they
    /// would be found everywhere.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for value in self.values.values().flat_map(BTreeMap::values) {
            let Ok(value) = std::str::from_utf8(value) else {
                continue;
            };
            for value in [value, value.trim()] {
                if value.len() >= 4 && clean.contains(value) {
                    clean = clean.replace(value, "(hidden)");
                }
            }
        }
        clean
    }

    /// SHA-256 over everything, in hexadecimal: tells that something changed and nothing else.
    pub(crate) fn digest(&self) -> String {
        let names: Vec<(String, &[u8])> = self
            .values
            .iter()
            .flat_map(|(name, keys)| {
                keys.iter()
                    .map(move |(key, value)| (format!("{name}/{key}"), value.as_slice()))
            })
            .collect();
        read::digest(names.iter().map(|(name, value)| (name.as_str(), *value)))
    }
}

/// The keys of one Secret's folder.
fn read_folder(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let fault = |path: &Path, error: &dyn fmt::Display| {
        format!(
            "{}: {error}; check that the Secret exists and is mounted there",
            path.display()
        )
    };
    let mut keys = BTreeMap::new();
    let entries = std::fs::read_dir(folder).map_err(|error| fault(folder, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| fault(folder, &error))?;
        let Ok(key) = entry.file_name().into_string() else {
            continue;
        };
        if key.starts_with("..") || !entry.path().is_file() {
            continue;
        }
        let path = entry.path();
        let value = read::bounded(&path, limits::SECRET_BYTES_MAX)
            .map_err(|error| fault(&path, &error))?
            .ok_or_else(|| fault(&path, &"it is longer than 1 MiB"))?;
        keys.insert(key, value);
    }
    Ok(keys)
}

/// Reads one key at a time, for the requests of plugins. Which Secret a name means follows the
/// profile; cheap to clone.
#[derive(Debug, Clone)]
pub struct SecretFolder {
    root: PathBuf,
    sources: Arc<ArcSwap<BTreeMap<String, SecretSource>>>,
}

impl SecretFolder {
    /// Reads below `root`.
    pub fn new(root: impl Into<PathBuf>, sources: BTreeMap<String, SecretSource>) -> Self {
        Self {
            root: root.into(),
            sources: Arc::new(ArcSwap::from_pointee(sources)),
        }
    }

    /// Takes over what a newer profile says.
    pub fn set_sources(&self, sources: BTreeMap<String, SecretSource>) {
        self.sources.store(Arc::new(sources));
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        let sources = self.sources.load();
        sources
            .get(name)
            .map(|source| self.root.join(&source.secret))
    }
}

impl SecretReader for SecretFolder {
    fn read(&self, secret: &str, key: &str) -> Result<Vec<u8>, SecretError> {
        let folder = self
            .folder(secret)
            .filter(|folder| folder.is_dir())
            .ok_or_else(|| SecretError::NoSecret(secret.to_owned()))?;
        let no_key = || SecretError::NoKey {
            secret: secret.to_owned(),
            key: key.to_owned(),
        };
        // A Secret's keys are plain names; anything else could lead out of the folder.
        if key.is_empty() || key.contains('/') || key.starts_with("..") {
            return Err(no_key());
        }
        let path = folder.join(key);
        let unreadable = |reason: String| SecretError::Unreadable {
            secret: secret.to_owned(),
            key: key.to_owned(),
            reason,
        };
        match read::bounded(&path, limits::SECRET_BYTES_MAX) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(unreadable(format!(
                "{} is longer than 1 MiB",
                path.display()
            ))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(no_key()),
            Err(error) => Err(unreadable(format!(
                "{}: {error}; check the mount's mode and the sidecar's user",
                path.display()
            ))),
        }
    }

    fn exists(&self, secret: &str) -> bool {
        self.folder(secret).is_some_and(|folder| folder.is_dir())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> BTreeMap<String, SecretSource> {
        let source = |secret: &str| SecretSource {
            secret: secret.to_owned(),
            optional: false,
        };
        BTreeMap::from([
            ("admin".to_owned(), source("db-admin")),
            ("tls".to_owned(), source("db-tls")),
        ])
    }

    /// A mounted Secret as the kubelet lays it out.
    fn mounted() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("db-admin");
        std::fs::create_dir_all(folder.join("..1")).unwrap();
        std::fs::write(folder.join("..1/password"), "s3cret!").unwrap();
        std::os::unix::fs::symlink("..1", folder.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/password", folder.join("password")).unwrap();
        root
    }

    #[test]
    fn what_is_mounted_is_read_and_what_is_not_is_told_with_its_path() {
        let root = mounted();
        let secrets = Secrets::read(root.path(), &sources());
        assert_eq!(secrets.keys("admin").unwrap()["password"], b"s3cret!");
        let problem = secrets.problem("tls").unwrap();
        assert!(problem.contains("/db-tls"), "{problem}");
        assert!(problem.contains("check that"), "{problem}");
    }

    #[test]
    fn values_show_nowhere_in_debug_output() {
        let root = mounted();
        let shown = format!("{:?}", Secrets::read(root.path(), &sources()));
        assert!(shown.contains("password") && !shown.contains("s3cret!"));
    }

    #[test]
    fn what_quotes_a_value_is_cleaned() {
        let root = mounted();
        let secrets = Secrets::read(root.path(), &sources());
        assert_eq!(
            secrets.redact("cannot convert `s3cret!` to a number"),
            "cannot convert `(hidden)` to a number"
        );
    }

    #[test]
    fn a_changed_value_changes_the_digest() {
        let root = mounted();
        let before = Secrets::read(root.path(), &sources()).digest();
        std::fs::write(root.path().join("db-admin/..1/password"), "other").unwrap();
        assert_ne!(Secrets::read(root.path(), &sources()).digest(), before);
    }

    #[test]
    fn plugins_read_by_the_profiles_name_and_never_outside_the_folder() {
        let root = mounted();
        std::fs::write(root.path().join("outside"), "x").unwrap();
        let reader = SecretFolder::new(root.path(), sources());
        assert_eq!(reader.read("admin", "password").unwrap(), b"s3cret!");
        assert!(reader.exists("admin") && !reader.exists("tls") && !reader.exists("db-admin"));
        for key in ["../outside", "", "..data", "absent", "/etc/passwd"] {
            assert!(
                matches!(reader.read("admin", key), Err(SecretError::NoKey { .. })),
                "{key}"
            );
        }
        assert!(matches!(
            reader.read("tls", "key"),
            Err(SecretError::NoSecret(_))
        ));
    }
}
