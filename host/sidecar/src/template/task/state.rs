//! What the render task tells of itself.

use std::collections::BTreeMap;

use outrigger_plugin_host::Plan;
use outrigger_profile::Findings;

use crate::files::Files;
use crate::reload::Refusal;
use crate::template::Gate;
use crate::timeline::unix_ms;

/// What stands in the shared volume, and what does not.
#[derive(Debug, Clone, PartialEq)]
pub struct FilesState {
    /// The set that stands.
    pub set: Option<u64>,
    /// What its files hash to, by path; `env` for the variables.
    pub digests: BTreeMap<String, String>,
    /// Whether the workload may start.
    pub gate: Gate,
    /// The newest render, where it was refused; none when what was rendered last stands.
    pub refusal: Option<Refusal>,
    /// Why an earlier set returned, for as long as what made the later one is not tried again.
    pub rolled_back: Option<Refusal>,
    /// What the plugin warned of in the set that stands.
    pub warnings: Findings,
    /// The plugin's plan.
    pub plan: Option<Plan>,
    /// The newest action on the workload.
    pub action: Option<ActionTaken>,
    /// How many renders there were.
    pub renders: u64,
    /// How many of them were refused.
    pub refused: u64,
    /// How many made a new set.
    pub commits: u64,
    /// When a render was last good, in milliseconds since the Unix epoch; 0 = never.
    pub good_unix_ms: u64,
    /// Since when this sidecar knows the set that stands, in the same unit; 0 = none does.
    pub stands_unix_ms: u64,
}

/// What was done to the workload because of changed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionTaken {
    /// In words: `restart`, `SIGHUP`, `POST :80/-/reload`.
    pub action: String,
    /// Why it failed, where it did.
    pub failure: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
}

impl FilesState {
    /// What an earlier sidecar of this pod left behind.
    pub(super) fn taken_over(files: &Files) -> Self {
        Self {
            set: files.current(),
            digests: files.digests(),
            gate: Gate::Waiting("nothing has been rendered yet".to_owned()),
            refusal: None,
            rolled_back: None,
            warnings: Findings::default(),
            plan: None,
            action: None,
            renders: 0,
            refused: 0,
            commits: 0,
            good_unix_ms: 0,
            stands_unix_ms: if files.current().is_some() {
                unix_ms()
            } else {
                0
            },
        }
    }
}
