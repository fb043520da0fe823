//! A kustomization, as far as one machine needs it: resources, namespace and generators.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_profile::Finding;
use outrigger_profile::document::{Document, path};
use serde::Deserialize;
use serde_json::Value as Json;

use super::read::{Overrides, Reader};
use super::{Bundle, Origin, Value, is_data_key, is_dns_name, namespace_of};

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Kustomizations within kustomizations.
const DEPTH: usize = 16;

/// Fields of a kustomization that are not laid over the objects, and what that means.
const NOT_LAID_OVER: &[(&str, &str)] = &[
    ("images", "images are mapped by `kind: Local`"),
    ("patches", "write the change into the manifest"),
    (
        "patchesStrategicMerge",
        "write the change into the manifest",
    ),
    ("patchesJson6902", "write the change into the manifest"),
    ("components", "name their files under `resources`"),
    ("namePrefix", "names stay as they are"),
    ("nameSuffix", "names stay as they are"),
    ("labels", "labels stay as they are"),
    ("commonLabels", "labels stay as they are"),
    ("commonAnnotations", "annotations stay as they are"),
    ("replacements", "write the value into the manifest"),
    ("replicas", "use `--replicas`"),
    ("vars", "write the value into the manifest"),
    (
        "helmCharts",
        "render the chart and name the result under `resources`",
    ),
    ("generators", "generators that are programs are not run"),
    ("transformers", "transformers that are programs are not run"),
];

/// Fields that are known, so that others can be told.
const KNOWN: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "resources",
    "bases",
    "namespace",
    "configMapGenerator",
    "secretGenerator",
    "generatorOptions",
    "sortOptions",
    "buildMetadata",
    "crds",
    "configurations",
    "openapi",
];

#[derive(Debug, Default, Deserialize)]
struct Kustomization {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    bases: Vec<String>,
    namespace: Option<String>,
    #[serde(default, rename = "configMapGenerator")]
    config_maps: Vec<Generator>,
    #[serde(default, rename = "secretGenerator")]
    secrets: Vec<Generator>,
    #[serde(default, rename = "generatorOptions")]
    options: Option<Options>,
    #[serde(default, rename = "commonLabels")]
    common_labels: BTreeMap<String, String>,
    #[serde(default)]
    labels: Vec<Labels>,
}

/// What generated objects have besides their content.
#[derive(Debug, Default, Deserialize)]
struct Options {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
struct Labels {
    #[serde(default)]
    pairs: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generator {
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    files: Vec<String>,
    #[serde(default)]
    literals: Vec<String>,
    #[serde(default)]
    envs: Vec<String>,
    env: Option<String>,
    #[serde(default, rename = "type")]
    _type: Option<String>,
    options: Option<Options>,
    #[serde(default, rename = "behavior")]
    behavior: Option<String>,
}

/// Whether a file is a kustomization by its name.
pub(super) fn is_name(file: &Path) -> bool {
    file.file_name()
        .is_some_and(|name| NAMES.iter().any(|known| name == *known))
}

/// The kustomization of a folder.
pub(super) fn in_folder(folder: &Path) -> Option<PathBuf> {
    NAMES
        .iter()
        .map(|name| folder.join(name))
        .find(|file| file.is_file())
}

pub(super) fn read(reader: &mut Reader, file: &Path, outer: &Overrides) {
    let name = file.display().to_string();
    let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
    let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    if reader.open.contains(&real) || reader.open.len() >= DEPTH {
        reader.find(
            Finding::error("resources", "it leads back to itself")
                .in_file(name)
                .hint("remove the circle of kustomizations"),
        );
        return;
    }
    let Some(text) = reader.text(file) else {
        return;
    };
    let document = match Document::parse_all(&text, &name) {
        Ok(documents) => documents.into_iter().next(),
        Err(finding) => return reader.find(finding),
    };
    let Some(document) = document else {
        return reader.find(Finding::error("", "it is empty").in_file(name));
    };
    let json = document.to_json();
    let origin = Origin {
        document: Arc::new(document),
        base: String::new(),
    };
    let kustomization: Kustomization = match serde_path_to_error::deserialize(&json) {
        Ok(kustomization) => kustomization,
        Err(error) => {
            let place = error.path().to_string();
            let place = if place == "." { String::new() } else { place };
            let problem = error.into_inner().to_string();
            return reader.find(origin.locate(Finding::error(place, problem)));
        }
    };
    tell_fields(reader, &json, &origin);
    // The outermost namespace wins, as in kustomize.
    let overrides = Overrides {
        namespace: outer
            .namespace
            .clone()
            .or_else(|| kustomization.namespace.clone()),
        labels: labels(&kustomization, outer),
    };
    let options = kustomization.options.unwrap_or_default();
    reader.open.push(real);
    let lists = [
        ("resources", &kustomization.resources),
        ("bases", &kustomization.bases),
    ];
    for (field, list) in lists {
        for (index, resource) in list.iter().enumerate() {
            let place = path::item(field, index);
            if resource.contains("://") || resource.starts_with("github.com/") {
                reader.find(
                    origin.locate(
                        Finding::error(place, format!("`{resource}` lies on another machine"))
                            .hint("fetch it and name the local folder"),
                    ),
                );
                continue;
            }
            let path = folder.join(resource);
            if path.exists() {
                reader.input(&path, &overrides);
            } else {
                reader.find(
                    origin.locate(
                        Finding::error(place, format!("`{resource}` does not exist"))
                            .hint("paths are relative to the kustomization's folder"),
                    ),
                );
            }
        }
    }
    reader.open.pop();
    reader.beside(&folder);
    let generators = [
        ("configMapGenerator", &kustomization.config_maps),
        ("secretGenerator", &kustomization.secrets),
    ];
    for (field, list) in generators {
        for (index, generator) in list.iter().enumerate() {
            let place = path::item(field, index);
            let labels = own_labels(generator, &options, &overrides);
            let bundle = generate(
                reader, field, &place, generator, &folder, &origin, &overrides,
            );
            if let Some(bundle) = bundle {
                bundle.labels.extend(labels);
                bundle.labels_at = origin.place(&path::key(&place, "options"));
            }
        }
    }
}

/// The labels that every object gets, the outer kustomizations' too.
fn labels(kustomization: &Kustomization, outer: &Overrides) -> BTreeMap<String, String> {
    let pairs = kustomization.labels.iter().map(|labels| &labels.pairs);
    let own = pairs.chain([&kustomization.common_labels, &outer.labels]);
    own.flatten()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The labels of a generated object.
fn own_labels(
    generator: &Generator,
    options: &Options,
    overrides: &Overrides,
) -> BTreeMap<String, String> {
    let own = generator.options.as_ref().map(|options| &options.labels);
    let all = [&options.labels].into_iter().chain(own);
    let all = all.chain([&overrides.labels]).flatten();
    all.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn tell_fields(reader: &mut Reader, json: &Json, origin: &Origin) {
    for key in json
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.keys())
    {
        if let Some((_, instead)) = NOT_LAID_OVER.iter().find(|(field, _)| field == key) {
            reader.note(format!(
                "the kustomization's {key} are not applied: {instead}"
            ));
        } else if !KNOWN.contains(&key.as_str()) {
            let known = KNOWN
                .iter()
                .chain(NOT_LAID_OVER.iter().map(|(field, _)| field));
            let mut finding = Finding::warning(
                path::key("", key),
                format!("the field `{key}` is not known"),
            );
            if let Some(meant) = outrigger_profile::did_you_mean(key, known.copied()) {
                finding = finding.hint(format!("did you mean `{meant}`?"));
            }
            reader.find(origin.locate(finding));
        }
    }
}

/// Makes the object; none when it has no name.
fn generate<'r>(
    reader: &'r mut Reader,
    field: &str,
    place: &str,
    generator: &Generator,
    folder: &Path,
    origin: &Origin,
    overrides: &Overrides,
) -> Option<&'r mut Bundle> {
    let secret = field == "secretGenerator";
    let kind = if secret { "Secret" } else { "ConfigMap" };
    let namespace = overrides
        .namespace
        .as_deref()
        .or(generator.namespace.as_deref());
    let namespace = namespace_of(namespace).to_owned();
    let key = (namespace.clone(), generator.name.clone());
    if !is_dns_name(&generator.name) {
        let finding = Finding::error(
            path::key(place, "name"),
            format!("`{}` is no name", generator.name),
        );
        reader.find(origin.locate(finding));
        return None;
    }
    let merge = generator.behavior.as_deref() == Some("merge");
    let fresh = reader.generate(kind, &namespace, &generator.name);
    if !fresh && generator.behavior.is_none() {
        reader.find(
            origin.locate(
                Finding::error(
                    path::key(place, "name"),
                    format!("{kind} {} stands twice", generator.name),
                )
                .hint("remove one of the two, or say `behavior: merge`"),
            ),
        );
    }
    let existing = if secret {
        reader.manifests.secrets.remove(&key)
    } else {
        reader.manifests.config_maps.remove(&key)
    };
    let mut bundle = existing.filter(|_| merge).unwrap_or_default();
    for (index, entry) in generator.files.iter().enumerate() {
        let here = path::item(&path::key(place, "files"), index);
        let (name, source) = match entry.split_once('=') {
            Some((name, source)) => (name.to_owned(), source),
            None => (
                Path::new(entry)
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                entry.as_str(),
            ),
        };
        let file = folder.join(source);
        match reader.bytes(&file) {
            Ok(bytes) => {
                let value = Value {
                    bytes,
                    file: file.display().to_string(),
                    lines_before: 0,
                };
                insert(reader, &mut bundle, &name, value, &here, origin);
            }
            Err(problem) => reader.find(
                origin.locate(
                    Finding::error(here, format!("`{source}` cannot be read: {problem}"))
                        .hint("paths are relative to the kustomization's folder"),
                ),
            ),
        }
    }
    for (index, literal) in generator.literals.iter().enumerate() {
        let here = path::item(&path::key(place, "literals"), index);
        match literal.split_once('=') {
            Some((name, text)) => {
                let value = inline(unquoted(text), origin, &here);
                insert(reader, &mut bundle, name, value, &here, origin);
            }
            None => reader.find(
                origin.locate(Finding::error(here, "it has no `=`").hint("write `KEY=VALUE`")),
            ),
        }
    }
    for (index, entry) in generator.envs.iter().chain(&generator.env).enumerate() {
        let here = path::item(&path::key(place, "envs"), index);
        let Some(text) = reader.text(&folder.join(entry)) else {
            continue;
        };
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // A name alone takes its value from the caller's environment in kustomize.
            let (name, text) = line.split_once('=').unwrap_or((line, ""));
            let value = inline(text, origin, &here);
            insert(reader, &mut bundle, name, value, &here, origin);
        }
    }
    let all = if secret {
        &mut reader.manifests.secrets
    } else {
        &mut reader.manifests.config_maps
    };
    all.insert(key.clone(), bundle);
    all.get_mut(&key)
}

fn insert(
    reader: &mut Reader,
    bundle: &mut Bundle,
    name: &str,
    value: Value,
    here: &str,
    origin: &Origin,
) {
    if is_data_key(name) {
        bundle.values.insert(name.to_owned(), value);
    } else {
        reader.find(
            origin.locate(
                Finding::error(here, format!("`{name}` cannot be a file's name"))
                    .hint("keys have letters, digits, `-`, `_` and `.`"),
            ),
        );
    }
}

fn inline(text: &str, origin: &Origin, here: &str) -> Value {
    Value {
        bytes: text.as_bytes().to_vec(),
        file: origin.file().to_owned(),
        lines_before: origin.line_of(here).saturating_sub(1),
    }
}

/// Quotes around a literal's value are not part of it.
fn unquoted(text: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(text)
}
