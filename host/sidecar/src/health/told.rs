//! What the timeline is told of a change in health: each change once, however often it is seen.
//! Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{HealthReport, ProbeReport, ReasonScope};

/// One entry for the timeline.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
    /// Whether it is news to whoever reads the log.
    pub(super) is_news: bool,
}

/// What holds a probe back in every start and every stop.
const EXPECTED: [&str; 6] = [
    "start-gate",
    "not-started",
    "counting",
    "draining",
    "drained",
    "stopped",
];

/// What is different in `new`. Reasons differ by whose they are and their code, not by their words:
/// words hold numbers that change with each look.
pub(super) fn changes(old: &HealthReport, new: &HealthReport) -> Vec<Told> {
    let mut told = Vec::new();
    let probes = [
        ("start gate", &old.start, &new.start),
        ("startup", &old.startup, &new.startup),
        ("readiness", &old.readiness, &new.readiness),
        ("liveness", &old.liveness, &new.liveness),
    ];
    for (name, before, now) in probes {
        // That nothing is known yet is no news.
        let unknown = now
            .reasons
            .iter()
            .any(|reason| reason.code == "not-checked");
        if !unknown && (before.pass != now.pass || codes(before) != codes(now)) {
            told.push(probe(name, now));
        }
    }
    if old.role != new.role {
        let message = match (&old.role, &new.role) {
            (_, Some(role)) => format!("this replica is now {role}"),
            (Some(role), None) => format!("this replica is no longer {role}"),
            (None, None) => String::new(),
        };
        told.push(Told {
            kind: "role",
            message,
            fields: vec![("role", new.role.clone().into())],
            is_news: true,
        });
    }
    told
}

fn codes(report: &ProbeReport) -> BTreeSet<(ReasonScope, &str, bool)> {
    report
        .reasons
        .iter()
        .filter(|reason| reason.code != "not-checked")
        .map(|reason| (reason.scope, reason.code.as_str(), reason.counts))
        .collect()
}

fn probe(name: &'static str, now: &ProbeReport) -> Told {
    let first = now
        .reasons
        .iter()
        .find(|reason| reason.counts)
        .or(now.reasons.first());
    let verb = if now.pass { "passes" } else { "fails" };
    let message = match first {
        None => format!("{name} {verb}"),
        Some(reason) if now.pass && !reason.counts => format!("{name} passes, though {reason}"),
        // The reason counts, and the probe has not turned yet.
        Some(reason) if now.pass => format!("{name} passes still: {reason}"),
        Some(reason) => format!("{name} fails: {reason}"),
    };
    let is_expected = first.is_some_and(|reason| {
        reason.scope == ReasonScope::Outrigger && EXPECTED.contains(&reason.code.as_str())
    });
    let is_starting = name == "startup" && !now.pass;
    let codes: Vec<Value> = now
        .reasons
        .iter()
        .map(|reason| format!("{}/{}", reason.scope, reason.code).into())
        .collect();
    Told {
        kind: "health",
        message,
        fields: vec![
            ("probe", name.into()),
            ("pass", now.pass.into()),
            ("reasons", codes.into()),
        ],
        is_news: !is_expected && !is_starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::well;
    use crate::health::ProbeReason;

    #[test]
    fn what_comes_with_every_start_and_stop_is_no_news() {
        let reason = |scope, code: &str| ProbeReport {
            reasons: vec![ProbeReason {
                scope,
                code: code.to_owned(),
                message: "so it is".to_owned(),
                counts: true,
            }],
            ..ProbeReport::default()
        };
        let starting = HealthReport {
            startup: reason(ReasonScope::Own, "not-answering"),
            readiness: reason(ReasonScope::Outrigger, "not-started"),
            ..well()
        };
        let ill = HealthReport {
            readiness: reason(ReasonScope::Cluster, "no-quorum"),
            ..well()
        };
        let news = |old: &HealthReport, new: &HealthReport| -> Vec<bool> {
            changes(old, new).iter().map(|told| told.is_news).collect()
        };
        assert_eq!(news(&well(), &starting), [false, false]);
        assert_eq!(news(&starting, &well()), [true, true]);
        assert_eq!(news(&well(), &ill), [true]);
    }
}
