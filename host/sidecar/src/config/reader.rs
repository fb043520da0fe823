//! Reads variables, each as what it must be, and gathers everything that is wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use outrigger_profile::Finding;
use outrigger_profile::builtin::{BUILTIN_PREFIX, builtin, no_builtin_hint};
use outrigger_profile::env::{self, EnvVar};
use serde_json::Value;

use super::VolumeConfig;
use crate::limits;

/// Reads variables and gathers what is wrong with them.
pub(super) struct Reader<'a> {
    read: &'a dyn Fn(&str) -> Option<String>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    /// Reads through `read`.
    pub(super) fn new(read: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            read,
            findings: Vec::new(),
        }
    }

    pub(super) fn text(&self, variable: EnvVar) -> Option<String> {
        (self.read)(variable.name).filter(|text| !text.is_empty())
    }

    pub(super) fn fault(&mut self, variable: EnvVar, problem: impl fmt::Display, hint: &str) {
        self.findings
            .push(Finding::error(variable.name, problem.to_string()).hint(hint));
    }

    pub(super) fn optional<T, E: fmt::Display>(
        &mut self,
        variable: EnvVar,
        hint: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(variable)?;
        parse(&text)
            .map_err(|problem| self.fault(variable, problem, hint))
            .ok()
    }

    pub(super) fn required<T, E: fmt::Display>(
        &mut self,
        variable: EnvVar,
        hint: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.text(variable).is_none() {
            self.fault(variable, "is not set", hint);
            return None;
        }
        self.optional(variable, hint, parse)
    }

    pub(super) fn dns_name(&mut self, variable: EnvVar, default: &str) -> String {
        self.optional(
            variable,
            "lower-case letters, digits, dashes and dots",
            |text| {
                let fits = text.len() <= 253
                    && text.split('.').all(|label| {
                        !label.is_empty()
                            && label.len() <= 63
                            && label
                                .bytes()
                                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                    });
                if fits {
                    Ok(text.to_owned())
                } else {
                    Err(format!("`{text}` is not a DNS name"))
                }
            },
        )
        .unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn folder(&mut self, variable: EnvVar, default: &str) -> PathBuf {
        match self.text(variable) {
            Some(text) => self.absolute(variable, text),
            None => PathBuf::from(default),
        }
    }

    /// The built-in profile that is asked for, or else the profile's folder.
    pub(super) fn profile(&mut self) -> PathBuf {
        let folder = self.folder(env::PROFILE_DIR, "/etc/outrigger/profile");
        let Some(text) = self.text(env::PROFILE) else {
            return folder;
        };
        match text.strip_prefix(BUILTIN_PREFIX) {
            None => {
                let problem = format!("`{text}` is no built-in profile");
                let hint = "write `builtin:` and a name, such as `builtin:agdb`";
                self.fault(env::PROFILE, problem, hint);
            }
            Some(name) if builtin(name).is_none() => {
                let problem = format!("there is no built-in profile `{name}`");
                self.fault(env::PROFILE, problem, &no_builtin_hint(name));
            }
            Some(_) => return PathBuf::from(text),
        }
        folder
    }

    pub(super) fn absolute(&mut self, variable: EnvVar, text: String) -> PathBuf {
        let path = PathBuf::from(text);
        if !path.is_absolute() {
            let problem = format!("`{}` is not an absolute path", path.display());
            self.fault(variable, problem, "start it with `/`");
        }
        path
    }

    pub(super) fn volumes(&mut self) -> BTreeMap<String, VolumeConfig> {
        const HINT: &str = "an object such as `{\"data\":{\"path\":\"/data\",\"sidecar-path\":\"/volumes/data\"}}`";
        let mut volumes = BTreeMap::new();
        let parsed = self.optional(env::VOLUMES, HINT, |text| {
            serde_json::from_str::<BTreeMap<String, Value>>(text)
                .map_err(|error| format!("is not a JSON object: {error}"))
        });
        for (name, value) in parsed.unwrap_or_default() {
            match volume(&value) {
                Ok(volume) => {
                    volumes.insert(name, volume);
                }
                Err(problem) => {
                    self.fault(env::VOLUMES, format!("volume `{name}`: {problem}"), HINT);
                }
            }
        }
        volumes
    }
}

/// One volume from its JSON. `sidecar-path` is `path` unless set.
fn volume(value: &Value) -> Result<VolumeConfig, String> {
    let fields = value.as_object().ok_or("is not an object")?;
    if let Some(unknown) = fields
        .keys()
        .find(|key| !["path", "sidecar-path", "bytes"].contains(&key.as_str()))
    {
        return Err(format!("`{unknown}` is not a field of volumes"));
    }
    let path_of = |key: &str| -> Result<Option<PathBuf>, String> {
        let Some(value) = fields.get(key) else {
            return Ok(None);
        };
        let path = value
            .as_str()
            .map(Path::new)
            .filter(|path| path.is_absolute())
            .ok_or_else(|| format!("`{key}` is not an absolute path"))?;
        Ok(Some(path.to_owned()))
    };
    let path = path_of("path")?.ok_or("`path` is missing")?;
    let sidecar_path = path_of("sidecar-path")?.unwrap_or_else(|| path.clone());
    let bytes = match fields.get("bytes") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            value
                .as_u64()
                .ok_or("`bytes` is not a whole number of bytes")?,
        ),
    };
    Ok(VolumeConfig {
        path,
        sidecar_path,
        bytes,
    })
}

pub(super) fn parse_u32(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|error| format!("`{text}` is no ordinal: {error}"))
}

pub(super) fn parse_replicas(text: &str) -> Result<u32, String> {
    let replicas: u32 = text
        .parse()
        .map_err(|error| format!("`{text}` is no number of replicas: {error}"))?;
    if replicas > limits::REPLICAS_MAX {
        return Err(format!(
            "{replicas} replicas are more than Outrigger follows, which is {}",
            limits::REPLICAS_MAX
        ));
    }
    Ok(replicas)
}
