//! What the sidecar is told from outside: its environment, parsed once into a [`Config`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use outrigger_peers::{Identity, Ordinal, ReplicaName};
use outrigger_profile::env;
use outrigger_profile::{Finding, Findings, Profile, parse_span};

mod reader;
mod token;

use self::reader::{Reader, parse_replicas, parse_u32};
pub use self::token::Token;

/// Everything that the environment says, with every default filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which replica this is.
    pub identity: Identity,
    /// The StatefulSet's first ordinal.
    pub start: Ordinal,
    /// How many replicas the StatefulSet wants, where the environment tells; the profile's
    /// `discovery.replicas` and the local mode have precedence.
    pub desired: Option<u32>,
    /// In which order replicas come.
    pub pod_management: PodManagement,
    /// The pod's termination grace period.
    pub grace_period: Duration,
    /// The folders.
    pub dirs: Dirs,
    /// The pod's volumes by name.
    pub volumes: BTreeMap<String, VolumeConfig>,
    /// The address or name of this replica's own workload.
    pub workload_host: String,
    /// The address of the pod-facing server.
    pub listen: SocketAddr,
    /// What the workload's preStop hook must present; without one the hook is refused.
    pub pre_stop_token: Option<Token>,
    /// The folder with `cluster.json` and `hub.sock`, under `outrigger up`.
    pub local: Option<PathBuf>,
    /// The file that takes how the sidecar ended; none under `outrigger up`, where the machine's own is
    /// nobody's to write.
    pub termination_log: Option<PathBuf>,
    /// The log filter.
    pub log_filter: String,
    /// How log lines look; none = text on a terminal, JSON otherwise.
    pub log_format: Option<LogFormat>,
    /// Where traces and metrics are exported to.
    pub otlp_endpoint: Option<String>,
    /// What templates see as `env`: this replica's own facts, and what [`Config::with_env`] added.
    pub env: BTreeMap<String, String>,
}

/// The folders of the sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Holds `outrigger.yaml` and the templates; `builtin:<name>` for one that ships inside the program.
    pub profile: PathBuf,
    /// Holds one folder for each Secret.
    pub secrets: PathBuf,
    /// The shared volume into which rendered files are put.
    pub files: PathBuf,
    /// The sidecar's own folder.
    pub state: PathBuf,
}

impl Dirs {
    /// The profile's document.
    pub fn profile_file(&self) -> PathBuf {
        self.profile.join("outrigger.yaml")
    }
}

/// One volume of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeConfig {
    /// Where the workload sees it.
    pub path: PathBuf,
    /// Where the sidecar sees it.
    pub sidecar_path: PathBuf,
    /// Its capacity as the claim asks for it; none = as the file system tells.
    pub bytes: Option<u64>,
}

/// In which order the StatefulSet's controller starts replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodManagement {
    /// Ordinal n+1 does not exist before n is ready.
    #[default]
    OrderedReady,
    /// All at once.
    Parallel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object each.
    Json,
    /// For people.
    Text,
}

impl Config {
    /// Reads the environment through `read`. Variables that are set to nothing count as unset, as in
    /// Kubernetes an optional reference leaves them.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_env(read: &dyn Fn(&str) -> Option<String>) -> Result<Self, Findings> {
        let mut reader = Reader::new(read);
        let name = reader.required(
            env::POD_NAME,
            "set it from the downward API: `valueFrom.fieldRef.fieldPath: metadata.name`",
            str::parse::<ReplicaName>,
        );
        let namespace = reader.dns_name(env::POD_NAMESPACE, "default");
        let service = reader
            .text(env::SERVICE)
            .or_else(|| name.as_ref().map(|name| name.stateful_set.clone()));
        let cluster_domain = reader.dns_name(env::CLUSTER_DOMAIN, "cluster.local");
        let ip = reader.optional(
            env::POD_IP,
            "an address such as 10.0.0.7: set it from the downward API, `fieldPath: status.podIP`",
            |text| text.parse::<IpAddr>().map_err(|error| error.to_string()),
        );
        let start = reader
            .optional(env::ORDINALS_START, "a number such as 0", parse_u32)
            .map_or(Ordinal(0), Ordinal);
        let desired = reader.optional(env::REPLICAS, "a number such as 3", parse_replicas);
        let pod_management = reader
            .optional(
                env::POD_MANAGEMENT,
                "`OrderedReady` or `Parallel`, as the StatefulSet's `podManagementPolicy`",
                |text| match text {
                    "OrderedReady" => Ok(PodManagement::OrderedReady),
                    "Parallel" => Ok(PodManagement::Parallel),
                    other => Err(format!("`{other}` is no pod management policy")),
                },
            )
            .unwrap_or_default();
        let grace_period = reader
            .optional(env::GRACE_PERIOD, "a span such as 30s", parse_span)
            .unwrap_or(Duration::from_secs(30));
        let dirs = Dirs {
            profile: reader.profile(),
            secrets: reader.folder(env::SECRETS_DIR, "/etc/outrigger/secrets"),
            files: reader.folder(env::FILES_DIR, "/run/outrigger"),
            state: reader.folder(env::STATE_DIR, "/var/lib/outrigger"),
        };
        let volumes = reader.volumes();
        let workload_host = reader.text(env::WORKLOAD_HOST).unwrap_or_else(|| {
            ip.map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string())
        });
        let listen = reader
            .optional(
                env::LISTEN,
                "an address with a port, such as `[::]:7070` or `127.0.0.1:7070`",
                |text| {
                    text.parse::<SocketAddr>()
                        .map_err(|error| format!("`{text}`: {error}"))
                },
            )
            .unwrap_or_else(|| SocketAddr::from(([0_u16; 8], 7070)));
        let pre_stop_token = reader.text(env::PRE_STOP_TOKEN).map(Token::new);
        let local = reader
            .text(env::LOCAL)
            .map(|text| reader.absolute(env::LOCAL, text));
        let termination_log = match (reader.text(env::TERMINATION_LOG), &local) {
            (Some(text), _) => Some(reader.absolute(env::TERMINATION_LOG, text)),
            (None, None) => Some(PathBuf::from("/dev/termination-log")),
            (None, Some(_)) => None,
        };
        let log_filter = reader.text(env::LOG).unwrap_or_else(|| "info".to_owned());
        let log_format = reader.optional(
            env::LOG_FORMAT,
            "`json` or `text`, or leave it unset",
            |text| match text {
                "json" => Ok(LogFormat::Json),
                "text" => Ok(LogFormat::Text),
                other => Err(format!("`{other}` is no log format")),
            },
        );
        let otlp_endpoint = reader.optional(
            env::OTLP_ENDPOINT,
            "a URL such as `http://collector:4317`",
            |text| {
                if text.starts_with("http://") || text.starts_with("https://") {
                    Ok(text.to_owned())
                } else {
                    Err(format!("`{text}` is not an http or https URL"))
                }
            },
        );
        let uid = reader.text(env::POD_UID).unwrap_or_default();
        if let Some(name) = &name
            && name.ordinal < start
        {
            reader.findings.push(
                Finding::error(
                    env::ORDINALS_START.name,
                    format!("the first ordinal is {start}, above this pod's own, {name}"),
                )
                .hint("it must equal the StatefulSet's `spec.ordinals.start`"),
            );
        }
        let (Some(name), Some(service), true) = (name, service, reader.findings.is_empty()) else {
            return Err(Findings(reader.findings));
        };
        let identity = Identity {
            stateful_set: name.stateful_set,
            ordinal: name.ordinal,
            namespace,
            service,
            cluster_domain,
            ip,
            uid,
        };
        Ok(Self {
            env: own_facts(&identity, desired),
            identity,
            start,
            desired,
            pod_management,
            grace_period,
            dirs,
            volumes,
            workload_host,
            listen,
            pre_stop_token,
            local,
            termination_log,
            log_filter,
            log_format,
            otlp_endpoint,
        })
    }

    /// The same with more variables for templates. This replica's own facts have precedence, and the
    /// pre-stop token is never among them.
    #[must_use]
    pub fn with_env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in variables {
            if name != env::PRE_STOP_TOKEN.name {
                self.env.entry(name).or_insert(value);
            }
        }
        self
    }

    /// This replica under a profile, whose `discovery.service` has precedence over the environment's.
    pub fn identity_under(&self, profile: &Profile) -> Identity {
        let mut identity = self.identity.clone();
        if let Some(service) = &profile.discovery.service {
            identity.service.clone_from(service);
        }
        identity
    }
}

/// The variables that templates see whatever else is set.
fn own_facts(identity: &Identity, desired: Option<u32>) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        (env::POD_NAME.name.to_owned(), identity.pod()),
        (
            env::POD_NAMESPACE.name.to_owned(),
            identity.namespace.clone(),
        ),
        (env::SERVICE.name.to_owned(), identity.service.clone()),
        (
            env::CLUSTER_DOMAIN.name.to_owned(),
            identity.cluster_domain.clone(),
        ),
    ]);
    if let Some(ip) = identity.ip {
        facts.insert(env::POD_IP.name.to_owned(), ip.to_string());
    }
    if !identity.uid.is_empty() {
        facts.insert(env::POD_UID.name.to_owned(), identity.uid.clone());
    }
    if let Some(desired) = desired {
        facts.insert(env::REPLICAS.name.to_owned(), desired.to_string());
    }
    facts
}

#[cfg(test)]
mod tests;
