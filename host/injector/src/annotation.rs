//! What a pod asks for by its labels and annotations: every key once, each with a grammar that says what
//! it may be. A key under our prefix that is not here is refused, so that no slip stays unnoticed.

mod grammar;
mod reference;

use outrigger_profile::builtin::BUILTINS;
use outrigger_profile::{Finding, did_you_mean};
use serde_json::Value;

pub use self::grammar::Grammar;
pub use self::reference::reference;
use crate::injection::Order;
use crate::pod::Pod;

/// What every key of ours begins with.
pub const PREFIX: &str = "outrigger.dev/";

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// What follows [`PREFIX`].
    pub name: &'static str,
    /// Where it is written.
    pub place: Place,
    /// What it may be.
    pub grammar: Grammar,
    /// What holds without it.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// Where a key is written: in the metadata of the pod template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among the labels, so that the API server can choose pods by it.
    Label,
    /// Among the annotations.
    Annotation,
}

impl Place {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Annotation => "annotation",
        }
    }

    fn metadata(self) -> &'static str {
        match self {
            Self::Label => "metadata.labels",
            Self::Annotation => "metadata.annotations",
        }
    }
}

macro_rules! keys {
    ($($constant:ident = $name:literal, $place:ident, $grammar:expr, $default:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning]
        pub const $constant: Key = Key {
            name: $name,
            place: Place::$place,
            grammar: $grammar,
            default: $default,
            meaning: $meaning,
        };)*
        /// All of them, in the order of the reference.
        pub const KEYS: &[Key] = &[$($constant),*];
    };
}

keys! {
    INJECT = "inject", Label, Grammar::Bool, "no sidecar",
        "Whether the pod gets the sidecar. The API server asks the webhook for pods with this label alone.";
    ROLE = "role", Label, Grammar::Name { most: 63 }, "",
        "Written by the sidecar where it may: the replica's role, such as `leader`.";
    PROFILE = "profile", Annotation, Grammar::Name { most: 253 }, "",
        "The ConfigMap that holds the profile, in the pod's namespace. This or `workload` is needed.";
    WORKLOAD = "workload", Annotation, Grammar::Builtin, "",
        "A built-in profile, in the place of a ConfigMap.";
    REQUIRED = "required", Annotation, Grammar::Bool, "`true`",
        "With `false` a pod that cannot have the sidecar starts without it; otherwise it is refused.";
    CONTAINER = "container", Annotation, Grammar::Name { most: 63 }, "as the profile says",
        "The workload's container, where it has another name than in the profile.";
    ORDER = "order", Annotation, Grammar::Order, "first, and whoever comes later may go before it",
        "Where the sidecar stands among the init containers. With `first` it goes back to its place when others were put before it.";
    PORT = "port", Annotation, Grammar::Port, "`7070`",
        "The sidecar's pod-facing port, where another container has 7070.";
    PRE_STOP = "pre-stop", Annotation, Grammar::Bool, "`true`",
        "Whether a workload without a preStop hook gets one that drains it.";
    PROMETHEUS = "prometheus", Annotation, Grammar::Bool, "as the webhook is set",
        "Whether `prometheus.io/…` annotations tell Prometheus of the sidecar's `/metrics`.";
    IMAGE = "image", Annotation, Grammar::Image, "as the webhook is set",
        "The sidecar's image.";
    CPU_REQUEST = "cpu-request", Annotation, Grammar::Cpu, "as the webhook is set",
        "The CPU that the sidecar asks for.";
    CPU_LIMIT = "cpu-limit", Annotation, Grammar::Cpu, "as the webhook is set",
        "The CPU that the sidecar may use.";
    MEMORY_REQUEST = "memory-request", Annotation, Grammar::Memory, "as the webhook is set",
        "The memory that the sidecar asks for.";
    MEMORY_LIMIT = "memory-limit", Annotation, Grammar::Memory, "as the webhook is set, and enough for the plugin",
        "The memory that the sidecar may use.";
    LOG = "log", Annotation, Grammar::LogFilter, "as the webhook is set",
        "The sidecar's log filter.";
    OTLP_ENDPOINT = "otlp-endpoint", Annotation, Grammar::Url, "as the webhook is set",
        "Where the sidecar exports traces and metrics to over OTLP/gRPC.";
    STATUS = "status", Annotation, Grammar::Status, "",
        "Written by the injection: the version, the profile and its digest, a hash of what was injected, and what `uninject` needs to know.";
}

/// What a pod asks for: every key with its value, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    pub(crate) inject: Option<bool>,
    pub(crate) profile: Option<&'a str>,
    pub(crate) workload: Option<&'a str>,
    pub(crate) required: Option<bool>,
    pub(crate) container: Option<&'a str>,
    pub(crate) order: Order,
    pub(crate) port: Option<u16>,
    pub(crate) pre_stop: Option<bool>,
    pub(crate) prometheus: Option<bool>,
    pub(crate) image: Option<&'a str>,
    pub(crate) cpu_request: Option<&'a str>,
    pub(crate) cpu_limit: Option<&'a str>,
    pub(crate) memory_request: Option<&'a str>,
    pub(crate) memory_limit: Option<&'a str>,
    pub(crate) log: Option<&'a str>,
    pub(crate) otlp_endpoint: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// Reads all keys under our prefix.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub(crate) fn read(pod: Pod<'a>) -> Result<Self, Vec<Finding>> {
        let mut asked = Self::default();
        let mut findings = Vec::new();
        for (place, entries) in [
            (Place::Label, pod.labels()),
            (Place::Annotation, pod.annotations()),
        ] {
            for (whole, value) in entries.into_iter().flatten() {
                let Some(name) = whole.strip_prefix(PREFIX) else {
                    continue;
                };
                match check(place, name, value) {
                    Ok((key, value)) => asked.take(key, value),
                    Err(finding) => findings.push(finding),
                }
            }
        }
        if findings.is_empty() {
            Ok(asked)
        } else {
            Err(findings)
        }
    }

    fn take(&mut self, key: &Key, value: &'a str) {
        let truth = Some(value == "true");
        match key.name {
            "inject" => self.inject = truth,
            "profile" => self.profile = Some(value),
            "workload" => self.workload = Some(value),
            "required" => self.required = truth,
            "container" => self.container = Some(value),
            "order" => self.order = grammar::order(value).unwrap_or_default(),
            "port" => self.port = grammar::port(value),
            "pre-stop" => self.pre_stop = truth,
            "prometheus" => self.prometheus = truth,
            "image" => self.image = Some(value),
            "cpu-request" => self.cpu_request = Some(value),
            "cpu-limit" => self.cpu_limit = Some(value),
            "memory-request" => self.memory_request = Some(value),
            "memory-limit" => self.memory_limit = Some(value),
            "log" => self.log = Some(value),
            "otlp-endpoint" => self.otlp_endpoint = Some(value),
            // The role and the status are written by others than the author of the pod.
            _ => {}
        }
    }
}

/// One label or annotation, its key without the prefix.
///
/// # Errors
/// What is wrong with it.
pub fn check<'v>(
    place: Place,
    name: &str,
    value: &'v Value,
) -> Result<(&'static Key, &'v str), Finding> {
    let shown = cut(name);
    let at = format!("{}[\"{PREFIX}{shown}\"]", place.metadata());
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        let names = KEYS.iter().map(|key| key.name);
        let hint = if let Some(near) = did_you_mean(name, names) {
            format!("did you mean `{PREFIX}{near}`?")
        } else {
            let known: Vec<&str> = KEYS
                .iter()
                .filter(|key| key.place == place)
                .map(|key| key.name)
                .collect();
            format!("there are {}", known.join(", "))
        };
        let problem = format!("there is no {} `{PREFIX}{shown}`", place.as_str());
        return Err(Finding::error(at, problem).hint(hint));
    };
    if key.place != place {
        let problem = match key.place {
            Place::Label => format!("`{PREFIX}{name}` is a label, not an annotation"),
            Place::Annotation => format!("`{PREFIX}{name}` is an annotation, not a label"),
        };
        let hint = format!(
            "write it below {} of the pod template",
            key.place.metadata()
        );
        return Err(Finding::error(at, problem).hint(hint));
    }
    let Some(text) = value.as_str() else {
        let problem = format!("is not a text but {}", kind(value));
        return Err(Finding::error(at, problem).hint("put it into quotes"));
    };
    if !key.grammar.accepts(text) {
        let problem = format!("`{}` is not {}", cut(text), key.grammar.describe());
        let hint = if key.grammar == Grammar::Status {
            "injections write it: remove it from the pod template".to_owned()
        } else if let Some(near) = key.grammar.near(text) {
            format!("did you mean `{near}`?")
        } else {
            format!("such as {}", key.grammar.examples())
        };
        return Err(Finding::error(at, problem).hint(hint));
    }
    Ok((key, text))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// A user's text for a message: without what moves a terminal's cursor, and not too long.
pub(crate) fn cut(text: &str) -> String {
    const MOST: usize = 63;
    let mut shown: String = text
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// The names of built-in profiles.
fn builtins() -> impl Iterator<Item = &'static str> {
    BUILTINS.iter().map(|builtin| builtin.name)
}

#[cfg(test)]
mod tests;
