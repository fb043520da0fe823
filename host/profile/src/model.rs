//! The profile as the rest of the program sees it: complete, checked, with every default filled in.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::{ByteSize, Pattern};

/// What a user wants the sidecar to do for one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// `metadata.name`.
    pub name: String,
    /// The program beside the sidecar.
    pub workload: Workload,
    /// The component that knows the workload; none where the declarative parts suffice.
    pub plugin: Option<Plugin>,
    /// How peers are found.
    pub discovery: Discovery,
    /// Each other StatefulSet of the namespace that templates and the plugin see, by its name there.
    pub related: BTreeMap<String, Related>,
    /// Values of its own for templates; none has the name of one of the plugin's settings.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// The files that are rendered: one set, put in place as one.
    pub files: Vec<File>,
    /// Environment variables that are rendered for the workload, by name.
    pub env: BTreeMap<String, EnvValue>,
    /// Secrets that templates and endpoints may use, by the name that the profile gives them.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The start gate.
    pub start: Start,
    /// The probes.
    pub health: Health,
    /// What is scraped and derived.
    pub metrics: Metrics,
    /// How the replica is taken out of service.
    pub drain: Drain,
    /// For how long changes are on trial.
    pub trial: Trial,
}

/// The program beside the sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The container's name in the pod template.
    pub container: String,
    /// Its ports by name, 1 to 65535.
    pub ports: BTreeMap<String, u16>,
}

/// A component and what it may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Where it comes from.
    pub source: PluginSource,
    /// The `settings:` block, handed to it as JSON, key by key.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// What it may reach.
    pub grants: Grants,
    /// What stands when a call fails.
    pub on_failure: OnFailure,
    /// The limits of its calls.
    pub limits: PluginLimits,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// Shipped with Outrigger: `builtin:agdb`.
    Builtin(String),
    /// A file: `file:plugins/agdb.wasm`, relative to the profile's folder; pinned by
    /// `digest: sha256:…` or, where the file is meant to be replaced while running, by `digest: any`.
    File {
        /// As written.
        path: PathBuf,
        /// What its content must hash to; none = any (said in the document).
        digest: Option<Sha256>,
    },
}

/// A SHA-256 digest, shown as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a plugin may reach. Nothing unless granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// By the name that the plugin uses.
    pub endpoints: BTreeMap<String, EndpointGrant>,
    /// By the claim's or volume's name.
    pub volumes: BTreeMap<String, VolumeGrant>,
}

/// HTTP requests to one port of the workload, this replica's or a peer's, or of another service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointGrant {
    /// Where it is.
    pub at: EndpointAt,
    /// How TLS is spoken to another service; none for plain HTTP.
    pub tls: Option<Tls>,
    /// The port: one of [`Workload::ports`] where it is the workload's.
    pub port: u16,
    /// The methods.
    pub methods: Vec<Method>,
    /// Path patterns: `*` is one segment's rest, `**` any rest. Matched against the path without the query.
    pub paths: Vec<String>,
    /// The secret (of [`Profile::secrets`]) whose keys `${secret:KEY}` stands for.
    pub secret: Option<String>,
    /// The wall time of one exchange, 10 ms to 30 s.
    pub timeout: Duration,
}

/// Where a granted endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointAt {
    /// The workload.
    Workload {
        /// Whether peers may be asked too (default), or the local workload alone.
        peers: bool,
    },
    /// Another service: in a profile a template in Jinja, in a grant the name or address that it gave.
    Host(String),
}

/// An HTTP method that can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// PATCH
    Patch,
}

/// Access to one volume of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeGrant {
    /// Whether small marker files may be written too.
    pub write: bool,
}

/// What stands when the plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The last good verdict or render.
    #[default]
    KeepLast,
    /// The probe fails, the render is refused.
    Fail,
    /// As if there were no plugin.
    Ignore,
}

/// The limits of a plugin's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    /// Linear memory of one call, 1 MiB to 256 MiB.
    pub memory: ByteSize,
    /// CPU time of one call, 10 ms to 10 s.
    pub cpu: Duration,
    /// Wall time of one call, 10 ms to 60 s.
    pub wall: Duration,
}

/// How peers are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// The governing Service; none = the one that the StatefulSet names.
    pub service: Option<String>,
    /// The port whose SRV records are asked for.
    pub port: Option<String>,
    /// The source.
    pub source: DiscoverySource,
    /// How long a change must stand before it is acted on; what changes meanwhile is acted on with it.
    pub settle: Duration,
    /// How often DNS is asked.
    pub interval: Duration,
    /// How many replicas there should be; none = as the environment tells.
    pub replicas: Option<u32>,
}

/// Another StatefulSet of the pod's namespace. Its replicas are found as the peers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Its name.
    pub stateful_set: String,
    /// Its governing Service.
    pub service: String,
    /// The Service's port whose SRV records are asked for.
    pub port: Option<String>,
    /// How many replicas there should be; none = as the StatefulSet says.
    pub replicas: Option<u32>,
}

/// Which source is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoverySource {
    /// EndpointSlices where the pod's service account may follow them, else DNS.
    Auto,
    /// EndpointSlices of the governing Service, and nothing else.
    EndpointSlices,
    /// DNS names of the governing Service.
    Dns,
    /// A list in the profile.
    Fixed(Vec<FixedPeer>),
}

/// One replica of a fixed list; its place in the list, from the start ordinal, is its ordinal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedPeer {
    /// A DNS name or an address.
    pub host: String,
    /// The address, where `host` is one.
    pub address: Option<IpAddr>,
}

/// One rendered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where its content comes from.
    pub from: FileFrom,
    /// The absolute path in the workload.
    pub path: PathBuf,
    /// How the template is read.
    pub syntax: Syntax,
    /// Names of the user's own for `placeholders` and `env`, each a Jinja text; empty for the others.
    pub values: BTreeMap<String, String>,
    /// As what the result must parse.
    pub format: Format,
    /// The permission bits, such as `0o640`.
    pub mode: u32,
    /// The owner, where it is not the sidecar's own.
    pub owner: Option<Owner>,
    /// What happens once a changed file is in place.
    pub on_change: OnChange,
}

/// Where a file's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFrom {
    /// A template: a key of the profile's ConfigMap, a file beside the profile.
    Template(String),
    /// The plugin's `templating.render`.
    Plugin,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The secret (of [`Profile::secrets`]) with the authorities in PEM, under [`CA_KEY`]; those that
    /// browsers trust where there is none.
    pub ca_secret: Option<String>,
}

/// The key of a Secret that holds authorities.
pub const CA_KEY: &str = "ca.crt";

/// A file's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// How a template is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Syntax {
    /// Jinja: `{{ self.ordinal }}`.
    #[default]
    Jinja,
    /// Single braces around a name: `{id}`, `{host}`. Everything else stays as it is.
    Placeholders,
    /// Shell-like: `${POD_NAME}`, `${POD_NAME:-default}`, and `$NAME` for the file's own names. Nothing is
    /// executed.
    Env,
    /// As it stands.
    Verbatim,
}

/// As what a rendered file must parse before it is put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Format {
    /// Anything.
    #[default]
    Text,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// TOML.
    Toml,
    /// `key = value` or `key: value` lines, `#` and `!` comments.
    Properties,
}

/// What happens once a changed file is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing: the workload looks by itself.
    None,
    /// A request to the workload.
    Http {
        /// Its port.
        port: u16,
        /// POST or another.
        method: Method,
        /// The path.
        path: String,
    },
    /// A signal to the workload's main process.
    Signal(Signal),
    /// A restart of the workload: drained first, one replica at a time where that can be arranged.
    Restart,
}

/// A signal that may be sent to a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGHUP
    Hup,
    /// SIGINT
    Int,
    /// SIGQUIT
    Quit,
    /// SIGTERM
    Term,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
}

/// A rendered environment variable: a template in Jinja.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvValue {
    /// The template.
    pub template: String,
}

/// A Secret of the pod's namespace, mounted for the sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    /// The Secret's name.
    pub secret: String,
    /// Whether the pod may start without it.
    pub optional: bool,
}

/// For how long changes are on trial: if health falls meanwhile, what was before returns. Zero = no
/// trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Files that changed with what a person wrote, from when the workload runs with them.
    pub files: Duration,
    /// A plugin that was swapped.
    pub plugin: Duration,
}

/// The start gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// How long the workload is held at most. After it the workload starts if its files are in place.
    pub cap: Duration,
    /// The replicas whose names must resolve first.
    pub wait_for: WaitFor,
}

/// Whose names must resolve before the workload starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitFor {
    /// Nobody's.
    #[default]
    Nobody,
    /// This replica's own.
    Own,
    /// A majority's.
    Majority,
    /// Every replica's.
    All,
    /// Its own and those of all that start no later, by the StatefulSet's pod management.
    Earlier,
}

/// The probes.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// What cluster reasons do to replicas that are already ready.
    pub cluster_reasons: ClusterReasons,
    /// Held until this passes.
    pub startup: Probe,
    /// In service while this passes.
    pub readiness: Probe,
    /// Restarted when this fails.
    pub liveness: Probe,
}

/// What cluster reasons do to replicas that are already ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClusterReasons {
    /// They hold starting replicas back and leave ready ones in service.
    #[default]
    Gate,
    /// They take ready replicas out of service too.
    Always,
}

/// One probe: built-in checks and the plugin's verdict, all of which must pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The built-in checks.
    pub checks: Vec<Check>,
    /// Whether the plugin is asked (default where it exports `health`).
    pub plugin: bool,
    /// The wait before the first check.
    pub initial_delay: Duration,
    /// Between two checks.
    pub period: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Consecutive failures that fail the probe.
    pub failure_threshold: u32,
    /// Consecutive successes that pass it.
    pub success_threshold: u32,
}

/// One built-in check of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A GET whose status is 200 to 399.
    Http {
        /// The port.
        port: u16,
        /// The path.
        path: String,
        /// Headers to send.
        headers: Vec<(String, String)>,
    },
    /// A connection.
    Tcp {
        /// The port.
        port: u16,
    },
    /// The standard gRPC health check.
    Grpc {
        /// The port.
        port: u16,
        /// The service asked for; empty = the whole server.
        service: String,
    },
}

/// What is scraped and derived.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The workload's expositions.
    pub scrape: Vec<ScrapeTarget>,
    /// Constant labels on every series.
    pub labels: BTreeMap<String, String>,
}

/// One exposition of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeTarget {
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
    /// For one scrape.
    pub timeout: Duration,
    /// What is changed in what was scraped, in order.
    pub relabel: Vec<Relabel>,
}

/// One rule of relabelling, with Prometheus' meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relabel {
    /// What is looked for: in values, or in the names of labels.
    pub regex: Pattern,
    /// What is done.
    pub action: RelabelAction,
}

/// What a rule of relabelling does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelabelAction {
    /// Writes a label where the values match.
    Replace {
        /// Whose values.
        source: SourceLabels,
        /// The label; never the metric's name.
        target: String,
        /// Its value, with `$1` for the first group; an empty one takes the label away.
        replacement: String,
    },
    /// Keeps the samples whose values match, and no others.
    Keep(SourceLabels),
    /// Drops the samples whose values match.
    Drop(SourceLabels),
    /// Keeps the labels whose names match, and no others.
    LabelKeep,
    /// Drops the labels whose names match.
    LabelDrop,
}

/// Labels whose values are looked at as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLabels {
    /// Their names; `__name__` is the metric's.
    pub labels: Vec<String>,
    /// What stands between two values.
    pub separator: String,
}

/// How the replica is taken out of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// The whole drain's time; bounded by the grace period too.
    pub timeout: Duration,
    /// How long endpoints need to notice that this replica is unready.
    pub notice: Duration,
    /// Requests to the workload, in order, after the notice and before the plugin's steps.
    pub http: Vec<DrainRequest>,
    /// What stops the workload when the plugin did not; none = the runtime's own SIGTERM.
    pub signal: Option<Signal>,
}

/// One declarative step of a drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainRequest {
    /// The port.
    pub port: u16,
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
}

impl Profile {
    /// What templates see as `settings`: the profile's own and the plugin's.
    pub fn template_settings(&self) -> BTreeMap<String, serde_json::Value> {
        let mut settings = self.settings.clone();
        if let Some(plugin) = &self.plugin {
            settings.extend(plugin.settings.clone());
        }
        settings
    }

    /// The folders of all rendered files, sorted, each once. The folder with index `i` is the one
    /// that is mounted in the workload as `dirs/<i>`.
    pub fn file_dirs(&self) -> Vec<PathBuf> {
        let dirs: std::collections::BTreeSet<PathBuf> = self
            .files
            .iter()
            .filter_map(|file| file.path.parent().map(Into::into))
            .collect();
        dirs.into_iter().collect()
    }
}
