//! What plugins answer and what they are asked, as plain values: the WIT interfaces' records without
//! anything of the engine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use outrigger_peers::PeerSet;
use serde::{Serialize, Serializer};

mod batch;

pub use batch::{Batch, BatchBuilder, BatchProblem, Family, MetricKind, Sample};

/// Which probe is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Has the workload started?
    Startup,
    /// Should it be in service?
    Readiness,
    /// Should it be restarted?
    Liveness,
}

impl Probe {
    /// The word that status and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Well.
    Pass,
    /// Works, with something that people should know.
    Degraded,
    /// Does not work.
    Fail,
    /// Cannot be told now.
    Unknown,
}

/// Whose reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Scope {
    /// The replica's own.
    #[serde(rename = "self")]
    Own,
    /// The cluster's.
    #[serde(rename = "cluster")]
    Cluster,
}

impl Scope {
    /// The word that status and metrics use: `self` or `cluster`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Cluster => "cluster",
        }
    }
}

/// One reason of a verdict that is not [`Status::Pass`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Whose.
    pub scope: Scope,
    /// A stable word: 1 to 64 lower-case letters, digits and dashes.
    pub code: String,
    /// One sentence for people, at most 2,048 bytes.
    pub message: String,
}

/// A plugin's answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// How the workload is.
    pub status: Status,
    /// Why it is not well, most important first; at most 32.
    pub reasons: Vec<Reason>,
    /// Its role now, where it has one.
    pub role: Option<String>,
    /// What was seen, for the status page.
    pub attrs: BTreeMap<String, String>,
    /// When to look again, in milliseconds; none = the probe's period.
    #[serde(serialize_with = "option_millis")]
    pub next_check: Option<Duration>,
}

/// What the workload's configuration should say about its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Values for templates, as `plugin.<key>`.
    pub outputs: BTreeMap<String, String>,
    /// The hosts that this replica should join, best first.
    pub seeds: Vec<String>,
    /// Whether a start now would be safe.
    pub may_start: bool,
    /// Why not, or why so.
    pub reason: String,
}

/// One rendered file, or the rendered environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// Its absolute path in the workload, or [`Artifact::ENV`].
    pub path: String,
    /// Its bytes.
    #[serde(skip)]
    pub content: Vec<u8>,
}

impl Artifact {
    /// The path of the rendered environment, lines of `NAME='value'`: no file's, which are absolute.
    pub const ENV: &str = "env";
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiagnosticSeverity {
    /// Shown; the set is put in place.
    Warning,
    /// The old set stays.
    Error,
}

/// What is wrong with an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad.
    pub severity: DiagnosticSeverity,
    /// The artifact's path.
    pub artifact: String,
    /// The line, from 1; 0 = the whole file.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.artifact)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why a replica is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainReason {
    /// Fewer replicas are wanted.
    ScaleDown,
    /// The replicas are restarted one after the other.
    RollingUpdate,
    /// The node is emptied.
    NodeDrain,
    /// New configuration needs a restart of the workload.
    ConfigChange,
    /// Somebody asked for it.
    Manual,
    /// Not known.
    Unknown,
}

impl DrainReason {
    /// The word that status and timeline use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScaleDown => "scale-down",
            Self::RollingUpdate => "rolling-update",
            Self::NodeDrain => "node-drain",
            Self::ConfigChange => "config-change",
            Self::Manual => "manual",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for DrainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one drain call is told.
#[derive(Debug, Clone)]
pub struct DrainContext {
    /// Why the replica is drained.
    pub reason: DrainReason,
    /// How much of the one deadline is left.
    pub remaining: Duration,
    /// How much of it has passed.
    pub elapsed: Duration,
    /// 0 for the first call of this drain, then one more with each.
    pub attempt: u32,
    /// The replicas now.
    pub now: Arc<PeerSet>,
}

/// What the host does after one drain call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Next {
    /// The workload may be stopped now.
    Done,
    /// Call again after this time (milliseconds where serialised).
    #[serde(serialize_with = "millis")]
    AgainIn(Duration),
    /// Cannot go on; the workload is stopped all the same.
    Failed(Failure),
}

/// The answer to one drain call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What the host does.
    pub next: Next,
    /// What was done or is waited for: one line of the timeline; empty = nothing new.
    pub note: String,
}

/// What kind of failure it is: the host decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Settings, profile or configuration are wrong: trying again is useless.
    InvalidConfig,
    /// Not reachable or not yet there: trying again may help.
    Unavailable,
    /// The profile does not grant it.
    Denied,
    /// This plugin or this host does not do that.
    Unsupported,
    /// The state of the cluster forbids it now.
    Conflict,
    /// A limit was reached.
    Limit,
    /// A fault in the plugin or the host.
    Internal,
}

impl FailureKind {
    /// The word of the WIT.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid-config",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Conflict => "conflict",
            Self::Limit => "limit",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed act, told by a plugin or to a plugin. An answer, not a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[error("{message}")]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// One sentence for people, at most 2,048 bytes.
    pub message: String,
    /// When trying again may help, in milliseconds; none = the host's own back-off.
    #[serde(serialize_with = "option_millis")]
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without a time for trying again.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }
}

/// An optional interface that a plugin may export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// `discovery`: plans.
    Discovery,
    /// `templating`: renders and validates files.
    Templating,
    /// `health`: verdicts.
    Health,
    /// `metrics`: derived series.
    Metrics,
    /// `lifecycle`: drains.
    Lifecycle,
    /// `handover`: between two generations.
    Handover,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Discovery,
        Self::Templating,
        Self::Health,
        Self::Metrics,
        Self::Lifecycle,
        Self::Handover,
    ];

    /// The name in the WIT package.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Templating => "templating",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Lifecycle => "lifecycle",
            Self::Handover => "handover",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Milliseconds, the unit of every span of time in JSON.
pub(crate) fn millis<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// Milliseconds or null.
#[expect(
    clippy::ref_option,
    reason = "serde's `serialize_with` hands over a reference to the field"
)]
pub(crate) fn option_millis<S: Serializer>(
    span: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => millis(span, to),
        None => to.serialize_none(),
    }
}

/// The text, cut to `most` bytes at a character's border, with an ellipsis where something is missing.
pub(crate) fn cut(text: &str, most: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub(ELLIPSIS.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut kept = text.get(..end).unwrap_or_default().to_owned();
    kept.push_str(ELLIPSIS);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("ääää", 7), "ää…");
        assert_eq!(cut("ääää", 6), "ä…");
    }
}
