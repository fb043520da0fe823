//! Volumes whose files come from objects: ConfigMap, Secret, downward API, and several of them in
//! one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Volume};

use super::fields::Fields;
use crate::manifest::{Bundle, Manifests};

/// The permission bits of a projected file, unless the manifest says otherwise.
const DEFAULT_MODE: u32 = 0o644;

/// A folder whose files are swapped as one when their objects change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// On this machine.
    pub folder: PathBuf,
    /// The files by their path in the folder.
    pub files: BTreeMap<PathBuf, FileContent>,
}

/// A projected file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileContent {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

impl std::fmt::Debug for FileContent {
    /// Without the content, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileContent")
            .field("length", &self.bytes.len())
            .field("mode", &format_args!("{:o}", self.mode))
            .finish()
    }
}

/// The files of a bundle of which all keys are taken.
pub(super) fn whole(bundle: &Bundle) -> BTreeMap<PathBuf, FileContent> {
    bundle
        .values
        .iter()
        .map(|(key, value)| {
            let content = FileContent {
                bytes: value.bytes.clone(),
                mode: DEFAULT_MODE,
            };
            (PathBuf::from(key), content)
        })
        .collect()
}

/// The files of a volume; none for one that is just a folder.
pub(super) fn files(
    volume: &Volume,
    manifests: &Manifests,
    fields: &Fields<'_>,
    containers: &[&Container],
) -> Result<Option<BTreeMap<PathBuf, FileContent>>, String> {
    let mut files = BTreeMap::new();
    if let Some(source) = &volume.config_map {
        let bundle = manifests.config_map(fields.namespace, &source.name);
        let mode = source.default_mode;
        let optional = source.optional == Some(true);
        of_bundle(
            bundle,
            &source.name,
            source.items.as_deref(),
            mode,
            optional,
            &mut files,
        )?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let bundle = manifests.secret(fields.namespace, name);
        let mode = source.default_mode;
        let optional = source.optional == Some(true);
        of_bundle(
            bundle,
            name,
            source.items.as_deref(),
            mode,
            optional,
            &mut files,
        )?;
    } else if let Some(source) = &volume.downward_api {
        let items = source.items.as_deref().unwrap_or_default();
        downward(items, source.default_mode, fields, containers, &mut files)?;
    } else if let Some(projected) = &volume.projected {
        let mode = projected.default_mode;
        for source in projected.sources.iter().flatten() {
            if let Some(source) = &source.config_map {
                let bundle = manifests.config_map(fields.namespace, &source.name);
                let optional = source.optional == Some(true);
                let items = source.items.as_deref();
                of_bundle(bundle, &source.name, items, mode, optional, &mut files)?;
            }
            if let Some(source) = &source.secret {
                let bundle = manifests.secret(fields.namespace, &source.name);
                let optional = source.optional == Some(true);
                let items = source.items.as_deref();
                of_bundle(bundle, &source.name, items, mode, optional, &mut files)?;
            }
            if let Some(source) = &source.downward_api {
                let items = source.items.as_deref().unwrap_or_default();
                downward(items, mode, fields, containers, &mut files)?;
            }
        }
    } else {
        return Ok(None);
    }
    Ok(Some(files))
}

fn of_bundle(
    bundle: Option<&Bundle>,
    name: &str,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    optional: bool,
    files: &mut BTreeMap<PathBuf, FileContent>,
) -> Result<(), String> {
    let Some(bundle) = bundle else {
        return if optional {
            Ok(())
        } else {
            Err(format!("a volume names `{name}`, which does not exist"))
        };
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        files.extend(whole(bundle).into_iter().map(|(path, mut content)| {
            content.mode = mode_of(None, default_mode);
            (path, content)
        }));
        return Ok(());
    };
    for item in items {
        match bundle.values.get(&item.key) {
            Some(value) => {
                let content = FileContent {
                    bytes: value.bytes.clone(),
                    mode: mode_of(item.mode, default_mode),
                };
                files.insert(clean(&item.path), content);
            }
            None if optional => {}
            None => return Err(format!("`{name}` has no key `{}`", item.key)),
        }
    }
    Ok(())
}

fn downward(
    items: &[DownwardAPIVolumeFile],
    default_mode: Option<i32>,
    fields: &Fields<'_>,
    containers: &[&Container],
    files: &mut BTreeMap<PathBuf, FileContent>,
) -> Result<(), String> {
    for item in items {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => fields
                .field(&field.field_path)
                .ok_or_else(|| format!("there is no field `{}`", field.field_path))?,
            (None, Some(resource)) => fields
                .resource(resource, None, containers)
                .ok_or_else(|| format!("there is no resource `{}`", resource.resource))?,
            (None, None) => continue,
        };
        let content = FileContent {
            bytes: value.into_bytes(),
            mode: mode_of(item.mode, default_mode),
        };
        files.insert(clean(&item.path), content);
    }
    Ok(())
}

fn mode_of(own: Option<i32>, default: Option<i32>) -> u32 {
    own.or(default)
        .and_then(|mode| u32::try_from(mode).ok())
        .map_or(DEFAULT_MODE, |mode| mode & 0o777)
}

/// A relative path without steps that lead nowhere or out.
fn clean(path: &str) -> PathBuf {
    Path::new(path)
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .collect()
}
