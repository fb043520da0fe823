//! From the raw document to a [`Profile`]: what each key means, all findings at once.
//!
//! Where something is wrong, the conversion goes on with a value in its place; [`crate::parse`] gives no
//! profile out while there is an error.

mod discovery;
mod drain;
mod files;
mod health;
mod metrics;
mod plugin;
mod relabel;
mod trial;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::document::path;
use crate::structure::cut;
use crate::{
    EnvValue, Finding, Method, Plugin, Profile, SecretSource, Signal, Start, WaitFor, Workload,
    defaults, did_you_mean, parse_span, raw, show_span,
};

/// Converts, and tells everything that is wrong. Findings have paths and no lines yet.
pub(crate) fn convert(root: raw::Root, declared: Declared) -> (Profile, Vec<Finding>) {
    let spec = root.spec.unwrap_or_default();
    let raw_workload = spec.workload.unwrap_or_default();
    let ports: BTreeMap<String, u16> = raw_workload
        .ports
        .unwrap_or_default()
        .into_iter()
        .map(|(name, number)| (name, number.0))
        .collect();
    let mut convert = Convert {
        ports,
        secrets: BTreeMap::new(),
        declared,
        findings: Vec::new(),
    };
    let name = root.metadata.unwrap_or_default().name;
    let name = convert.name("metadata.name", name, 253);
    let workload = convert.workload(raw_workload.container);
    convert.secrets = convert.secrets(spec.secrets);
    let plugin = spec.plugin.map(|plugin| convert.plugin(plugin));
    let discovery = convert.discovery(spec.discovery.unwrap_or_default());
    let related = convert.related(spec.related.unwrap_or_default());
    let settings = convert.settings(spec.settings.unwrap_or_default(), plugin.as_ref());
    let files = convert.files(spec.files.unwrap_or_default(), plugin.is_some());
    let env = convert.env(spec.env.unwrap_or_default());
    let start = convert.start(&spec.start.unwrap_or_default());
    let health = convert.health(spec.health.unwrap_or_default(), &start, plugin.is_some());
    let metrics = convert.metrics(spec.metrics.unwrap_or_default());
    let drain = convert.drain(spec.drain.unwrap_or_default());
    let trial = convert.trial(&spec.trial.unwrap_or_default());
    let profile = Profile {
        name,
        workload,
        plugin,
        discovery,
        related,
        settings,
        files,
        env,
        secrets: convert.secrets,
        start,
        health,
        metrics,
        drain,
        trial,
    };
    (profile, convert.findings)
}

/// Names that the document declares, whatever else is wrong with them: a wrong declaration is told
/// once, where it stands, and not with each use.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub ports: Vec<String>,
    pub secrets: Vec<String>,
}

struct Convert {
    declared: Declared,
    ports: BTreeMap<String, u16>,
    secrets: BTreeMap<String, SecretSource>,
    findings: Vec<Finding>,
}

/// What a name must be like, for hints.
const NAME_HINT: &str =
    "use lower-case letters, digits and dashes, with a letter or digit at both ends";

impl Convert {
    fn error(
        &mut self,
        at: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.findings.push(Finding::error(at, problem).hint(hint));
    }

    fn warning(
        &mut self,
        at: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.findings.push(Finding::warning(at, problem).hint(hint));
    }

    /// A name of a Kubernetes object (with dots, 253) or of a part of one (63, ports 15).
    /// An absent one has been told by the structural check.
    fn name(&mut self, at: &str, name: Option<String>, most: usize) -> String {
        let Some(name) = name else {
            return String::new();
        };
        let label = |label: &str| {
            let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = label.as_bytes();
            edge(bytes.first())
                && edge(bytes.last())
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        };
        let right = if most > 63 {
            name.split('.').all(label)
        } else {
            label(&name)
        };
        if !right {
            self.error(at, format!("`{}` is not a name", cut(&name)), NAME_HINT);
        } else if name.len() > most {
            self.error(
                at,
                format!("the name has more than {most} characters"),
                "shorten it",
            );
        }
        name
    }

    fn span(
        &mut self,
        at: &str,
        written: Option<&raw::Span>,
        default: Duration,
        range: (Duration, Duration),
    ) -> Duration {
        let Some(raw::Span(text)) = written else {
            return default;
        };
        match parse_span(text) {
            Err(error) => {
                let hint = if text.trim().parse::<f64>().is_ok() {
                    format!("give it its unit: {}s", text.trim())
                } else {
                    "units are ms, s, m and h, in whole numbers".to_owned()
                };
                self.error(at, error.to_string(), hint);
                default
            }
            Ok(span) if span < range.0 || span > range.1 => {
                let (low, high) = (show_span(range.0), show_span(range.1));
                self.error(
                    at,
                    format!("{text} is not within {low} and {high}"),
                    format!("the default is {}", show_span(default)),
                );
                default
            }
            Ok(span) => span,
        }
    }

    fn port(&mut self, at: &str, port: Option<raw::PortRef>) -> u16 {
        match port {
            None => 0,
            Some(raw::PortRef::Number(number)) => number,
            Some(raw::PortRef::Name(name)) => self.port_name(at, &name),
        }
    }

    fn port_name(&mut self, at: &str, name: &str) -> u16 {
        if let Some(number) = self.ports.get(name) {
            return *number;
        }
        if self.declared.ports.iter().any(|declared| declared == name) {
            return 0;
        }
        let number = name.parse::<u16>().ok().filter(|number| *number > 0);
        let meant = match number {
            Some(number) => self
                .ports
                .iter()
                .find(|(_, known)| **known == number)
                .map(|(name, _)| name.as_str()),
            None => did_you_mean(name, self.declared.ports.iter().map(String::as_str)),
        };
        let hint = match (meant, number) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, Some(number)) => {
                format!("give the port a name: add `api: {number}` to spec.workload.ports")
            }
            (None, None) => format!(
                "add it to spec.workload.ports, such as `{}: 8080`",
                cut(name)
            ),
        };
        self.error(at, format!("there is no port `{}`", cut(name)), hint);
        0
    }

    /// The path of a request.
    fn request_path(&mut self, at: &str, path: Option<String>, default: &str) -> String {
        let Some(path) = path else {
            return default.to_owned();
        };
        let shown = cut(&path);
        if !path.starts_with('/') {
            let better = cut(path.trim_start_matches("./")).replace(' ', "%20");
            self.error(
                at,
                format!("the path `{shown}` does not begin with a slash"),
                format!("write /{better}"),
            );
        } else if !path.bytes().all(|b| b.is_ascii_graphic()) || path.contains(['#', '\\']) {
            self.error(
                at,
                format!("the path `{shown}` holds a character that no request may have"),
                "escape it with %",
            );
        }
        path
    }

    fn workload(&mut self, container: Option<String>) -> Workload {
        let names: Vec<String> = self.ports.keys().cloned().collect();
        let mut seen: BTreeMap<u16, String> = BTreeMap::new();
        for name in names {
            let at = path::key("spec.workload.ports", &name);
            let number = self.ports.get(&name).copied().unwrap_or_default();
            if name.bytes().any(|b| b.is_ascii_lowercase()) {
                self.name(&at, Some(name.clone()), 15);
            } else {
                self.error(
                    &at,
                    format!("`{}` is not a port's name", cut(&name)),
                    "use lower-case letters, digits and dashes, and at least one letter",
                );
            }
            if number == 7070 {
                self.error(
                    &at,
                    "port 7070 is the sidecar's own",
                    "let the workload listen on another port",
                );
            }
            if let Some(other) = seen.insert(number, name) {
                self.warning(
                    &at,
                    format!("port {number} is `{other}` too"),
                    "one name is enough",
                );
            }
        }
        Workload {
            container: self.name("spec.workload.container", container, 63),
            ports: self.ports.clone(),
        }
    }

    fn secrets(&mut self, secrets: Option<raw::Secrets>) -> BTreeMap<String, SecretSource> {
        const AT: &str = "spec.secrets";
        let mut sources = BTreeMap::new();
        match secrets {
            None => {}
            Some(raw::Secrets::Names(names)) => {
                for (index, name) in names.into_iter().enumerate() {
                    let at = path::item(AT, index);
                    let secret = self.name(&at, Some(name.clone()), 253);
                    let source = SecretSource {
                        secret,
                        optional: false,
                    };
                    if sources.insert(name, source).is_some() {
                        self.error(at, "this secret stands twice", "remove one of the two");
                    }
                }
            }
            Some(raw::Secrets::Sources(map)) => {
                for (name, source) in map {
                    let at = path::key(AT, &name);
                    let source = source.unwrap_or_default();
                    let secret = match source.secret {
                        Some(secret) => self.name(&path::key(&at, "secret"), Some(secret), 253),
                        None => self.name(&at, Some(name.clone()), 253),
                    };
                    let optional = source.optional.unwrap_or(false);
                    sources.insert(name, SecretSource { secret, optional });
                }
            }
        }
        sources
    }

    fn env(&mut self, env: BTreeMap<String, String>) -> BTreeMap<String, EnvValue> {
        env.into_iter()
            .map(|(name, template)| {
                let mut bytes = name.bytes();
                let first = bytes
                    .next()
                    .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
                if !first || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    self.error(
                        path::key("spec.env", &name),
                        format!("`{}` is not a variable's name", cut(&name)),
                        "use letters, digits and underscores, without a digit at the start",
                    );
                }
                (name, EnvValue { template })
            })
            .collect()
    }

    /// Templates see the plugin's settings under the same name, so that none may stand in both.
    fn settings(
        &mut self,
        settings: BTreeMap<String, serde_json::Value>,
        plugin: Option<&Plugin>,
    ) -> BTreeMap<String, serde_json::Value> {
        let plugins = plugin.map(|plugin| &plugin.settings);
        for name in settings.keys() {
            if plugins.is_some_and(|plugins| plugins.contains_key(name)) {
                self.error(
                    path::key("spec.settings", name),
                    format!("`{}` is one of the plugin's settings too", cut(name)),
                    "remove one of the two: templates see both as `settings`",
                );
            }
        }
        settings
    }

    fn start(&mut self, start: &raw::Start) -> Start {
        let range = (Duration::from_secs(1), Duration::from_hours(1));
        Start {
            cap: self.span(
                "spec.start.cap",
                start.cap.as_ref(),
                defaults::START_CAP,
                range,
            ),
            wait_for: match start.wait_for.unwrap_or(raw::WaitFor::Nobody) {
                raw::WaitFor::Nobody => WaitFor::Nobody,
                raw::WaitFor::Own => WaitFor::Own,
                raw::WaitFor::Majority => WaitFor::Majority,
                raw::WaitFor::All => WaitFor::All,
                raw::WaitFor::Earlier => WaitFor::Earlier,
            },
        }
    }
}

fn method(method: raw::Method) -> Method {
    match method {
        raw::Method::Get => Method::Get,
        raw::Method::Head => Method::Head,
        raw::Method::Post => Method::Post,
        raw::Method::Put => Method::Put,
        raw::Method::Delete => Method::Delete,
        raw::Method::Patch => Method::Patch,
    }
}

fn signal(signal: raw::Signal) -> Signal {
    match signal {
        raw::Signal::Hup => Signal::Hup,
        raw::Signal::Int => Signal::Int,
        raw::Signal::Quit => Signal::Quit,
        raw::Signal::Term => Signal::Term,
        raw::Signal::Usr1 => Signal::Usr1,
        raw::Signal::Usr2 => Signal::Usr2,
    }
}
