//! Whether this replica is well: built-in checks and the plugin's verdict, counted as the kubelet
//! counts, with each reason and whose it is.
//!
//! [`Core`] decides and is pure; [`run`] asks, feeds it and publishes what it says.

use std::collections::BTreeMap;
use std::fmt;

use outrigger_plugin_host::Scope;
use serde::{Serialize, Serializer};

pub mod check;
mod core;
mod gate;
mod outcome;
mod runner;
mod threshold;
mod told;
mod verdicts;

pub use self::core::{Core, Looked, ProbeState};
pub use self::gate::start_gate;
pub use self::outcome::{Asked, Outcome, Remembered, outcome};
pub use self::runner::{HealthSetup, initial, run};
pub use self::threshold::Threshold;
pub use self::verdicts::Verdicts;

/// How this replica is. What `/startup`, `/ready` and `/live` answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HealthReport {
    /// Whether the workload may start: its configuration is in place.
    pub start: ProbeReport,
    /// Whether the workload has started; readiness and liveness wait for it.
    pub startup: ProbeReport,
    /// Whether the replica should be in service.
    pub readiness: ProbeReport,
    /// Whether the workload should be restarted; never depends on other replicas.
    pub liveness: ProbeReport,
    /// The replica's role now.
    pub role: Option<String>,
    /// What the plugin saw, for the status page.
    pub attrs: BTreeMap<String, String>,
    /// When the plugin last gave a verdict that could be used, in milliseconds since the Unix epoch.
    pub verdict_unix_ms: Option<u64>,
}

/// How one probe stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeReport {
    /// Whether it passes.
    pub pass: bool,
    /// What there is to say, most important first; those that do not count are among them.
    pub reasons: Vec<ProbeReason>,
    /// When it was last looked at, in milliseconds since the Unix epoch; none = not yet.
    pub checked_unix_ms: Option<u64>,
}

impl ProbeReport {
    /// One that passes without a word.
    pub fn passing() -> Self {
        Self {
            pass: true,
            ..Self::default()
        }
    }

    /// One that fails for a reason of Outrigger's own.
    pub fn failing(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pass: false,
            reasons: vec![ProbeReason::outrigger(code, message)],
            checked_unix_ms: None,
        }
    }
}

/// One thing there is to say of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeReason {
    /// Whose.
    pub scope: ReasonScope,
    /// A stable word.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Whether it holds the probe back now.
    pub counts: bool,
}

impl ProbeReason {
    /// A reason of Outrigger's own that counts.
    pub fn outrigger(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            scope: ReasonScope::Outrigger,
            code: code.into(),
            message: message.into(),
            counts: true,
        }
    }

    /// The same without counting: something that people should know.
    #[must_use]
    pub fn note(mut self) -> Self {
        self.counts = false;
        self
    }
}

impl fmt::Display for ProbeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.message, self.scope, self.code)
    }
}

/// Whose reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonScope {
    /// The replica's own.
    Own,
    /// The cluster's.
    Cluster,
    /// The sidecar's: a gate, a drain, a plugin that fails.
    Outrigger,
}

impl ReasonScope {
    /// The word that answers and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Cluster => "cluster",
            Self::Outrigger => "outrigger",
        }
    }
}

impl fmt::Display for ReasonScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonScope {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl From<Scope> for ReasonScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Own => Self::Own,
            Scope::Cluster => Self::Cluster,
        }
    }
}
