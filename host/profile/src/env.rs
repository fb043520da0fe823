//! The environment of the sidecar: every variable, once. The injector and `up` write them, the
//! command line reads them.

/// One environment variable of the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvVar {
    /// Its name.
    pub name: &'static str,
    /// What it holds, and its default.
    pub help: &'static str,
}

macro_rules! variables {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: EnvVar = EnvVar { name: $name, help: $help };)*
        /// All of them, in the order of the reference.
        pub const ALL: &[EnvVar] = &[$($constant),*];
    };
}

variables! {
    POD_NAME = "POD_NAME", "the pod's name, `<statefulset>-<ordinal>`; required";
    POD_NAMESPACE = "POD_NAMESPACE", "the pod's namespace; `default` unless set";
    POD_IP = "POD_IP", "the pod's address";
    POD_UID = "POD_UID", "the pod's uid";
    SERVICE = "OUTRIGGER_SERVICE", "the governing Service; the profile's `discovery.service` has precedence";
    CLUSTER_DOMAIN = "OUTRIGGER_CLUSTER_DOMAIN", "the cluster's DNS domain; `cluster.local` unless set";
    REPLICAS = "OUTRIGGER_REPLICAS", "how many replicas the StatefulSet wants";
    ORDINALS_START = "OUTRIGGER_ORDINALS_START", "the StatefulSet's first ordinal; 0 unless set";
    POD_MANAGEMENT = "OUTRIGGER_POD_MANAGEMENT", "`OrderedReady` or `Parallel`; `OrderedReady` unless set, as in Kubernetes";
    GRACE_PERIOD = "OUTRIGGER_GRACE_PERIOD", "the pod's termination grace period with its unit; `30s` unless set";
    PROFILE = "OUTRIGGER_PROFILE", "a built-in profile in the place of the folder, such as `builtin:agdb`";
    PROFILE_DIR = "OUTRIGGER_PROFILE_DIR", "the folder that holds `outrigger.yaml` and the templates; `/etc/outrigger/profile` unless set";
    SECRETS_DIR = "OUTRIGGER_SECRETS_DIR", "the folder with one folder for each Secret; `/etc/outrigger/secrets` unless set";
    FILES_DIR = "OUTRIGGER_FILES_DIR", "the shared volume into which rendered files are put; `/run/outrigger` unless set";
    STATE_DIR = "OUTRIGGER_STATE_DIR", "the sidecar's own folder: plugin state, compiled code, timeline, socket; `/var/lib/outrigger` unless set";
    VOLUMES = "OUTRIGGER_VOLUMES", "the pod's volumes as JSON: `{\"data\":{\"path\":\"/agdb/data\",\"sidecar-path\":\"/volumes/data\",\"bytes\":1073741824}}`; `path` is where the workload sees it";
    WORKLOAD_HOST = "OUTRIGGER_WORKLOAD_HOST", "the address of this replica's own workload; `POD_IP` unless set, `127.0.0.1` without one";
    LISTEN = "OUTRIGGER_LISTEN", "the address of the pod-facing server; `[::]:7070` unless set";
    PRE_STOP_TOKEN = "OUTRIGGER_PRE_STOP_TOKEN", "what the workload's preStop hook must send as `Authorization: Bearer`";
    LOCAL = "OUTRIGGER_LOCAL", "set by `outrigger up`: the folder with `cluster.json` and `hub.sock`";
    TERMINATION_LOG = "OUTRIGGER_TERMINATION_LOG", "the file that takes how the sidecar ended, where it exists; `/dev/termination-log` unless set, nowhere under `outrigger up`";
    LOG = "OUTRIGGER_LOG", "the log filter, such as `info` or `outrigger_sidecar=debug`; `info` unless set";
    LOG_FORMAT = "OUTRIGGER_LOG_FORMAT", "`json` or `text`; `text` on a terminal, `json` otherwise";
    OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "where traces and metrics are exported to over OTLP/gRPC, such as `http://collector:4317`; nowhere unless set";
}
