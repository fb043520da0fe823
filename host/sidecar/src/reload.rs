//! Takes changes of the profile, its templates, its Secrets and its component while the pod runs: what
//! is right is published, what is wrong is refused with the reasons, and the old one stands.

mod check;
mod folders;
mod live;
mod plugin;
pub(crate) mod read;
mod swap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outrigger_profile::{Finding, Findings, Profile, Severity};
use outrigger_shutdown::Shutdown;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use self::check::check;
pub use self::check::load;
pub(crate) use self::folders::FolderWatch;
pub use self::plugin::PluginLoader;
use self::swap::{Made, OnTrial, component_digest, verdict};
pub use self::swap::{PluginReloader, component_path};
use crate::config::Config;
use crate::metrics::Recorder;
use crate::secrets::{SecretFolder, Secrets};
use crate::timeline::{Concern, Timeline, unix_ms};
use crate::trial::Vitals;

/// How long nothing must have moved before the folders are read: the kubelet and editors make several
/// steps of one change.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// The most that movements can put the look off.
const DEBOUNCE_MAX: Duration = Duration::from_secs(2);

/// Between two looks when no event tells of a change: the net for what events miss.
const INTERVAL: Duration = Duration::from_secs(30);

/// A profile with its templates, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What the user wants.
    pub profile: Arc<Profile>,
    /// The texts beside it, by file name; templates and what they include.
    pub templates: BTreeMap<String, String>,
    /// Grows with each that is taken, from 1.
    pub revision: u32,
    /// SHA-256 over the folder's content, in hexadecimal.
    pub digest: String,
    /// Warnings: shown, not refused.
    pub warnings: Findings,
}

/// Something that was not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What: `profile`, `plugin` or `files`.
    pub what: &'static str,
    /// Why.
    pub findings: Findings,
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
}

impl Refusal {
    /// A refusal now.
    pub fn now(what: &'static str, findings: Vec<Finding>) -> Self {
        Self {
            what,
            findings: Findings(findings),
            at_unix_ms: unix_ms(),
        }
    }
}

/// How reloading goes; what the status shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadState {
    /// How many changes were taken.
    pub taken: u64,
    /// How many were refused.
    pub refused: u64,
    /// The refused profile that lies in the folder now; none when what lies there is in use.
    pub profile: Option<Refusal>,
    /// The refused component or plugin settings; none when what lies there is in use.
    pub plugin: Option<Refusal>,
    /// How often the plugin's generation changed: with each swap and each roll-back.
    pub generations: u64,
    /// SHA-256 over the Secrets' values, in hexadecimal: changes when one of them does.
    pub secrets_digest: String,
}

/// Asks for something out of turn, and waits for its outcome.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    asks: mpsc::Sender<Ask>,
}

#[derive(Debug)]
enum Ask {
    Look(oneshot::Sender<Arc<ReloadState>>),
    Swap(oneshot::Sender<Result<String, Findings>>),
}

impl ReloadHandle {
    /// Looks now. The state afterwards; none when the sidecar is about to end.
    pub async fn reload(&self) -> Option<Arc<ReloadState>> {
        let (answer, outcome) = oneshot::channel();
        self.asks.send(Ask::Look(answer)).await.ok()?;
        outcome.await.ok()
    }

    /// Loads the plugin again, whether it changed or not, and even where it was rolled back. What is in
    /// use then, or why it was refused; none when the sidecar is about to end.
    pub async fn swap(&self) -> Option<Result<String, Findings>> {
        let (answer, outcome) = oneshot::channel();
        self.asks.send(Ask::Swap(answer)).await.ok()?;
        outcome.await.ok()
    }
}

/// What reloading works with.
pub struct ReloadTools {
    /// The environment.
    pub config: Arc<Config>,
    /// Follow the profiles that are taken.
    pub secrets: SecretFolder,
    /// Loads the plugin; none where the profile names none.
    pub plugin: Option<Arc<dyn PluginReloader>>,
    /// How this replica is, for trials of the plugin.
    pub vitals: Vitals,
    /// The record.
    pub timeline: Timeline,
    /// Where swaps and trials are counted.
    pub recorder: Recorder,
}

impl std::fmt::Debug for ReloadTools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReloadTools").finish_non_exhaustive()
    }
}

/// Watches the folders. Made with [`Reload::new`], run with [`Reload::run`].
pub struct Reload {
    config: Arc<Config>,
    loaded: watch::Sender<Arc<Loaded>>,
    state: watch::Sender<Arc<ReloadState>>,
    secrets: SecretFolder,
    plugin: Option<Arc<dyn PluginReloader>>,
    vitals: Vitals,
    timeline: Timeline,
    recorder: Recorder,
    asked: mpsc::Receiver<Ask>,
    /// The digest of the folder that was last looked at, taken or refused.
    looked_at: String,
    /// The digest of the component that was last looked at.
    component: Option<String>,
    trial: Option<OnTrial>,
    /// What was rolled back.
    rolled_back: Option<Made>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload")
            .field("looked_at", &self.looked_at)
            .field("component", &self.component)
            .finish_non_exhaustive()
    }
}

impl Reload {
    /// Gets ready, from what was loaded at the start.
    pub fn new(
        tools: ReloadTools,
        loaded: watch::Sender<Arc<Loaded>>,
    ) -> (Self, watch::Receiver<Arc<ReloadState>>, ReloadHandle) {
        let ReloadTools {
            config,
            secrets,
            plugin,
            vitals,
            timeline,
            recorder,
        } = tools;
        let first = Arc::clone(&loaded.borrow());
        let state = ReloadState {
            secrets_digest: Secrets::read(&config.dirs.secrets, &first.profile.secrets).digest(),
            ..ReloadState::default()
        };
        let (state, receiver) = watch::channel(Arc::new(state));
        let (asks, asked) = mpsc::channel(4);
        let reload = Self {
            looked_at: first.digest.clone(),
            component: component_digest(&config, &first.profile),
            config,
            loaded,
            state,
            secrets,
            plugin,
            vitals,
            timeline,
            recorder,
            asked,
            trial: None,
            rolled_back: None,
        };
        (reload, receiver, ReloadHandle { asks })
    }

    /// Watches until the shutdown.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut watch = FolderWatch::new();
        loop {
            while watch.set(self.folders().iter().map(PathBuf::as_path)) {
                self.look().await;
            }
            let mut asked = None;
            tokio::select! {
                () = settled(&watch) => {}
                () = tokio::time::sleep(INTERVAL) => {}
                Some(ask) = self.asked.recv() => asked = Some(ask),
                verdict = verdict(&mut self.trial, self.plugin.as_ref()) => self.judge(verdict).await,
                () = shutdown.triggered() => return,
            }
            // After each of them: a movement that was being waited out counts too.
            self.look().await;
            // Whoever asked may have gone meanwhile.
            match asked {
                None => {}
                Some(Ask::Look(answer)) => drop(answer.send(Arc::clone(&self.state.borrow()))),
                Some(Ask::Swap(answer)) => drop(answer.send(self.swap_as_asked().await)),
            }
        }
    }

    /// The folders whose entries matter now.
    fn folders(&self) -> Vec<PathBuf> {
        let profile = Arc::clone(&self.loaded.borrow().profile);
        let dirs = &self.config.dirs;
        let mut folders = vec![dirs.profile.clone(), dirs.secrets.clone()];
        folders.extend(
            profile
                .secrets
                .values()
                .map(|source| dirs.secrets.join(&source.secret)),
        );
        let component = component_path(&self.config, &profile);
        folders.extend(component.and_then(|path| path.parent().map(Path::to_owned)));
        folders
    }

    /// Looks at everything once.
    async fn look(&mut self) {
        self.look_at_profile().await;
        self.look_at_component().await;
        self.look_at_secrets();
    }

    async fn look_at_profile(&mut self) {
        let present = Arc::clone(&self.loaded.borrow());
        let folder = match read::folder(&self.config.dirs.profile) {
            Ok(folder) if folder.digest == self.looked_at => return,
            Ok(folder) => folder,
            Err(finding) => {
                if self.looked_at != finding.problem {
                    self.looked_at.clone_from(&finding.problem);
                    self.refuse_profile(vec![finding]);
                }
                return;
            }
        };
        self.looked_at.clone_from(&folder.digest);
        if folder.digest == present.digest {
            self.timeline
                .record("reload", "the refused profile was taken back", []);
            self.state
                .send_modify(|state| Arc::make_mut(state).profile = None);
            return;
        }
        let next = match check(folder, present.revision.saturating_add(1)) {
            Ok(next) => next,
            Err(findings) => return self.refuse_profile(findings.0),
        };
        let problems = live::problems(&present.profile, &next.profile);
        if !problems.is_empty() {
            return self.refuse_profile(next.locate(problems));
        }
        if live::plugin_differs(&present.profile, &next.profile)
            && let Err(findings) = self.reload_plugin(&next).await
        {
            return self.refuse_profile(findings);
        }
        self.secrets.set_sources(next.profile.secrets.clone());
        let fields = [
            ("revision", Value::from(next.revision)),
            ("digest", Value::from(next.digest.as_str())),
        ];
        self.timeline
            .record("reload", "the changed profile is in use", fields);
        for warning in &next.warnings.0 {
            tracing::warn!(finding = %warning, "The profile has a warning");
        }
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.taken += 1;
            state.profile = None;
        });
        self.loaded.send_replace(Arc::new(next));
    }

    fn look_at_secrets(&self) {
        let profile = Arc::clone(&self.loaded.borrow().profile);
        let digest = Secrets::read(&self.config.dirs.secrets, &profile.secrets).digest();
        if self.state.borrow().secrets_digest != digest {
            self.timeline.record("reload", "a secret changed", []);
            self.state
                .send_modify(|state| Arc::make_mut(state).secrets_digest = digest);
        }
    }

    fn refuse_profile(&self, findings: Vec<Finding>) {
        let refusal = Refusal::now("profile", findings);
        self.tell(&refusal);
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.refused += 1;
            state.profile = Some(refusal);
        });
    }

    fn tell(&self, refusal: &Refusal) {
        let errors = || {
            refusal
                .findings
                .0
                .iter()
                .filter(|finding| finding.severity == Severity::Error)
        };
        for finding in errors() {
            tracing::error!(%finding, "A change is refused");
        }
        let message = format!(
            "a changed {} is refused, the one before it stays in use",
            refusal.what
        );
        let texts: Vec<Value> = errors()
            .map(|finding| Value::from(finding.to_string()))
            .collect();
        let fields = [("findings", Value::from(texts))];
        self.timeline
            .warn(Concern::Refused, "reload", message, fields);
    }
}

/// Waits until something moved and then nothing for a while.
async fn settled(watch: &FolderWatch) {
    watch.moved().await;
    let quiet = async { while tokio::time::timeout(DEBOUNCE, watch.moved()).await.is_ok() {} };
    // Folders that never rest are looked at all the same.
    drop(tokio::time::timeout(DEBOUNCE_MAX, quiet).await);
}

#[cfg(test)]
mod tests;
