//! The environment of a container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource};

use super::expand::expand;
use super::fields::Fields;
use crate::manifest::{Bundle, Manifests};

/// An environment in order, in which a later value replaces an earlier one in its place.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    entries: Vec<(String, String)>,
    places: BTreeMap<String, usize>,
}

impl Environment {
    pub(super) fn set(&mut self, name: &str, value: String) {
        if let Some(place) = self.places.get(name) {
            self.entries[*place].1 = value;
        } else {
            self.places.insert(name.to_owned(), self.entries.len());
            self.entries.push((name.to_owned(), value));
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.places
            .get(name)
            .map(|place| self.entries[*place].1.as_str())
    }

    pub(super) fn into_entries(self) -> Vec<(String, String)> {
        self.entries
    }

    /// `$(VAR)` against what is set.
    pub(super) fn expand(&self, text: &str) -> String {
        expand(text, &|name| self.get(name).map(str::to_owned))
    }
}

/// The variables that the manifest gives a container, over those of `base`.
pub(super) fn of(
    container: &Container,
    base: Environment,
    manifests: &Manifests,
    fields: &Fields<'_>,
    containers: &[&Container],
) -> Result<Environment, String> {
    let mut env = base;
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let config_map = source.config_map_ref.as_ref().map(|reference| {
            let bundle = manifests.config_map(fields.namespace, &reference.name);
            (bundle, reference.optional, &reference.name)
        });
        let secret = source.secret_ref.as_ref().map(|reference| {
            let bundle = manifests.secret(fields.namespace, &reference.name);
            (bundle, reference.optional, &reference.name)
        });
        for (bundle, optional, name) in config_map.into_iter().chain(secret) {
            let Some(bundle) = bundle else {
                if optional == Some(true) {
                    continue;
                }
                return Err(format!("envFrom names `{name}`, which does not exist"));
            };
            for (key, value) in &bundle.values {
                // Keys that can be no variable are left out, as in a cluster.
                if let Ok(text) = std::str::from_utf8(&value.bytes)
                    && !key.contains('=')
                {
                    env.set(&format!("{prefix}{key}"), text.to_owned());
                }
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(from) => value_from(from, container, manifests, fields, containers)
                .map_err(|problem| format!("variable {}: {problem}", variable.name))?,
            None => Some(env.expand(variable.value.as_deref().unwrap_or_default())),
        };
        if let Some(value) = value {
            env.set(&variable.name, value);
        }
    }
    Ok(env)
}

fn value_from(
    from: &EnvVarSource,
    own: &Container,
    manifests: &Manifests,
    fields: &Fields<'_>,
    containers: &[&Container],
) -> Result<Option<String>, String> {
    if let Some(field) = &from.field_ref {
        return fields
            .field(&field.field_path)
            .map(Some)
            .ok_or_else(|| format!("there is no field `{}`", field.field_path));
    }
    if let Some(resource) = &from.resource_field_ref {
        return fields
            .resource(resource, Some(own), containers)
            .map(Some)
            .ok_or_else(|| format!("there is no resource `{}`", resource.resource));
    }
    if let Some(reference) = &from.config_map_key_ref {
        let bundle = manifests.config_map(fields.namespace, &reference.name);
        return of_key(bundle, &reference.name, &reference.key, reference.optional);
    }
    if let Some(reference) = &from.secret_key_ref {
        let bundle = manifests.secret(fields.namespace, &reference.name);
        return of_key(bundle, &reference.name, &reference.key, reference.optional);
    }
    if from.file_key_ref.is_some() {
        return Err("fileKeyRef is for the profile's `env` only".to_owned());
    }
    Ok(Some(String::new()))
}

fn of_key(
    bundle: Option<&Bundle>,
    name: &str,
    key: &str,
    optional: Option<bool>,
) -> Result<Option<String>, String> {
    let Some(value) = bundle.and_then(|bundle| bundle.values.get(key)) else {
        return if optional == Some(true) {
            Ok(None)
        } else {
            Err(format!("`{name}` has no key `{key}`"))
        };
    };
    String::from_utf8(value.bytes.clone())
        .map(Some)
        .map_err(|_| format!("the key `{key}` of `{name}` is not text"))
}
