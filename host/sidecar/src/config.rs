//! What the sidecar is told from outside: its environment, parsed once into a [`Config`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use outrigger_peers::{Identity, Ordinal, ReplicaName};
use outrigger_profile::builtin::{BUILTIN_PREFIX, builtin, no_builtin_hint};
use outrigger_profile::env::{self, EnvVar};
use outrigger_profile::{Finding, Findings, Profile, parse_span};
use serde_json::Value;

use crate::limits;

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

/// A shared secret that never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether this was presented; takes the same time wherever the first difference is.
    pub fn matches(&self, presented: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), presented.as_bytes());
        let mut difference = own.len() ^ other.len();
        for (index, byte) in own.iter().enumerate() {
            difference |= usize::from(byte ^ other.get(index).copied().unwrap_or(0));
        }
        difference == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Config {
    /// Reads the environment through `read`. Variables that are set to nothing count as unset, as in
    /// Kubernetes an optional reference leaves them.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_env(read: &dyn Fn(&str) -> Option<String>) -> Result<Self, Findings> {
        let mut reader = Reader {
            read,
            findings: Vec::new(),
        };
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
        let pre_stop_token = reader.text(env::PRE_STOP_TOKEN).map(Token);
        let local = reader
            .text(env::LOCAL)
            .map(|text| reader.absolute(env::LOCAL, text));
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

fn parse_u32(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|error| format!("`{text}` is no ordinal: {error}"))
}

fn parse_replicas(text: &str) -> Result<u32, String> {
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

/// Reads variables and gathers what is wrong with them.
struct Reader<'a> {
    read: &'a dyn Fn(&str) -> Option<String>,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn text(&self, variable: EnvVar) -> Option<String> {
        (self.read)(variable.name).filter(|text| !text.is_empty())
    }

    fn fault(&mut self, variable: EnvVar, problem: impl fmt::Display, hint: &str) {
        self.findings
            .push(Finding::error(variable.name, problem.to_string()).hint(hint));
    }

    fn optional<T, E: fmt::Display>(
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

    fn required<T, E: fmt::Display>(
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

    fn dns_name(&mut self, variable: EnvVar, default: &str) -> String {
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

    fn folder(&mut self, variable: EnvVar, default: &str) -> PathBuf {
        match self.text(variable) {
            Some(text) => self.absolute(variable, text),
            None => PathBuf::from(default),
        }
    }

    /// The built-in profile that is asked for, or else the profile's folder.
    fn profile(&mut self) -> PathBuf {
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

    fn absolute(&mut self, variable: EnvVar, text: String) -> PathBuf {
        let path = PathBuf::from(text);
        if !path.is_absolute() {
            let problem = format!("`{}` is not an absolute path", path.display());
            self.fault(variable, problem, "start it with `/`");
        }
        path
    }

    fn volumes(&mut self) -> BTreeMap<String, VolumeConfig> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Config, Findings> {
        let variables: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Config::from_env(&|name| variables.get(name).cloned())
    }

    #[test]
    fn a_pod_name_alone_is_enough() {
        let config = from(&[("POD_NAME", "agdb-2")]).unwrap();
        assert_eq!(config.identity.ordinal, Ordinal(2));
        assert_eq!(
            config.identity.host_of(Ordinal(0)),
            "agdb-0.agdb.default.svc.cluster.local"
        );
        assert_eq!(config.desired, None);
        assert_eq!(config.pod_management, PodManagement::OrderedReady);
        assert_eq!(config.grace_period, Duration::from_secs(30));
        assert_eq!(config.workload_host, "127.0.0.1");
        assert_eq!(config.listen.to_string(), "[::]:7070");
        assert_eq!(
            config.dirs.profile_file(),
            Path::new("/etc/outrigger/profile/outrigger.yaml")
        );
    }

    #[test]
    fn everything_that_is_set_is_taken() {
        let config = from(&[
            ("POD_NAME", "db-7"),
            ("POD_NAMESPACE", "prod"),
            ("POD_IP", "fd00::7"),
            ("POD_UID", "u-1"),
            ("OUTRIGGER_SERVICE", "db-headless"),
            ("OUTRIGGER_CLUSTER_DOMAIN", "k8s.example"),
            ("OUTRIGGER_REPLICAS", "3"),
            ("OUTRIGGER_ORDINALS_START", "5"),
            ("OUTRIGGER_POD_MANAGEMENT", "Parallel"),
            ("OUTRIGGER_GRACE_PERIOD", "1m30s"),
            (
                "OUTRIGGER_VOLUMES",
                r#"{"data":{"path":"/data","sidecar-path":"/volumes/data","bytes":1073741824},"tmp":{"path":"/tmp"}}"#,
            ),
            ("OUTRIGGER_LISTEN", "127.0.0.1:9000"),
            ("OUTRIGGER_LOG_FORMAT", "json"),
        ])
        .unwrap();
        assert_eq!(config.start, Ordinal(5));
        assert_eq!(config.desired, Some(3));
        assert_eq!(config.pod_management, PodManagement::Parallel);
        assert_eq!(config.grace_period, Duration::from_secs(90));
        assert_eq!(config.workload_host, "fd00::7");
        assert_eq!(config.volumes["data"].bytes, Some(1 << 30));
        assert_eq!(config.volumes["tmp"].sidecar_path, PathBuf::from("/tmp"));
        assert_eq!(
            config.identity.service_host(),
            "db-headless.prod.svc.k8s.example"
        );
        assert_eq!(config.env["OUTRIGGER_REPLICAS"], "3");
    }

    #[test]
    fn all_problems_are_told_at_once_each_with_its_variable_and_a_hint() {
        let findings = from(&[
            ("POD_NAMESPACE", "Prod_1"),
            ("POD_IP", "ten"),
            ("OUTRIGGER_REPLICAS", "5000"),
            ("OUTRIGGER_POD_MANAGEMENT", "parallel"),
            ("OUTRIGGER_GRACE_PERIOD", "30"),
            ("OUTRIGGER_FILES_DIR", "run"),
            (
                "OUTRIGGER_VOLUMES",
                r#"{"data":{"path":"data"},"more":{"path":"/m","size":1}}"#,
            ),
            ("OUTRIGGER_LISTEN", "7070"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ])
        .unwrap_err();
        let places: Vec<&str> = findings.0.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(
            places,
            [
                "POD_NAME",
                "POD_NAMESPACE",
                "POD_IP",
                "OUTRIGGER_REPLICAS",
                "OUTRIGGER_POD_MANAGEMENT",
                "OUTRIGGER_GRACE_PERIOD",
                "OUTRIGGER_FILES_DIR",
                "OUTRIGGER_VOLUMES",
                "OUTRIGGER_VOLUMES",
                "OUTRIGGER_LISTEN",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
            ]
        );
        assert!(findings.0.iter().all(|finding| finding.hint.is_some()));
    }

    #[test]
    fn a_start_above_the_own_ordinal_is_refused() {
        let findings =
            from(&[("POD_NAME", "db-1"), ("OUTRIGGER_ORDINALS_START", "5")]).unwrap_err();
        assert_eq!(
            findings.0[0].problem,
            "the first ordinal is 5, above this pod's own, db-1"
        );
    }

    #[test]
    fn the_token_shows_neither_in_debug_output_nor_among_the_variables_of_templates() {
        let config = from(&[
            ("POD_NAME", "db-0"),
            ("OUTRIGGER_PRE_STOP_TOKEN", "hush-hush"),
        ])
        .unwrap()
        .with_env([
            (
                "OUTRIGGER_PRE_STOP_TOKEN".to_owned(),
                "hush-hush".to_owned(),
            ),
            ("ZONE".to_owned(), "a".to_owned()),
            ("POD_NAME".to_owned(), "other-9".to_owned()),
        ]);
        assert!(!format!("{config:?}").contains("hush-hush"));
        assert_eq!(config.env["ZONE"], "a");
        assert_eq!(config.env["POD_NAME"], "db-0");
        let token = config.pre_stop_token.unwrap();
        assert!(token.matches("hush-hush"));
        for wrong in ["", "hush-hus", "hush-hush!", "Hush-hush"] {
            assert!(!token.matches(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_built_in_profile_stands_in_for_the_folder() {
        let config = from(&[
            ("POD_NAME", "agdb-0"),
            ("OUTRIGGER_PROFILE", "builtin:agdb"),
        ]);
        assert_eq!(config.unwrap().dirs.profile, Path::new("builtin:agdb"));
        for (text, problem, hint) in [
            (
                "builtin:agbd",
                "there is no built-in profile `agbd`",
                "did you mean `agdb`?",
            ),
            (
                "agdb",
                "`agdb` is no built-in profile",
                "write `builtin:` and a name, such as `builtin:agdb`",
            ),
        ] {
            let found = from(&[("POD_NAME", "agdb-0"), ("OUTRIGGER_PROFILE", text)]).unwrap_err();
            assert_eq!(found.0[0].problem, problem);
            assert_eq!(found.0[0].hint.as_deref(), Some(hint));
        }
    }
}
