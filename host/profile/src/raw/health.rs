//! `spec.health`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{PortRef, Span, Times};
use crate::defaults;
use crate::size::show_span;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Health {
    /// What the cluster's reasons (no leader, no quorum) do to replicas that are already ready.
    #[schemars(extend("default" = "gate"))]
    pub cluster_reasons: Option<ClusterReasons>,
    /// Held back until this passes.
    pub startup: Option<Probe>,
    /// In service while this passes.
    pub readiness: Option<Probe>,
    /// Restarted when this fails.
    pub liveness: Option<Probe>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum ClusterReasons {
    /// They hold starting replicas back and leave ready ones in service.
    Gate,
    /// They take ready replicas out of service too.
    Always,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Probe {
    /// A GET whose status is 200 to 399.
    pub http: Option<HttpCheck>,
    /// A connection.
    pub tcp: Option<TcpCheck>,
    /// The standard gRPC health check.
    pub grpc: Option<GrpcCheck>,
    /// Whether the plugin is asked; unless given, where there is one that answers this.
    pub plugin: Option<bool>,
    /// Before the first check.
    #[schemars(extend("default" = show_span(defaults::PROBE_INITIAL_DELAY)))]
    pub initial_delay: Option<Span>,
    /// Between two checks, 100ms to 1h.
    #[schemars(extend("default" = show_span(defaults::PROBE_PERIOD)))]
    pub period: Option<Span>,
    /// For one check, 10ms to 5m.
    #[schemars(extend("default" = show_span(defaults::PROBE_TIMEOUT)))]
    pub timeout: Option<Span>,
    /// Consecutive failures that fail the probe; unless given, 3, and for startup as many as cover
    /// `spec.start.cap`.
    pub failure_threshold: Option<Times>,
    /// Consecutive successes that pass the probe; for startup and liveness always 1.
    #[schemars(extend("default" = defaults::SUCCESS_THRESHOLD))]
    pub success_threshold: Option<Times>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct HttpCheck {
    /// The port, by name or number.
    #[schemars(required)]
    pub port: Option<PortRef>,
    /// The path.
    #[schemars(extend("default" = "/"))]
    pub path: Option<String>,
    /// Headers to send.
    pub headers: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TcpCheck {
    /// The port, by name or number.
    #[schemars(required)]
    pub port: Option<PortRef>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct GrpcCheck {
    /// The port, by name or number.
    #[schemars(required)]
    pub port: Option<PortRef>,
    /// The service that is asked for; unless given, the whole server.
    pub service: Option<String>,
}
