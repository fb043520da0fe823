//! What one look at a probe comes to: the checks' failures and the plugin's verdict, or what stands
//! for it when there is none. Pure.

use std::collections::BTreeMap;

use outrigger_plugin_host::{Probe, Status, Verdict};
use outrigger_profile::OnFailure;

use super::check::CheckFailure;
use super::{ProbeReason, ReasonScope};

/// What came of asking the plugin.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// It is not asked for this probe, or has nothing to say on health.
    Not,
    /// It answered.
    Said(Verdict),
    /// It did not: a sentence says why.
    Failed(String),
}

/// The last verdict of a probe that could be used, and when it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    /// The verdict.
    pub verdict: Verdict,
    /// In milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// What one look comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Reasons that always count.
    pub own: Vec<ProbeReason>,
    /// Reasons that lie with the cluster.
    pub cluster: Vec<ProbeReason>,
    /// What people should know, and what never counts.
    pub notes: Vec<ProbeReason>,
    /// The role.
    pub role: Option<String>,
    /// What the plugin saw.
    pub attrs: BTreeMap<String, String>,
    /// The verdict that stands from now on; none = the one before.
    pub remember: Option<Remembered>,
}

/// Puts one look together.
pub fn outcome(
    probe: Probe,
    failures: &[CheckFailure],
    asked: Asked,
    on_failure: OnFailure,
    last: Option<&Remembered>,
    now_unix_ms: u64,
) -> Outcome {
    let mut outcome = Outcome {
        own: failures
            .iter()
            .map(|failure| ProbeReason {
                scope: ReasonScope::Own,
                code: failure.code.to_owned(),
                message: failure.message.clone(),
                counts: true,
            })
            .collect(),
        ..Outcome::default()
    };
    let why = match asked {
        Asked::Not => return outcome,
        Asked::Said(verdict) if verdict.status != Status::Unknown => {
            outcome.take(probe, &verdict);
            outcome.remember = Some(Remembered {
                verdict,
                unix_ms: now_unix_ms,
            });
            return outcome;
        }
        Asked::Said(verdict) => verdict.reasons.into_iter().next().map_or_else(
            || "the plugin cannot tell".to_owned(),
            |reason| reason.message,
        ),
        Asked::Failed(why) => why,
    };
    outcome.without_verdict(probe, &why, on_failure, last, now_unix_ms);
    outcome
}

impl Outcome {
    /// Takes a verdict at its word.
    fn take(&mut self, probe: Probe, verdict: &Verdict) {
        self.role.clone_from(&verdict.role);
        self.attrs.clone_from(&verdict.attrs);
        let fails = verdict.status == Status::Fail;
        for reason in &verdict.reasons {
            let scope = ReasonScope::from(reason.scope);
            let taken = ProbeReason {
                scope,
                code: reason.code.clone(),
                message: reason.message.clone(),
                counts: true,
            };
            match scope {
                _ if !fails => self.notes.push(taken.note()),
                // A fault that all replicas share must not restart them all.
                ReasonScope::Cluster if probe == Probe::Liveness => self.notes.push(taken.note()),
                ReasonScope::Cluster => self.cluster.push(taken),
                ReasonScope::Own | ReasonScope::Outrigger => self.own.push(taken),
            }
        }
        if fails && verdict.reasons.is_empty() {
            self.own.push(ProbeReason {
                scope: ReasonScope::Own,
                code: "failed".to_owned(),
                message: "the plugin says that it fails and gives no reason".to_owned(),
                counts: true,
            });
        }
    }

    /// What stands when there is no verdict.
    fn without_verdict(
        &mut self,
        probe: Probe,
        why: &str,
        on_failure: OnFailure,
        last: Option<&Remembered>,
        now_unix_ms: u64,
    ) {
        match (on_failure, last) {
            (OnFailure::Ignore, _) => self.notes.push(
                ProbeReason::outrigger("plugin-ignored", format!("the plugin is ignored: {why}"))
                    .note(),
            ),
            (OnFailure::Fail, _) => self.own.push(ProbeReason::outrigger("plugin-failed", why)),
            (OnFailure::KeepLast, Some(last)) => {
                self.take(probe, &last.verdict);
                let age = now_unix_ms.saturating_sub(last.unix_ms) / 1000;
                self.notes.push(
                    ProbeReason::outrigger(
                        "verdict-kept",
                        format!("the verdict of {age} s ago stands: {why}"),
                    )
                    .note(),
                );
            }
            // Without any verdict yet, nothing is known: out of service, and not restarted for it.
            (OnFailure::KeepLast, None) => {
                let reason =
                    ProbeReason::outrigger("no-verdict", format!("there is no verdict yet: {why}"));
                if probe == Probe::Liveness {
                    self.notes.push(reason.note());
                } else {
                    self.own.push(reason);
                }
            }
        }
    }
}
