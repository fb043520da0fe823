//! Kubernetes manifests as they lie on this machine: read, checked, and every problem named at once.

mod check;
mod decode;
mod kustomization;
mod local_kind;
mod not_honoured;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use outrigger_profile::Finding;
use outrigger_profile::document::Document;

pub use check::{Profiles, check, missing_secrets, selectors};
pub(crate) use local_kind::without_tag;
pub use local_kind::{Install, ProgramEntry};
pub use not_honoured::not_honoured;
pub(crate) use read::in_folder;
pub use read::{read, read_inputs};

/// The label by which a pod template asks for the sidecar.
pub const INJECT_LABEL: &str = "outrigger.dev/inject";
/// The annotation that names the ConfigMap with the profile.
pub const PROFILE_ANNOTATION: &str = "outrigger.dev/profile";
/// The key of that ConfigMap that holds the profile.
pub const PROFILE_KEY: &str = "outrigger.yaml";

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A folder or a file.
    Path(PathBuf),
    /// A text that is no file.
    Text(Source),
}

/// A text with objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as the user named it.
    pub file: String,
    /// What it says.
    pub text: String,
}

/// A namespace and a name in it.
pub type Key = (String, String);

/// Where an object was written.
#[derive(Debug, Clone)]
pub struct Origin {
    document: Arc<Document>,
    /// The place of the object in the document, such as `items[2]`; empty = the whole document.
    base: String,
}

impl Origin {
    /// The finding, whose path begins at the object, with file, line and the path in the document.
    pub fn locate(&self, mut finding: Finding) -> Finding {
        finding.path = match (self.base.as_str(), finding.path.as_str()) {
            ("", _) => finding.path,
            (base, "") => base.to_owned(),
            (base, path) => format!("{base}.{path}"),
        };
        self.document.locate(finding)
    }

    /// A place of the object.
    pub(crate) fn place(&self, path: &str) -> Place {
        let finding = self.locate(Finding::error(path, ""));
        Place {
            file: finding.file,
            line: finding.line,
            path: finding.path,
        }
    }

    /// The line of a place of the object, from 1.
    pub fn line_of(&self, path: &str) -> usize {
        let finding = self.locate(Finding::error(path, ""));
        finding.line
    }

    /// The file, as the user named it.
    pub fn file(&self) -> &str {
        self.document.file()
    }
}

/// An object and where it was written.
#[derive(Debug, Clone)]
pub struct Placed<T> {
    /// The object.
    pub object: T,
    /// Where it was written.
    pub origin: Origin,
}

/// What a key of a ConfigMap or Secret holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The content.
    pub bytes: Vec<u8>,
    /// The file whose content it is, as the user named it; for inline data the manifest.
    pub file: String,
    /// How many lines of that file stand before the first of the content.
    pub lines_before: usize,
}

/// A ConfigMap or a Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Its keys.
    pub values: BTreeMap<String, Value>,
    /// Its labels, those of a kustomization among them.
    pub labels: BTreeMap<String, String>,
    /// Where labels of its own are written.
    pub labels_at: Place,
}

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: String,
    /// The line, from 1; 0 = it is not known.
    pub line: usize,
    /// The path in the document.
    pub path: String,
}

impl Place {
    /// The finding, at this place.
    pub fn locate(&self, finding: Finding) -> Finding {
        let finding = finding.in_file(self.file.as_str()).at_line(self.line);
        Finding {
            path: self.path.clone(),
            ..finding
        }
    }
}

/// Everything that was read.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    /// In the order of the files.
    pub stateful_sets: Vec<Placed<StatefulSet>>,
    /// In the order of the files.
    pub services: Vec<Placed<Service>>,
    /// By namespace and name.
    pub config_maps: BTreeMap<Key, Bundle>,
    /// By namespace and name.
    pub secrets: BTreeMap<Key, Bundle>,
    /// Which program stands for which image.
    pub programs: Vec<ProgramEntry>,
    /// The texts in which the objects stand, in the order of reading; not those of generators.
    pub sources: Vec<Source>,
    /// Every file whose content counts, also those that are not there and would.
    pub files: BTreeSet<PathBuf>,
    /// The folders of which every manifest counts, also those that come later.
    pub folders: BTreeSet<PathBuf>,
    /// What cannot be honoured, a plain sentence each; kinds that are ignored among them.
    pub notes: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Manifests {
    /// A Service.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Placed<Service>> {
        self.services.iter().find(|service| {
            namespace_of(service.object.metadata.namespace.as_deref()) == namespace
                && service.object.metadata.name.as_deref() == Some(name)
        })
    }

    /// A ConfigMap.
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&Bundle> {
        self.config_maps
            .get(&(namespace.to_owned(), name.to_owned()))
    }

    /// A Secret.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&Bundle> {
        self.secrets.get(&(namespace.to_owned(), name.to_owned()))
    }
}

/// The namespace that an object without one has.
pub fn namespace_of(namespace: Option<&str>) -> &str {
    namespace
        .filter(|name| !name.is_empty())
        .unwrap_or("default")
}

/// Whether a text is one label of a DNS name, as Kubernetes asks of names that become host names.
pub(crate) fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text is several labels with dots, as Kubernetes asks of most names.
pub(crate) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether a text can be a key of a ConfigMap or Secret, and so a file's name.
pub(crate) fn is_data_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text != "."
        && !text.starts_with("..")
}
