//! How a replica stands, as far as its own reasons go. Pure.

use std::collections::BTreeMap;

use outrigger_plugin_host::PluginInfo;

use crate::health::{HealthReport, ProbeReport, ReasonScope};
use crate::lifecycle::Phase;

/// How many calls of a function of a plugin must have failed in a row: one may be bad luck.
const FAULTS: u32 = 3;

/// Reasons of the sidecar's own scope that are the replica's fault all the same.
const OWN_CODES: [&str; 3] = ["startup-failed", "plugin-failed", "no-verdict"];

/// How far a workload is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// The replica is drained or ending.
    #[default]
    Away,
    /// Its startup probe has not passed yet.
    Starting,
    /// It has started.
    Started,
}

/// How a replica stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How far its workload is.
    pub stage: Stage,
    /// Whether readiness passes.
    pub ready: bool,
    /// Whether liveness passes.
    pub live: bool,
    /// Its own reasons that hold a probe back, in words by their codes.
    own: BTreeMap<String, String>,
    faults: PluginFaults,
}

/// The functions of a plugin that fail now, in words by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginFaults {
    /// Any that failed at all.
    some: BTreeMap<&'static str, u32>,
    last: String,
}

impl PluginFaults {
    /// What is known of a plugin.
    pub fn of(info: &PluginInfo) -> Self {
        let functions = info.functions.iter();
        let functions: Vec<(&'static str, u32)> = functions
            .map(|(name, known)| (*name, known.faults))
            .collect();
        let last = info.last_error.as_ref();
        let last = last.map_or_else(String::new, |last| last.error.kind.to_string());
        Self::failing(&functions, &last)
    }

    /// Functions with their faults since their last answers, and the newest fault in words.
    pub(super) fn failing(functions: &[(&'static str, u32)], last: &str) -> Self {
        Self {
            some: functions
                .iter()
                .filter(|(_, faults)| *faults > 0)
                .copied()
                .collect(),
            last: last.to_owned(),
        }
    }
}

impl Standing {
    /// How a replica in this phase stands by this report.
    pub fn of(report: &HealthReport, phase: Phase) -> Self {
        Self {
            stage: match (phase.may_serve(), report.startup.pass) {
                (false, _) => Stage::Away,
                (true, false) => Stage::Starting,
                (true, true) => Stage::Started,
            },
            ready: report.readiness.pass,
            live: report.liveness.pass,
            own: [&report.startup, &report.readiness, &report.liveness]
                .into_iter()
                .flat_map(own)
                .collect(),
            faults: PluginFaults::default(),
        }
    }

    /// The same with what is known of the plugin.
    #[must_use]
    pub fn with(mut self, faults: PluginFaults) -> Self {
        self.faults = faults;
        self
    }

    /// Why the replica stands worse `now` than it did, by a reason of its own that is new.
    pub(super) fn fall(&self, now: &Self) -> Option<String> {
        let lost = match (self.ready && !now.ready, self.live && !now.live) {
            (_, true) => "is not alive any more",
            (true, false) => "is not ready any more",
            (false, false) => return None,
        };
        let (code, message) = now
            .own
            .iter()
            .find(|(code, _)| !self.own.contains_key(*code))?;
        Some(format!("this replica {lost}: {message} ({code})"))
    }

    /// The function of the plugin that keeps failing, and did not fail before.
    pub(super) fn new_fault(&self, now: &Self) -> Option<String> {
        let is_new = |name: &&'static str| !self.faults.some.contains_key(name);
        let failing = now
            .faults
            .some
            .iter()
            .filter(|(_, count)| **count >= FAULTS);
        let name = failing.map(|(name, _)| *name).find(is_new)?;
        Some(format!(
            "{name} of the plugin failed {FAULTS} times in a row: {}",
            now.faults.last
        ))
    }
}

fn own(report: &ProbeReport) -> impl Iterator<Item = (String, String)> {
    report
        .reasons
        .iter()
        .filter(|reason| !report.pass && reason.counts)
        .filter(|reason| {
            reason.scope == ReasonScope::Own
                || (reason.scope == ReasonScope::Outrigger
                    && OWN_CODES.contains(&reason.code.as_str()))
        })
        .map(|reason| (reason.code.clone(), reason.message.clone()))
}
