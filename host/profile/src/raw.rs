//! The shape of the document, key by key. The doc comments are the reference and the schema's
//! descriptions, so they speak to the author of a profile.
//!
//! Nothing here leaves the crate: `convert` makes a [`crate::Profile`] of it. Required keys are
//! `Option` all the same: the structural check has told that they are missing, and what stands
//! beside them is still checked.

mod files;
mod health;
mod plugin;
mod words;

pub(crate) use files::*;
pub(crate) use health::*;
pub(crate) use plugin::*;
pub(crate) use words::*;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::defaults;
use crate::size::show_span;

/// What the sidecar does for one workload.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Outrigger profile")]
pub(crate) struct Root {
    /// The version of this format.
    #[schemars(required)]
    #[expect(dead_code, reason = "the structural check has compared it")]
    pub api_version: Option<ApiVersion>,
    /// What this document is.
    #[schemars(required)]
    #[expect(dead_code, reason = "the structural check has compared it")]
    pub kind: Option<Kind>,
    /// The profile's name.
    #[schemars(required)]
    pub metadata: Option<Metadata>,
    /// The profile itself.
    #[schemars(required)]
    pub spec: Option<Spec>,
}

/// The versions of this format.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum ApiVersion {
    #[serde(rename = "outrigger.dev/v1alpha1")]
    V1Alpha1,
}

/// The kinds of documents.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum Kind {
    Profile,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Metadata {
    /// The profile's name: lower-case letters, digits and dashes.
    #[schemars(required, extend("examples" = ["agdb"]))]
    pub name: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Spec {
    /// The program beside the sidecar.
    #[schemars(required)]
    pub workload: Option<Workload>,
    /// The component that knows the workload. Without one, the declarative parts do the work.
    pub plugin: Option<Plugin>,
    /// How peers are found.
    pub discovery: Option<Discovery>,
    /// Any other StatefulSet of the namespace whose replicas templates see as `related.<name>`, and the
    /// plugin by that name; at most 8. It has `replicas` (each with `name`, `ordinal`, `host`, `addresses`,
    /// `phase` and, once known, `ip`; those that should exist), `desired`, `start`, `statefulset`, `service`
    /// and `service_host`. Files that use one are not rendered before it was learnt once.
    pub related: Option<BTreeMap<String, Related>>,
    /// Values of the profile's own, which templates see as `settings` beside those of the plugin.
    pub settings: Option<BTreeMap<String, serde_json::Value>>,
    /// The files that are rendered: one set, put in place as one.
    pub files: Option<Vec<File>>,
    /// Environment variables of the workload, each a Jinja template by the variable's name.
    pub env: Option<BTreeMap<String, String>>,
    /// The Secrets that templates and endpoints may use: a list of their names, or a mapping from the
    /// name that this profile gives one to where it is.
    pub secrets: Option<Secrets>,
    /// The start gate, which holds the workload back until its configuration is in place.
    pub start: Option<Start>,
    /// The probes that the sidecar answers.
    pub health: Option<Health>,
    /// What is scraped from the workload.
    pub metrics: Option<Metrics>,
    /// How the replica is taken out of service.
    pub drain: Option<Drain>,
    /// For how long a change is on trial: if health falls meanwhile, what was before returns.
    pub trial: Option<Trial>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Workload {
    /// The container's name in the pod template.
    #[schemars(required)]
    pub container: Option<String>,
    /// The container's ports by name. Everywhere else a port is given by its name here, or by number.
    pub ports: Option<BTreeMap<String, PortNumber>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Discovery {
    /// The governing Service; unless given, the one that the StatefulSet names.
    pub service: Option<String>,
    /// The name of the port (of `spec.workload.ports`) whose SRV records are asked for.
    pub port: Option<String>,
    /// Which source is asked.
    #[schemars(extend("default" = "auto"))]
    pub source: Option<DiscoverySource>,
    /// The replicas' DNS names or addresses in ordinal order, for `source: fixed`.
    pub peers: Option<Vec<String>>,
    /// How long a change must stand before it is acted on; what changes meanwhile is acted on with it.
    #[schemars(extend("default" = show_span(defaults::SETTLE)))]
    pub settle: Option<Span>,
    /// How often DNS is asked.
    #[schemars(extend("default" = show_span(defaults::INTERVAL)))]
    pub interval: Option<Span>,
    /// How many replicas there should be: a number, or `auto` for what the StatefulSet wants.
    #[schemars(extend("default" = "auto"))]
    pub replicas: Option<Replicas>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Related {
    /// The StatefulSet's name.
    #[schemars(required)]
    pub statefulset: Option<String>,
    /// Its governing Service; unless given, the one of its name.
    pub service: Option<String>,
    /// The name of the Service's port whose SRV records are asked for, where DNS is.
    pub port: Option<String>,
    /// How many replicas there should be: a number, or `auto` for what the StatefulSet wants, which the
    /// pod's service account must be allowed to read.
    #[schemars(extend("default" = "auto"))]
    pub replicas: Option<Replicas>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum DiscoverySource {
    /// EndpointSlices where the pod's service account may follow them, else DNS.
    Auto,
    /// The EndpointSlices of the governing Service, and nothing else: for clusters whose Role allows it.
    EndpointSlices,
    /// The DNS names of the governing Service.
    Dns,
    /// The list `peers`.
    Fixed,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Secrets {
    Names(Vec<String>),
    Sources(BTreeMap<String, Option<SecretSource>>),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SecretSource {
    /// The Secret's name in the pod's namespace; unless given, the name that this profile gives it.
    pub secret: Option<String>,
    /// Whether the pod may start without it.
    #[schemars(extend("default" = false))]
    pub optional: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Trial {
    /// For files that changed with the profile, a template or a Secret, 0s to 1h; counted from when the
    /// workload runs with them. A restarted workload has this long to become ready. `0s`: no trial.
    #[schemars(extend("default" = show_span(defaults::TRIAL_FILES)))]
    pub files: Option<Span>,
    /// For a plugin that was swapped, 0s to 1h. `0s`: no trial.
    #[schemars(extend("default" = show_span(defaults::TRIAL_PLUGIN)))]
    pub plugin: Option<Span>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Start {
    /// How long the workload is held at most, 1s to 1h. After it the workload starts if its files are in
    /// place, and the timeline says what was waited for.
    #[schemars(extend("default" = show_span(defaults::START_CAP)))]
    pub cap: Option<Span>,
    /// The replicas whose names must resolve first.
    #[schemars(extend("default" = "nobody"))]
    pub wait_for: Option<WaitFor>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum WaitFor {
    /// Nobody's.
    Nobody,
    /// This replica's own.
    Own,
    /// A majority's.
    Majority,
    /// Every replica's.
    All,
    /// Its own and those of all that start no later: every replica's where they start together, those
    /// before it where they start one after the other (`OrderedReady`).
    Earlier,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Metrics {
    /// The workload's expositions, merged into the sidecar's own.
    pub scrape: Option<Vec<ScrapeTarget>>,
    /// Labels that every series gets.
    pub labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ScrapeTarget {
    /// The port, by name or number.
    #[schemars(required)]
    pub port: Option<PortRef>,
    /// The path.
    #[schemars(extend("default" = defaults::SCRAPE_PATH))]
    pub path: Option<String>,
    /// For one scrape, 10ms to 10s.
    #[schemars(extend("default" = show_span(defaults::SCRAPE_TIMEOUT)))]
    pub timeout: Option<Span>,
    /// Changes of the labels, in order, with the words and the meaning of Prometheus'
    /// `metric_relabel_configs`; at most 32 rules. The plugin sees what comes out. Series that become
    /// equal are added up; quantiles that do are left out.
    pub relabel: Option<Vec<Relabel>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Relabel {
    /// What is done.
    #[schemars(extend("default" = "replace"))]
    pub action: Option<RelabelAction>,
    /// The labels whose values are looked at, one after the other; `__name__` is the metric's name. For
    /// `replace`, `keep` and `drop`.
    #[schemars(extend("examples" = [["__name__", "node_id"]]))]
    pub source_labels: Option<Vec<String>>,
    /// What stands between two values.
    #[schemars(extend("default" = ";"))]
    pub separator: Option<String>,
    /// What values, or labels' names, must match as a whole: RE2's syntax, at most 512 bytes.
    #[schemars(extend("default" = "(.*)"))]
    pub regex: Option<String>,
    /// The label that `replace` writes.
    pub target_label: Option<String>,
    /// What `replace` writes: `$1` and `${name}` stand for groups. An empty value takes the label away.
    #[schemars(extend("default" = "$1"))]
    pub replacement: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum RelabelAction {
    /// Writes `target-label` where the values match.
    Replace,
    /// Keeps the series whose values match, and no others.
    Keep,
    /// Drops the series whose values match.
    Drop,
    /// Keeps the labels whose names match, the metric's name, `le` and `quantile`, and no others.
    Labelkeep,
    /// Drops the labels whose names match, but never `le` and `quantile`.
    Labeldrop,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Drain {
    /// For the whole drain; the pod's grace period bounds it too.
    #[schemars(extend("default" = show_span(defaults::DRAIN_TIMEOUT)))]
    pub timeout: Option<Span>,
    /// How long endpoints get to notice that this replica is unready, before anything is stopped.
    #[schemars(extend("default" = show_span(defaults::DRAIN_NOTICE)))]
    pub notice: Option<Span>,
    /// Requests to the workload, in order, after the notice and before the plugin's steps.
    pub http: Option<Vec<DrainRequest>>,
    /// What stops the workload where the plugin did not; unless given, the runtime's own SIGTERM.
    pub signal: Option<Signal>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct DrainRequest {
    /// The port, by name or number.
    #[schemars(required)]
    pub port: Option<PortRef>,
    /// The method.
    #[schemars(extend("default" = "POST"))]
    pub method: Option<Method>,
    /// The path.
    #[schemars(required)]
    pub path: Option<String>,
}
