//! `spec.plugin`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Method, PortRef, Scheme, Size, Span};
use crate::defaults;
use crate::size::show_span;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Plugin {
    /// Where the component comes from: `builtin:NAME` for one that ships with Outrigger, or
    /// `file:PATH`, relative to the profile's folder.
    #[schemars(required, extend("examples" = ["builtin:agdb", "file:agdb.wasm"]))]
    pub source: Option<String>,
    /// What a file must hash to, `sha256:` and 64 hexadecimal digits; or `any`, where the file is meant to
    /// be replaced while running. Required for files.
    pub digest: Option<String>,
    /// The plugin's own settings. Which there are, the plugin says.
    pub settings: Option<BTreeMap<String, serde_json::Value>>,
    /// What the plugin may reach: nothing unless granted here.
    pub grants: Option<Grants>,
    /// What stands when a call fails.
    #[schemars(extend("default" = "keep-last"))]
    pub on_failure: Option<OnFailure>,
    /// The limits of its calls.
    pub limits: Option<Limits>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum OnFailure {
    /// The last good verdict or render.
    KeepLast,
    /// The probe fails, the render is refused.
    Fail,
    /// As if there were no plugin.
    Ignore,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Grants {
    /// HTTP requests to the workload or to one other service, by the name that the plugin uses.
    pub endpoints: Option<BTreeMap<String, Endpoint>>,
    /// The pod's volumes that the plugin may read: a list of their names, or a mapping from the name to
    /// what is granted.
    pub volumes: Option<Volumes>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Endpoint {
    /// The name or address of another service, which is asked instead of the workload; the plugin reaches
    /// it as its `local` target. A Jinja template that sees `self`, `namespace`, `domain`, `service`,
    /// `service_host`, `env` and `settings`. Link-local addresses are refused.
    #[schemars(extend("examples" = ["db-metadata.{{ namespace }}.svc.{{ domain }}"]))]
    pub host: Option<String>,
    /// How `host` is spoken to; the workload is spoken to by plain HTTP.
    #[schemars(extend("default" = "http"))]
    pub scheme: Option<Scheme>,
    /// The secret (of `spec.secrets`) whose key `ca.crt` holds, in PEM, the authorities that alone are
    /// trusted; unless given, those that browsers trust. For `scheme: https`.
    pub ca_secret: Option<String>,
    /// The port: a name or number of `spec.workload.ports`; with `host`, any number.
    #[schemars(required)]
    pub port: Option<PortRef>,
    /// The methods.
    #[schemars(extend("default" = ["GET"]))]
    pub methods: Option<Vec<Method>>,
    /// Patterns of paths: `*` stands for any rest within a segment, `**` for any rest at all.
    #[schemars(required, extend("examples" = [["/api/v1/**"]]))]
    pub paths: Option<Vec<String>>,
    /// Whether peers may be asked too, or the replica's own workload alone. Without meaning with `host`.
    #[schemars(extend("default" = true))]
    pub peers: Option<bool>,
    /// The secret (of `spec.secrets`) whose keys `${secret:KEY}` stands for in requests.
    pub secret: Option<String>,
    /// For one exchange, 10ms to 30s.
    #[schemars(extend("default" = show_span(defaults::ENDPOINT_TIMEOUT)))]
    pub timeout: Option<Span>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Volumes {
    Names(Vec<String>),
    Grants(BTreeMap<String, Option<Volume>>),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Volume {
    /// Whether small marker files may be written too.
    #[schemars(extend("default" = false))]
    pub write: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Limits {
    /// Memory of one call, 1Mi to 256Mi.
    #[schemars(extend("default" = defaults::PLUGIN_MEMORY.to_string()))]
    pub memory: Option<Size>,
    /// CPU time of one call, 10ms to 10s.
    #[schemars(extend("default" = show_span(defaults::PLUGIN_CPU)))]
    pub cpu: Option<Span>,
    /// Wall time of one call, 10ms to 60s.
    #[schemars(extend("default" = show_span(defaults::PLUGIN_WALL)))]
    pub wall: Option<Span>,
}
