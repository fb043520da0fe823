//! Takes changes of the profile, its templates, its Secrets and its component while the pod runs: what
//! is right is published, what is wrong is refused with the reasons, and the old one stands.

mod folders;
mod live;
mod plugin;
pub(crate) mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outrigger_plugin_host::BoxFuture;
use outrigger_profile::document::Document;
use outrigger_profile::{
    FileFrom, Finding, Findings, PluginSource, Profile, Severity, did_you_mean,
};
use outrigger_shutdown::Shutdown;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::folders::FolderWatch;
pub use self::plugin::PluginLoader;
use crate::config::Config;
use crate::limits;
use crate::secrets::{SecretFolder, Secrets};
use crate::timeline::{Timeline, unix_ms};

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

impl Loaded {
    /// Findings about the profile's document, each with its file and the line of its place.
    pub fn locate(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let text = self.templates.get(read::DOCUMENT);
        located(text.map_or("", String::as_str), findings)
    }
}

fn located(text: &str, findings: Vec<Finding>) -> Vec<Finding> {
    let (documents, _told_already) = Document::read_all(text, read::DOCUMENT);
    let locate = |finding: Finding| match documents.first() {
        Some(document) if finding.line == 0 && ["", read::DOCUMENT].contains(&&*finding.file) => {
            document.locate(finding)
        }
        _ => finding,
    };
    findings.into_iter().map(locate).collect()
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

/// What loads a plugin anew: for changed settings, grants or limits, or a changed component.
pub trait PluginReloader: Send + Sync {
    /// Loads what the profile says and puts it in the place of the present generation. A sentence
    /// about what is in use now.
    ///
    /// # Errors
    /// The reasons; the old generation goes on.
    fn reload<'a>(&'a self, loaded: &'a Loaded) -> BoxFuture<'a, Result<String, Vec<Finding>>>;
}

/// Reads and checks a profile's folder: the document, and that every template it names is there.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(folder: &Path, revision: u32) -> Result<Loaded, Findings> {
    let folder = read::folder(folder).map_err(|finding| Findings(vec![finding]))?;
    check(folder, revision)
}

fn check(folder: read::Folder, revision: u32) -> Result<Loaded, Findings> {
    let Some(text) = folder.files.get(read::DOCUMENT) else {
        return Err(Findings(vec![no_document(&folder)]));
    };
    let (profile, mut findings) = outrigger_profile::parse(text, read::DOCUMENT);
    if let Some(profile) = &profile {
        let missing = missing_templates(profile, &folder);
        findings.0.extend(located(text, missing));
    }
    match profile {
        Some(profile) if !findings.has_errors() => Ok(Loaded {
            profile: Arc::new(profile),
            templates: folder.files,
            revision,
            digest: folder.digest,
            warnings: findings,
        }),
        _ => Err(findings),
    }
}

fn no_document(folder: &read::Folder) -> Finding {
    let finding = match folder.skipped.get(read::DOCUMENT) {
        Some(reason) => Finding::error("", format!("cannot be taken: {reason}")),
        None => Finding::error("", "is not in the profile's folder"),
    };
    let others: Vec<&str> = folder.files.keys().map(String::as_str).collect();
    let hint = match did_you_mean(read::DOCUMENT, others.iter().copied()) {
        Some(near) => format!("there is `{near}`: name it `{}`", read::DOCUMENT),
        None => format!(
            "the ConfigMap that `outrigger.dev/profile` names must have the key `{}`",
            read::DOCUMENT
        ),
    };
    finding.in_file(read::DOCUMENT).hint(hint)
}

fn missing_templates(profile: &Profile, folder: &read::Folder) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, file) in profile.files.iter().enumerate() {
        let FileFrom::Template(name) = &file.from else {
            continue;
        };
        if folder.files.contains_key(name) {
            continue;
        }
        let problem = match folder.skipped.get(name) {
            Some(reason) => format!("the template `{name}` cannot be taken: {reason}"),
            None => format!("there is no template `{name}`"),
        };
        let names: Vec<&str> = folder
            .files
            .keys()
            .map(String::as_str)
            .filter(|name| *name != read::DOCUMENT)
            .collect();
        let hint = match did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => {
                "no template lies beside the profile: add it to the profile's ConfigMap".to_owned()
            }
            None => format!("these lie beside the profile: {}", names.join(", ")),
        };
        findings.push(Finding::error(format!("spec.files[{index}].template"), problem).hint(hint));
    }
    findings
}

/// Asks for a look now, and waits for its outcome.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    requests: mpsc::Sender<oneshot::Sender<Arc<ReloadState>>>,
}

impl ReloadHandle {
    /// Looks now. The state afterwards; none when the sidecar is about to end.
    pub async fn reload(&self) -> Option<Arc<ReloadState>> {
        let (answer, outcome) = oneshot::channel();
        self.requests.send(answer).await.ok()?;
        outcome.await.ok()
    }
}

/// Watches the folders. Made with [`Reload::new`], run with [`Reload::run`].
pub struct Reload {
    config: Arc<Config>,
    loaded: watch::Sender<Arc<Loaded>>,
    state: watch::Sender<Arc<ReloadState>>,
    secrets: SecretFolder,
    plugin: Option<Arc<dyn PluginReloader>>,
    timeline: Timeline,
    requests: mpsc::Receiver<oneshot::Sender<Arc<ReloadState>>>,
    /// The digest of the folder that was last looked at, taken or refused.
    looked_at: String,
    /// The digest of the component that was last looked at.
    component: Option<String>,
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
    /// Gets ready, from what was loaded at the start. `secrets` follows the profiles that are taken.
    pub fn new(
        config: Arc<Config>,
        loaded: watch::Sender<Arc<Loaded>>,
        secrets: SecretFolder,
        plugin: Option<Arc<dyn PluginReloader>>,
        timeline: Timeline,
    ) -> (Self, watch::Receiver<Arc<ReloadState>>, ReloadHandle) {
        let first = Arc::clone(&loaded.borrow());
        let state = ReloadState {
            secrets_digest: Secrets::read(&config.dirs.secrets, &first.profile.secrets).digest(),
            ..ReloadState::default()
        };
        let (state, receiver) = watch::channel(Arc::new(state));
        let (asks, requests) = mpsc::channel(4);
        let reload = Self {
            looked_at: first.digest.clone(),
            component: component_digest(&config, &first.profile),
            config,
            loaded,
            state,
            secrets,
            plugin,
            timeline,
            requests,
        };
        (reload, receiver, ReloadHandle { requests: asks })
    }

    /// Watches until the shutdown.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut watch = FolderWatch::new();
        loop {
            while watch.set(self.folders().iter().map(PathBuf::as_path)) {
                self.look().await;
            }
            let mut answer = None;
            tokio::select! {
                () = settled(&watch) => {}
                () = tokio::time::sleep(INTERVAL) => {}
                Some(request) = self.requests.recv() => answer = Some(request),
                () = shutdown.triggered() => return,
            }
            self.look().await;
            if let Some(answer) = answer {
                // Whoever asked may have gone meanwhile.
                drop(answer.send(Arc::clone(&self.state.borrow())));
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

    async fn look_at_component(&mut self) {
        let loaded = Arc::clone(&self.loaded.borrow());
        let digest = component_digest(&self.config, &loaded.profile);
        // A component that is not there for a moment is one that is being replaced.
        if digest.is_none() || digest == self.component {
            return;
        }
        if let Err(findings) = self.reload_plugin(&loaded).await {
            let refusal = Refusal::now("plugin", findings);
            self.tell(&refusal);
            self.state.send_modify(|state| {
                let state = Arc::make_mut(state);
                state.refused += 1;
                state.plugin = Some(refusal);
            });
        } else {
            self.state
                .send_modify(|state| Arc::make_mut(state).taken += 1);
        }
    }

    /// Loads what a profile says of the plugin, and remembers the component that was tried.
    async fn reload_plugin(&mut self, loaded: &Loaded) -> Result<(), Vec<Finding>> {
        self.component = component_digest(&self.config, &loaded.profile);
        let Some(plugin) = &self.plugin else {
            return Ok(());
        };
        let told = plugin.reload(loaded).await?;
        self.timeline.record("plugin", told, []);
        self.state
            .send_modify(|state| Arc::make_mut(state).plugin = None);
        Ok(())
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
        self.timeline
            .record("reload", message, [("findings", Value::from(texts))]);
    }
}

/// Waits until something moved and then nothing for a while.
async fn settled(watch: &FolderWatch) {
    watch.moved().await;
    let quiet = async { while tokio::time::timeout(DEBOUNCE, watch.moved()).await.is_ok() {} };
    // Folders that never rest are looked at all the same.
    drop(tokio::time::timeout(DEBOUNCE_MAX, quiet).await);
}

/// The component's file, where the plugin is one.
pub fn component_path(config: &Config, profile: &Profile) -> Option<PathBuf> {
    match &profile.plugin.as_ref()?.source {
        PluginSource::File { path, .. } => Some(config.dirs.profile.join(path)),
        PluginSource::Builtin(_) => None,
    }
}

fn component_digest(config: &Config, profile: &Profile) -> Option<String> {
    let path = component_path(config, profile)?;
    let bytes = read::bounded(&path, limits::COMPONENT_BYTES_MAX).ok()??;
    Some(read::digest([("component", bytes.as_slice())]))
}

#[cfg(test)]
mod tests;
