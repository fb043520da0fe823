//! Changes of the plugin: a component or its settings take over after a first look, and stay on trial
//! for a while. What was rolled back is not tried again until it changes.

use std::path::PathBuf;
use std::sync::Arc;

use outrigger_plugin_host::BoxFuture;
use outrigger_profile::{Finding, Findings, Plugin, PluginSource, Profile};
use outrigger_telemetry::names;

use super::{Loaded, Refusal, Reload, read};
use crate::config::Config;
use crate::limits;
use crate::timeline::Concern;
use crate::trial::{Patience, PluginFaults, Trial, Verdict, Watched};

/// What loads a plugin anew: for changed settings, grants or limits, or a changed component.
pub trait PluginReloader: Send + Sync {
    /// Loads what the profile says and puts it in the place of the present generation. A sentence
    /// about what is in use now.
    ///
    /// # Errors
    /// The reasons; the old generation goes on.
    fn reload<'a>(&'a self, loaded: &'a Loaded) -> BoxFuture<'a, Result<String, Vec<Finding>>>;
    /// Lets the last generation that was settled return. A sentence about what is in use now; none where
    /// nothing can return.
    fn roll_back(&self) -> Option<String>;
    /// Lets the generations before the present one go.
    fn settle(&self) -> BoxFuture<'_, ()>;
    /// What fails of the present generation.
    fn faults(&self) -> PluginFaults;
}

/// What a generation is made of: the component's digest, where it is a file, and what the profile says.
pub(super) type Made = (Option<String>, Option<Plugin>);

/// A generation on trial.
#[derive(Debug)]
pub(super) struct OnTrial {
    watched: Watched,
    made: Made,
}

/// Waits for the verdict; for ever where nothing is on trial.
///
/// # Cancel safety
/// Safe: what was seen so far counts next time.
pub(super) async fn verdict(
    trial: &mut Option<OnTrial>,
    plugin: Option<&Arc<dyn PluginReloader>>,
) -> Verdict {
    match trial.as_mut().zip(plugin) {
        Some((trial, plugin)) => trial.watched.verdict(Some(&|| plugin.faults())).await,
        None => std::future::pending().await,
    }
}

impl Reload {
    pub(super) async fn look_at_component(&mut self) {
        let loaded = Arc::clone(&self.loaded.borrow());
        let digest = component_digest(&self.config, &loaded.profile);
        // A component that is not there for a moment is one that is being replaced.
        if digest.is_none() || digest == self.component {
            return;
        }
        if self.swap(&loaded).await.is_ok() {
            self.state
                .send_modify(|state| Arc::make_mut(state).taken += 1);
        }
    }

    /// Loads what lies there, whether it changed, was refused, or neither.
    pub(super) async fn swap_as_asked(&mut self) -> Result<String, Findings> {
        if self.plugin.is_none() {
            let finding = Finding::error("spec.plugin", "the profile names no plugin");
            return Err(Findings(vec![finding]));
        }
        self.rolled_back = None;
        let loaded = Arc::clone(&self.loaded.borrow());
        self.swap(&loaded).await.map_err(Findings)
    }

    /// Reloads the plugin under an unchanged profile: what is wrong with it is the component's refusal.
    async fn swap(&mut self, loaded: &Loaded) -> Result<String, Vec<Finding>> {
        let result = self.reload_plugin(loaded).await;
        if let Err(findings) = &result {
            let refusal = Refusal::now("plugin", findings.clone());
            self.tell(&refusal);
            self.state.send_modify(|state| {
                let state = Arc::make_mut(state);
                state.refused += 1;
                state.plugin = Some(refusal);
            });
        }
        result
    }

    /// Loads what a profile says of the plugin, and remembers the component that was tried.
    pub(super) async fn reload_plugin(&mut self, loaded: &Loaded) -> Result<String, Vec<Finding>> {
        self.component = component_digest(&self.config, &loaded.profile);
        let Some(plugin) = self.plugin.clone() else {
            return Ok("the profile names no plugin".to_owned());
        };
        let made = (self.component.clone(), loaded.profile.plugin.clone());
        if self.rolled_back.as_ref() == Some(&made) {
            return Err(vec![
                Finding::error(
                    "spec.plugin",
                    "this plugin was rolled back before, and is not tried again",
                )
                .hint(
                    "change the component or its settings; or POST /swap on the sidecar's socket",
                ),
            ]);
        }
        let before = self.vitals.standing().with(plugin.faults());
        let told = plugin.reload(loaded).await.inspect_err(|_| {
            self.count_swap("refused");
        })?;
        self.count_swap("swapped");
        self.timeline.record("plugin", told.clone(), []);
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.plugin = None;
            state.generations += 1;
        });
        // What returns is the last generation that stood its trial, and so counts how it was then.
        let before = match self.trial.take() {
            Some(open) => open.watched.before().clone(),
            None => before,
        };
        let length = loaded.profile.trial.plugin;
        self.trial = Trial::new(before, length, Patience::None).map(|trial| OnTrial {
            watched: Watched::new(trial, self.vitals.clone()),
            made,
        });
        if self.trial.is_none() {
            plugin.settle().await;
        }
        Ok(told)
    }

    /// Takes the verdict on the generation that is on trial.
    pub(super) async fn judge(&mut self, verdict: Verdict) {
        let Some((trial, plugin)) = self.trial.take().zip(self.plugin.clone()) else {
            return;
        };
        let result = match &verdict {
            Verdict::Stays => "stays",
            Verdict::RollBack(_) => "rolled-back",
        };
        let labels = [("what", "plugin"), ("result", result)];
        self.recorder.count(names::TRIALS, &labels);
        let why = match verdict {
            Verdict::Stays => {
                plugin.settle().await;
                let message = "the plugin stays, health did not fall after the swap";
                self.timeline.record("trial", message, []);
                return;
            }
            Verdict::RollBack(why) => why,
        };
        let Some(told) = plugin.roll_back() else {
            let message =
                format!("the plugin should be rolled back, and nothing can return: {why}");
            self.timeline
                .warn(Concern::RolledBack, "trial", message, []);
            return;
        };
        self.count_swap("rolled-back");
        self.rolled_back = Some(trial.made);
        tracing::error!(reason = why, "The plugin is rolled back");
        let fields = [("reason", why.as_str().into())];
        let message = format!("the plugin is rolled back, {told}: {why}");
        self.timeline
            .warn(Concern::RolledBack, "trial", message, fields);
        let finding = Finding::error("spec.plugin", format!("the plugin was rolled back: {why}"))
            .hint("the generation before it is in use: mend the component or its settings, what was rolled back is not tried again");
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.generations += 1;
            state.plugin = Some(Refusal::now("plugin", vec![finding]));
        });
    }

    fn count_swap(&self, result: &'static str) {
        self.recorder
            .count(names::PLUGIN_SWAPS, &[("result", result)]);
    }
}

/// The component's file, where the plugin is one.
pub fn component_path(config: &Config, profile: &Profile) -> Option<PathBuf> {
    match &profile.plugin.as_ref()?.source {
        PluginSource::File { path, .. } => Some(config.dirs.profile.join(path)),
        PluginSource::Builtin(_) => None,
    }
}

pub(super) fn component_digest(config: &Config, profile: &Profile) -> Option<String> {
    let path = component_path(config, profile)?;
    let bytes = read::bounded(&path, limits::COMPONENT_BYTES_MAX).ok()??;
    Some(read::digest([("component", bytes.as_slice())]))
}
