//! `spec.files`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Method, Mode, PortRef, Signal};
use crate::defaults;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct File {
    /// The template: a key of the profile's ConfigMap, a file beside the profile.
    pub template: Option<String>,
    /// `plugin`, where the plugin renders the file. Either this or `template`.
    pub from: Option<From>,
    /// The absolute path in the workload. Its folder becomes a mount that holds rendered files alone; a
    /// program that watches it sees each changed file put there anew.
    #[schemars(required)]
    pub path: Option<String>,
    /// How the template is read.
    #[schemars(extend("default" = "jinja"))]
    pub syntax: Option<Syntax>,
    /// Names of your own for `placeholders` and `env`, each a Jinja template: `{{ self.ordinal }}`. They go
    /// before those that are there anyway.
    pub values: Option<BTreeMap<String, String>>,
    /// As what the result must parse before it is put in place.
    #[schemars(extend("default" = "text"))]
    pub format: Option<Format>,
    /// The permission bits.
    #[schemars(extend("default" = format!("{:04o}", defaults::MODE)))]
    pub mode: Option<Mode>,
    /// The owner; unless given, the sidecar's own user and group.
    pub owner: Option<Owner>,
    /// What happens once a changed file is in place.
    pub on_change: Option<OnChange>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum From {
    /// The plugin's `templating.render`.
    Plugin,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Syntax {
    /// Jinja: `{{ self.ordinal }}`.
    Jinja,
    /// Braces around a name: `{id}`, `{host}`.
    Placeholders,
    /// `${POD_NAME}`, `${POD_NAME:-default}`; the names of `values` without braces too: `$NAME`.
    Env,
    /// As it stands.
    Verbatim,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Format {
    /// Anything.
    Text,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// TOML.
    Toml,
    /// `key = value` or `key: value` lines.
    Properties,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Owner {
    /// User id.
    #[schemars(required)]
    pub uid: Option<u32>,
    /// Group id.
    #[schemars(required)]
    pub gid: Option<u32>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct OnChange {
    /// What is done.
    #[schemars(required)]
    pub action: Option<Action>,
    /// For `http`: the port, by name or number.
    pub port: Option<PortRef>,
    /// For `http`: the method, `POST` unless given.
    pub method: Option<Method>,
    /// For `http`: the path.
    pub path: Option<String>,
    /// For `signal`: which.
    pub signal: Option<Signal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Action {
    /// Nothing: the workload looks by itself.
    None,
    /// A request to the workload.
    Http,
    /// A signal to the workload's main process.
    Signal,
    /// A restart of the workload, drained first, one replica at a time.
    Restart,
}
