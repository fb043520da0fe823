//! What whoever runs the webhook sets for all pods; a pod's annotations have precedence where there is
//! one.

use serde::{Deserialize, Serialize};

/// The webhook's settings for what it injects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The sidecar's image.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`; none = as Kubernetes decides by the image's tag.
    pub image_pull_policy: Option<String>,
    /// What the sidecar asks for and may use.
    pub resources: Resources,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// The version of the API server, such as `(1, 36)`; none = not known.
    pub server_version: Option<(u32, u32)>,
    /// The sidecar's log filter.
    pub log: String,
    /// Where the sidecar exports traces and metrics to over OTLP/gRPC; none = nowhere.
    pub otlp_endpoint: Option<String>,
    /// The size of the volume of the rendered files, a Kubernetes quantity. It is memory.
    pub files_size: String,
    /// Whether pods are told to Prometheus by `prometheus.io/…` annotations.
    pub prometheus: bool,
}

/// Requests and limits, as Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resources {
    /// `requests.cpu`.
    pub cpu_request: Option<String>,
    /// `requests.memory`.
    pub memory_request: Option<String>,
    /// `limits.cpu`. None by default: a throttled sidecar answers probes late.
    pub cpu_limit: Option<String>,
    /// `limits.memory`.
    pub memory_limit: Option<String>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu_request: Some("10m".to_owned()),
            memory_request: Some("32Mi".to_owned()),
            cpu_limit: None,
            memory_limit: Some("128Mi".to_owned()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: concat!("outrigger:", env!("CARGO_PKG_VERSION")).to_owned(),
            image_pull_policy: None,
            resources: Resources::default(),
            cluster_domain: "cluster.local".to_owned(),
            server_version: None,
            log: "info".to_owned(),
            otlp_endpoint: None,
            files_size: "16Mi".to_owned(),
            prometheus: true,
        }
    }
}
