//! The types of the border, with constructors that read well.

pub use crate::bindings::discovery::exports::outrigger::plugin::discovery::Plan;
pub use crate::bindings::health::exports::outrigger::plugin::health::{
    Probe, Reason, Scope, Status, Verdict,
};
pub use crate::bindings::host::outrigger::plugin::types::{
    Failure, FailureKind, Membership, Millis, PodPhase, Replica,
};
pub use crate::bindings::lifecycle::exports::outrigger::plugin::lifecycle::{
    DrainContext, DrainReason, Next, Step,
};
pub use crate::bindings::metrics::exports::outrigger::plugin::metrics::{Batch, Family, Kind};
pub use crate::bindings::plugin::exports::outrigger::plugin::plugin::Descriptor;
pub use crate::bindings::templating::exports::outrigger::plugin::templating::{
    Artifact, Diagnostic, Severity,
};

/// How many of `members` make a majority.
pub fn quorum(members: u32) -> u32 {
    members / 2 + 1
}

/// A host and a port as one text; an IPv6 address stands in brackets.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl Failure {
    /// A failure of this kind. Messages are lower case, without a full stop.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The settings, the profile or the configuration is wrong: trying again is useless.
    pub fn invalid_config(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidConfig, message)
    }

    /// Not reachable or not yet there: trying again may help.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unavailable, message)
    }

    /// This plugin does not do that.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unsupported, message)
    }

    /// A fault in the plugin, the workload's answer or the host.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Internal, message)
    }

    /// The same failure, saying when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Millis) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl Descriptor {
    /// A plugin that takes any settings and asks for no grants.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            settings_schema: r#"{"type":"object"}"#.to_owned(),
            requests: "{}".to_owned(),
            attrs: Vec::new(),
        }
    }

    /// The JSON schema (draft 2020-12) of its settings.
    #[must_use]
    pub fn settings_schema(mut self, schema: impl Into<String>) -> Self {
        self.settings_schema = schema.into();
        self
    }

    /// The grants that it asks for, as JSON.
    #[must_use]
    pub fn requests(mut self, requests: impl Into<String>) -> Self {
        self.requests = requests.into();
        self
    }
}

impl Membership {
    /// This replica; none only if the host broke its promise.
    pub fn own(&self) -> Option<&Replica> {
        self.replica(self.self_ordinal)
    }

    /// This replica.
    ///
    /// # Errors
    /// The host broke its promise.
    pub fn require_own(&self) -> Result<&Replica, Failure> {
        self.own()
            .ok_or_else(|| Failure::internal("this replica is not among the replicas"))
    }

    /// The replica with this ordinal.
    pub fn replica(&self, ordinal: u32) -> Option<&Replica> {
        self.replicas.iter().find(|r| r.ordinal == ordinal)
    }

    /// The other replicas, in ordinal order.
    pub fn peers(&self) -> impl Iterator<Item = &Replica> {
        self.replicas
            .iter()
            .filter(|r| r.ordinal != self.self_ordinal)
    }

    /// Whether a replica with this ordinal should exist.
    pub fn is_wanted(&self, ordinal: u32) -> bool {
        ordinal >= self.start && ordinal - self.start < self.desired
    }

    /// The replicas that should exist, in ordinal order.
    pub fn wanted(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|r| self.is_wanted(r.ordinal))
    }
}

impl Replica {
    /// A replica that is ready, for tests.
    pub fn new(ordinal: u32, name: impl Into<String>, host: impl Into<String>) -> Self {
        Self {
            ordinal,
            name: name.into(),
            host: host.into(),
            addresses: Vec::new(),
            phase: PodPhase::Ready,
            role: None,
            attrs: Vec::new(),
        }
    }
}

impl Plan {
    /// A plan that allows the start and says nothing yet.
    pub fn ready() -> Self {
        Self {
            outputs: Vec::new(),
            seeds: Vec::new(),
            may_start: true,
            reason: String::new(),
        }
    }

    /// Adds a value for templates: `plugin.<key>`.
    #[must_use]
    pub fn output(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.outputs.push((key.into(), value.into()));
        self
    }

    /// Holds the start, with the reason.
    #[must_use]
    pub fn hold(mut self, reason: impl Into<String>) -> Self {
        self.may_start = false;
        self.reason = reason.into();
        self
    }
}

impl Diagnostic {
    /// An error in an artifact's line (from 1; 0 = the whole file).
    pub fn error(artifact: impl Into<String>, line: u32, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            artifact: artifact.into(),
            line,
            message: message.into(),
            hint: String::new(),
        }
    }

    /// The same as a warning.
    pub fn warning(artifact: impl Into<String>, line: u32, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(artifact, line, message)
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl Reason {
    /// The replica's own reason: it always counts.
    pub fn own(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            scope: Scope::Replica,
            code: code.into(),
            message: message.into(),
        }
    }

    /// The cluster's reason: it holds a starting replica back.
    pub fn cluster(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            scope: Scope::Cluster,
            ..Self::own(code, message)
        }
    }
}

impl Verdict {
    fn of(status: Status, reasons: Vec<Reason>) -> Self {
        Self {
            status,
            reasons,
            role: None,
            attrs: Vec::new(),
            next_check: None,
        }
    }

    /// All is well.
    pub fn pass() -> Self {
        Self::of(Status::Pass, Vec::new())
    }

    /// Works, with something that people should know.
    pub fn degraded(reasons: Vec<Reason>) -> Self {
        Self::of(Status::Degraded, reasons)
    }

    /// Does not work.
    pub fn fail(reasons: Vec<Reason>) -> Self {
        Self::of(Status::Fail, reasons)
    }

    /// Cannot be told now.
    pub fn unknown(reason: Reason) -> Self {
        Self::of(Status::Unknown, vec![reason])
    }

    /// With this role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// With something that was seen, for the status page.
    #[must_use]
    pub fn attr(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attrs.push((key.into(), value.into()));
        self
    }
}

impl Step {
    /// The workload may be stopped now.
    pub fn done(note: impl Into<String>) -> Self {
        Self {
            next: Next::Done,
            note: note.into(),
        }
    }

    /// Call again after this many milliseconds.
    pub fn again_in(after: Millis, note: impl Into<String>) -> Self {
        Self {
            next: Next::AgainIn(after),
            note: note.into(),
        }
    }

    /// Cannot go on; the workload is stopped all the same.
    pub fn failed(failure: Failure) -> Self {
        Self {
            note: failure.message.clone(),
            next: Next::Failed(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_replicas_lie_between_the_start_and_the_desired_count() {
        let now = Membership {
            revision: 1,
            self_ordinal: 5,
            start: 5,
            desired: 2,
            namespace: String::new(),
            service: String::new(),
            replicas: (5..8).map(|i| Replica::new(i, "db", "db")).collect(),
            stale_for: 0,
        };
        let wanted: Vec<u32> = now.wanted().map(|r| r.ordinal).collect();
        assert_eq!(wanted, [5, 6]);
        assert_eq!(now.peers().count(), 2);
        assert!(!now.is_wanted(4));
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets_before_its_port() {
        assert_eq!(authority("fd00::2", 8003), "[fd00::2]:8003");
        assert_eq!(authority("db-0.db", 80), "db-0.db:80");
    }

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!([1, 2, 3, 4, 5].map(quorum), [1, 2, 2, 3, 3]);
    }
}
