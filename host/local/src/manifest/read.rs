//! From files and folders to objects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use outrigger_profile::Finding;
use outrigger_profile::document::{Document, path};
use serde_json::Value as Json;

use super::{
    Bundle, Input, Manifests, Origin, Placed, Source, Value, decode, is_data_key, is_dns_name,
    kustomization, local_kind, namespace_of,
};

/// A manifest or a file behind a generator is not longer: a ConfigMap may have 1 MiB in a cluster.
pub(super) const FILE_BYTES: u64 = 4 << 20;

/// The file beside a kustomization that says which programs stand for its images. `kubectl apply -k` would
/// refuse it among the resources: no cluster knows its kind.
const LOCAL_FILE: &str = "local.yaml";

/// Reads folders and files. A folder with a kustomization is read as it says, and the `local.yaml` beside
/// it; any other by its `*.yaml` and `*.yml` in the order of their names. What is wrong is in `findings`.
pub fn read(inputs: &[PathBuf]) -> Manifests {
    let inputs: Vec<Input> = inputs.iter().cloned().map(Input::Path).collect();
    read_inputs(&inputs)
}

/// As [`read`], and texts that are no files.
pub fn read_inputs(inputs: &[Input]) -> Manifests {
    let mut reader = Reader::default();
    for input in inputs {
        match input {
            Input::Path(path) => reader.input(path, &Overrides::default()),
            Input::Text(text) => {
                for (json, origin) in reader.documents_of(text.clone()) {
                    reader.object(&json, origin, &Overrides::default());
                }
            }
        }
    }
    reader.manifests
}

/// What a kustomization lays over the objects that it lists.
#[derive(Debug, Clone, Default)]
pub(super) struct Overrides {
    pub(super) namespace: Option<String>,
    /// Added to those of every object.
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Default)]
pub(super) struct Reader {
    pub(super) manifests: Manifests,
    seen: BTreeSet<(String, String, String)>,
    /// The folders that are being read, against circles.
    pub(super) open: Vec<PathBuf>,
}

impl Reader {
    pub(super) fn find(&mut self, finding: Finding) {
        self.manifests.findings.push(finding);
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.manifests.notes.contains(&note) {
            self.manifests.notes.push(note);
        }
    }

    pub(super) fn input(&mut self, input: &Path, overrides: &Overrides) {
        match std::fs::metadata(input) {
            Ok(metadata) if metadata.is_dir() => self.folder(input, overrides),
            Ok(_) if kustomization::is_name(input) => kustomization::read(self, input, overrides),
            Ok(_) => self.file(input, overrides),
            Err(error) => {
                let mut finding = Finding::error("", format!("it cannot be read: {error}"))
                    .in_file(input.display().to_string());
                if error.kind() == std::io::ErrorKind::NotFound {
                    finding = finding.hint("name a folder with manifests, or files");
                }
                self.find(finding);
            }
        }
    }

    pub(super) fn folder(&mut self, folder: &Path, overrides: &Overrides) {
        if let Some(file) = kustomization::in_folder(folder) {
            kustomization::read(self, &file, overrides);
            return;
        }
        self.manifests.folders.insert(folder.to_path_buf());
        match in_folder(folder) {
            Ok(paths) => {
                if paths.is_empty() {
                    self.find(
                        Finding::error("", "the folder has no manifests")
                            .in_file(folder.display().to_string())
                            .hint("put *.yaml files there, or name another folder"),
                    );
                }
                for path in paths {
                    self.file(&path, overrides);
                }
            }
            Err(error) => self.find(
                Finding::error("", format!("the folder cannot be read: {error}"))
                    .in_file(folder.display().to_string()),
            ),
        }
    }

    /// Takes the programs of the `local.yaml` that lies beside a kustomization, unless it was listed.
    pub(super) fn beside(&mut self, folder: &Path) {
        let file = folder.join(LOCAL_FILE);
        // Also while it is not there: it may come.
        let listed = !self.manifests.files.insert(file.clone());
        if listed || !file.is_file() {
            return;
        }
        let Some(text) = self.source(&file) else {
            return;
        };
        for (json, origin) in self.parse(&text) {
            if json.get("kind").and_then(Json::as_str) == Some("Local") {
                self.object(&json, origin, &Overrides::default());
            } else {
                self.find(
                    origin.locate(
                        Finding::warning("", "it is no `kind: Local` and is ignored")
                            .hint("name its file under `resources` of the kustomization"),
                    ),
                );
            }
        }
    }

    /// The content of a file that counts, within the limit.
    pub(super) fn bytes(&mut self, file: &Path) -> Result<Vec<u8>, String> {
        self.manifests.files.insert(file.to_path_buf());
        let metadata = std::fs::metadata(file).map_err(|error| error.to_string())?;
        if metadata.is_dir() {
            return Err("it is a folder".to_owned());
        }
        if metadata.len() > FILE_BYTES {
            return Err(format!("it is longer than {FILE_BYTES} bytes"));
        }
        std::fs::read(file).map_err(|error| error.to_string())
    }

    pub(super) fn text(&mut self, file: &Path) -> Option<String> {
        let text = self.bytes(file).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
        });
        text.map_err(|problem| {
            self.find(
                Finding::error("", format!("it cannot be read: {problem}"))
                    .in_file(file.display().to_string()),
            );
        })
        .ok()
    }

    pub(super) fn file(&mut self, file: &Path, overrides: &Overrides) {
        for (json, origin) in self.documents(file) {
            self.object(&json, origin, overrides);
        }
    }

    fn source(&mut self, file: &Path) -> Option<Source> {
        Some(Source {
            text: self.text(file)?,
            file: file.display().to_string(),
        })
    }

    fn documents(&mut self, file: &Path) -> Vec<(Json, Origin)> {
        match self.source(file) {
            Some(text) => self.documents_of(text),
            None => Vec::new(),
        }
    }

    fn documents_of(&mut self, text: Source) -> Vec<(Json, Origin)> {
        let documents = self.parse(&text);
        self.manifests.sources.push(text);
        documents
    }

    fn parse(&mut self, source: &Source) -> Vec<(Json, Origin)> {
        let (documents, findings) = Document::read_all(&source.text, &source.file);
        self.manifests.findings.extend(findings.0);
        let placed = documents.into_iter().map(|document| {
            let json = document.to_json();
            let origin = Origin {
                document: Arc::new(document),
                base: String::new(),
            };
            (json, origin)
        });
        placed.collect()
    }

    fn object(&mut self, json: &Json, origin: Origin, overrides: &Overrides) {
        let Some(kind) = json.get("kind").and_then(Json::as_str) else {
            self.find(
                origin.locate(
                    Finding::warning("", "it has no `kind` and is ignored")
                        .hint("a Kubernetes object has `apiVersion` and `kind`"),
                ),
            );
            return;
        };
        if kind == "List" || kind.ends_with("List") && json.get("items").is_some() {
            let items = json.get("items").and_then(Json::as_array);
            for (index, item) in items.into_iter().flatten().enumerate() {
                let inner = Origin {
                    document: Arc::clone(&origin.document),
                    base: path::item("items", index),
                };
                self.object(item, inner, overrides);
            }
            return;
        }
        let findings = &mut self.manifests.findings;
        match kind {
            "StatefulSet" => {
                if let Some(mut object) = decode::decode(json, &origin, findings)
                    && self.place(kind, metadata_of_set(&mut object), &origin, overrides)
                {
                    self.manifests.stateful_sets.push(Placed { object, origin });
                }
            }
            "Service" => {
                let decoded: Option<k8s_openapi::api::core::v1::Service> =
                    decode::decode(json, &origin, findings);
                if let Some(mut object) = decoded
                    && self.place(kind, &mut object.metadata, &origin, overrides)
                {
                    self.manifests.services.push(Placed { object, origin });
                }
            }
            "ConfigMap" => {
                let decoded: Option<ConfigMap> = decode::decode(json, &origin, findings);
                if let Some(mut object) = decoded
                    && self.place(kind, &mut object.metadata, &origin, overrides)
                {
                    let mut bundle = self.config_map(&object, &origin);
                    bundle.labels.extend(overrides.labels.clone());
                    let key = key_of(&object.metadata);
                    self.manifests.config_maps.insert(key, bundle);
                }
            }
            "Secret" => self.secret(json, &origin, overrides),
            "Local" => {
                let programs = local_kind::decode(json, &origin, findings);
                self.manifests.programs.extend(programs);
            }
            // A Profile here is a file behind a ConfigMap that lies in the same folder.
            // No replica is disrupted here while another one is not ready, budget or not.
            "Profile" | "Namespace" | "PodDisruptionBudget" => {}
            other => self.note(format!("kind {other} is ignored: `up` runs StatefulSets")),
        }
    }

    fn secret(&mut self, json: &Json, origin: &Origin, overrides: &Overrides) {
        // Decoded apart, because the one message for all of `data` would not name the key.
        let data = json.get("data").and_then(Json::as_object);
        let mut readable = true;
        for (key, value) in data.into_iter().flatten() {
            let one = serde_json::from_value::<k8s_openapi::ByteString>(value.clone());
            if one.is_err() {
                readable = false;
                self.find(origin.locate(
                    Finding::error(path::key("data", key), "it is not base64").hint(
                        "encode it with `base64 -w0`, or write the text itself under `stringData`",
                    ),
                ));
            }
        }
        if !readable {
            // The object counts as present: a second finding for each reference would not help.
            let mut metadata: ObjectMeta = json
                .get("metadata")
                .and_then(|metadata| serde_json::from_value(metadata.clone()).ok())
                .unwrap_or_default();
            if self.place("Secret", &mut metadata, origin, overrides) {
                let values = data
                    .into_iter()
                    .flatten()
                    .map(|(key, _)| (key.clone(), self.value(Vec::new(), origin, "data", key)))
                    .collect();
                self.manifests.secrets.insert(
                    key_of(&metadata),
                    Bundle {
                        values,
                        ..Bundle::default()
                    },
                );
            }
            return;
        }
        let decoded: Option<Secret> = decode::decode(json, origin, &mut self.manifests.findings);
        let Some(mut object) = decoded else { return };
        if !self.place("Secret", &mut object.metadata, origin, overrides) {
            return;
        }
        let mut bundle = Bundle::default();
        for (key, value) in object.data.iter().flatten() {
            let value = self.value(value.0.clone(), origin, "data", key);
            self.insert(&mut bundle, key, value, "data", origin);
        }
        for (key, value) in object.string_data.iter().flatten() {
            let value = self.value(value.clone().into_bytes(), origin, "stringData", key);
            self.insert(&mut bundle, key, value, "stringData", origin);
        }
        self.manifests
            .secrets
            .insert(key_of(&object.metadata), bundle);
    }

    fn config_map(&mut self, object: &ConfigMap, origin: &Origin) -> Bundle {
        let mut bundle = Bundle {
            labels: object.metadata.labels.clone().unwrap_or_default(),
            labels_at: origin.place("metadata.labels"),
            ..Bundle::default()
        };
        for (key, value) in object.data.iter().flatten() {
            let value = self.value(value.clone().into_bytes(), origin, "data", key);
            self.insert(&mut bundle, key, value, "data", origin);
        }
        for (key, value) in object.binary_data.iter().flatten() {
            let value = self.value(value.0.clone(), origin, "binaryData", key);
            self.insert(&mut bundle, key, value, "binaryData", origin);
        }
        bundle
    }

    #[expect(clippy::unused_self, reason = "it reads as one of the reader's steps")]
    fn value(&self, bytes: Vec<u8>, origin: &Origin, field: &str, key: &str) -> Value {
        Value {
            bytes,
            file: origin.file().to_owned(),
            // Of a block text, whose first line follows its key's.
            lines_before: origin.line_of(&path::key(field, key)),
        }
    }

    fn insert(
        &mut self,
        bundle: &mut Bundle,
        key: &str,
        value: Value,
        field: &str,
        origin: &Origin,
    ) {
        if is_data_key(key) {
            bundle.values.insert(key.to_owned(), value);
        } else {
            self.find(
                origin.locate(
                    Finding::error(
                        path::key(field, key),
                        format!("`{key}` cannot be a file's name"),
                    )
                    .hint("keys have letters, digits, `-`, `_` and `.`"),
                ),
            );
        }
    }

    /// Gives an object its namespace and refuses one that stands twice or has no name.
    fn place(
        &mut self,
        kind: &str,
        metadata: &mut ObjectMeta,
        origin: &Origin,
        overrides: &Overrides,
    ) -> bool {
        if let Some(namespace) = &overrides.namespace {
            metadata.namespace = Some(namespace.clone());
        }
        let (namespace, name) = key_of(metadata);
        for (field, text) in [("metadata.name", &name), ("metadata.namespace", &namespace)] {
            if !is_dns_name(text) {
                self.find(
                    origin.locate(
                        Finding::error(field, format!("`{text}` is no name"))
                            .hint("names have lower-case letters, digits, `-` and `.`"),
                    ),
                );
                return false;
            }
        }
        let fresh = self.seen.insert((kind.to_owned(), namespace, name.clone()));
        if !fresh {
            self.find(
                origin.locate(
                    Finding::error("metadata.name", format!("{kind} {name} stands twice"))
                        .hint("remove one of the two"),
                ),
            );
        }
        fresh
    }

    /// Notes that a kustomization generates an object; false when there is one already.
    pub(super) fn generate(&mut self, kind: &str, namespace: &str, name: &str) -> bool {
        self.seen
            .insert((kind.to_owned(), namespace.to_owned(), name.to_owned()))
    }
}

/// The manifests of a folder without a kustomization, in the order of their names.
pub(crate) fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    paths.retain(|path| {
        let is_yaml = |ext: &std::ffi::OsStr| ext == "yaml" || ext == "yml";
        path.extension().is_some_and(is_yaml) && path.is_file()
    });
    Ok(paths)
}

fn metadata_of_set(set: &mut k8s_openapi::api::apps::v1::StatefulSet) -> &mut ObjectMeta {
    &mut set.metadata
}

fn key_of(metadata: &ObjectMeta) -> (String, String) {
    (
        namespace_of(metadata.namespace.as_deref()).to_owned(),
        metadata.name.clone().unwrap_or_default(),
    )
}
