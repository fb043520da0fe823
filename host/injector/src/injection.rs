//! What is put into one pod: every element by its name, apart from where it goes.

use serde_json::Value;

/// What is put into one pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The workload's container.
    pub workload: String,
    /// The sidecar's container.
    pub sidecar: Value,
    /// Where among the init containers it goes.
    pub order: Order,
    /// Volumes of the pod.
    pub volumes: Vec<Value>,
    /// Mounts of the workload's container.
    pub mounts: Vec<Value>,
    /// Variables of the workload's container.
    pub env: Vec<Value>,
    /// The workload's preStop hook.
    pub pre_stop: Option<Value>,
    /// Whether containers see each other's processes.
    pub share_process_namespace: bool,
    /// Annotations, without the status.
    pub annotations: Vec<(String, String)>,
    /// The profile: `<ConfigMap>` or `builtin:<name>`.
    pub profile: String,
    /// `sha256:…` over the profile's files.
    pub profile_digest: String,
    /// `sha256:…` over all of the above but the token.
    pub hash: String,
}

/// Where among the init containers the sidecar goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Order {
    /// First; who comes later may go before it.
    #[default]
    Default,
    /// First, whoever comes later.
    First,
    /// Last.
    Last,
    /// Before the init container of this name.
    Before(String),
    /// After the init container of this name.
    After(String),
}
