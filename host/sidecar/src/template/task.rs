//! Renders again with each change of what goes in, and puts the result in place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outrigger_peers::{PeerSet, Source};
use outrigger_plugin_host::Plan;
use outrigger_profile::{Finding, Findings, OnChange, Profile, Severity};
use outrigger_shutdown::Shutdown;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::context::{Context, VolumeFacts};
use super::gate::{self, Gate};
use super::on_change::{self, ChangeActions};
use super::plugin::{self, Given, TemplatePlugin};
use super::random::Seeds;
use super::render::{RenderedSet, render};
use crate::config::Config;
use crate::discovery::chain;
use crate::files::{Committed, Files, FilesError};
use crate::reload::{Loaded, Refusal, ReloadState};
use crate::secrets::Secrets;
use crate::timeline::{Timeline, unix_ms};

/// The first wait before a refused render, or an action that failed, is tried again: doubled each
/// time up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(1);

/// The longest wait between two trials.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How often an action that failed is tried, before it is given up until the next change.
const ACTION_TRIALS: u32 = 5;

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

/// Why nothing can be rendered for these replicas. What stands in a file should have been seen: a
/// first file from guesses would soon be another, and restart the workload for nothing.
fn not_yet(peers: &PeerSet) -> Option<&'static str> {
    if peers.desired == 0 {
        return Some(
            "it is not known yet how many replicas there should be: set `spec.discovery.replicas`, or OUTRIGGER_REPLICAS for the sidecar",
        );
    }
    (peers.source == Source::None && peers.stale.is_none())
        .then_some("the replicas have not been looked up yet")
}

/// What a render depends on.
#[derive(Debug, Clone)]
pub struct RenderInputs {
    /// The replicas.
    pub peers: watch::Receiver<Arc<PeerSet>>,
    /// The profile and its templates.
    pub loaded: watch::Receiver<Arc<Loaded>>,
    /// Changes of Secrets and of the component.
    pub reload: watch::Receiver<Arc<ReloadState>>,
    /// This replica's role, as its health tells.
    pub role: watch::Receiver<Option<String>>,
    /// Whether the workload may have started: from then on changed files are told to it, and the gate
    /// stays open.
    pub started: watch::Receiver<bool>,
}

/// What a render works with.
#[derive(Clone)]
pub struct RenderTools {
    /// The environment.
    pub config: Arc<Config>,
    /// The plugin.
    pub plugin: Option<Arc<dyn TemplatePlugin>>,
    /// What is done once changed files are in place.
    pub actions: Arc<dyn ChangeActions>,
    /// Where random texts come from.
    pub seeds: Arc<dyn Seeds>,
    /// The record.
    pub timeline: Timeline,
}

impl std::fmt::Debug for RenderTools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenderTools").finish_non_exhaustive()
    }
}

/// Asks the render task for something out of turn.
#[derive(Debug, Clone)]
pub struct RenderHandle {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
enum Command {
    Render(oneshot::Sender<Arc<FilesState>>),
    RollBack(String, oneshot::Sender<Result<u64, FilesError>>),
}

impl RenderHandle {
    /// Renders now. The state afterwards; none when the sidecar is about to end.
    pub async fn render(&self) -> Option<Arc<FilesState>> {
        let (answer, outcome) = oneshot::channel();
        self.commands.send(Command::Render(answer)).await.ok()?;
        outcome.await.ok()
    }

    /// Puts the set before the present one in place, with the actions of the files that differ. The
    /// set that was left is not put in place again until something else is rendered.
    pub async fn roll_back(&self, reason: impl Into<String>) -> Option<Result<u64, FilesError>> {
        let (answer, outcome) = oneshot::channel();
        let command = Command::RollBack(reason.into(), answer);
        self.commands.send(command).await.ok()?;
        outcome.await.ok()
    }
}

/// The render task. Made with [`RenderTask::new`], run with [`RenderTask::run`].
#[derive(Debug)]
pub struct RenderTask {
    tools: RenderTools,
    inputs: RenderInputs,
    files: Option<Files>,
    state: watch::Sender<Arc<FilesState>>,
    commands: mpsc::Receiver<Command>,
    /// The last plan that the plugin gave.
    plan: Option<Plan>,
    /// The set that stands as it was rendered; none when an earlier sidecar made it.
    standing: Option<Arc<RenderedSet>>,
    /// The digest of a set that was rolled back from.
    left: Option<String>,
    /// Actions that failed, and how often they were tried.
    owed: Vec<OnChange>,
    trials: u32,
    retry: Duration,
}

impl RenderTask {
    /// Gets ready, and takes over what an earlier sidecar of this pod put in place.
    ///
    /// # Errors
    /// When the shared volume cannot be used.
    pub fn new(
        tools: RenderTools,
        inputs: RenderInputs,
    ) -> Result<(Self, watch::Receiver<Arc<FilesState>>, RenderHandle), FilesError> {
        let folders = inputs.loaded.borrow().profile.file_dirs();
        let files = Files::open(&tools.config.dirs.files, folders)?;
        let state = FilesState {
            set: files.current(),
            digests: files.digests(),
            gate: Gate::Waiting("nothing has been rendered yet".to_owned()),
            refusal: None,
            warnings: Findings::default(),
            plan: None,
            action: None,
            renders: 0,
            refused: 0,
            commits: 0,
            good_unix_ms: 0,
        };
        let (state, receiver) = watch::channel(Arc::new(state));
        let (asks, commands) = mpsc::channel(4);
        let task = Self {
            tools,
            inputs,
            files: Some(files),
            state,
            commands,
            plan: None,
            standing: None,
            left: None,
            owed: Vec::new(),
            trials: 0,
            retry: RETRY,
        };
        Ok((task, receiver, RenderHandle { commands: asks }))
    }

    /// Renders until the shutdown.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut answers: Vec<oneshot::Sender<Arc<FilesState>>> = Vec::new();
        loop {
            self.render().await;
            for answer in answers.drain(..) {
                // Whoever asked may have gone meanwhile.
                drop(answer.send(Arc::clone(&self.state.borrow())));
            }
            loop {
                let wait = self.wait();
                tokio::select! {
                    () = shutdown.triggered() => return,
                    true = changed(&mut self.inputs.peers) => break,
                    true = changed(&mut self.inputs.loaded) => break,
                    true = changed(&mut self.inputs.reload) => break,
                    true = changed(&mut self.inputs.role) => break,
                    Some(command) = self.commands.recv() => match command {
                        Command::Render(answer) => {
                            answers.push(answer);
                            break;
                        }
                        Command::RollBack(reason, answer) => {
                            drop(answer.send(self.roll_back(&reason).await));
                        }
                    },
                    () = sleep(wait) => {
                        self.retry = (self.retry * 2).min(RETRY_MAX);
                        if self.owed.is_empty() || self.state.borrow().refusal.is_some() {
                            break;
                        }
                        self.act("an action failed before").await;
                    }
                }
            }
        }
    }

    /// How long until something is tried again; none when nothing is open.
    fn wait(&self) -> Option<Duration> {
        let state = self.state.borrow();
        if state.refusal.is_some() || !self.owed.is_empty() {
            return Some(self.retry);
        }
        // A plugin that holds the start waits for others, and the start should not wait longer than
        // they do: no back-off.
        (!state.gate.is_ready()).then_some(RETRY)
    }

    /// One render, from what goes in to what stands.
    async fn render(&mut self) {
        let peers = Arc::clone(&self.inputs.peers.borrow_and_update());
        let loaded = Arc::clone(&self.inputs.loaded.borrow_and_update());
        let role = self.inputs.role.borrow_and_update().clone();
        self.inputs.reload.borrow_and_update();
        if let Some(why) = not_yet(&peers) {
            self.state
                .send_modify(|state| Arc::make_mut(state).gate = Gate::Waiting(why.to_owned()));
            return;
        }
        let outcome = self.prepare(&peers, &loaded, role).await;
        self.state
            .send_modify(|state| Arc::make_mut(state).renders += 1);
        match outcome {
            Ok((set, warnings)) => {
                self.put_in_place(Arc::new(set), warnings, &peers, &loaded)
                    .await;
            }
            Err(findings) => self.refuse(findings),
        }
        self.open_or_close(&peers, &loaded.profile);
    }

    /// Renders, parses and validates, and touches nothing.
    async fn prepare(
        &mut self,
        peers: &Arc<PeerSet>,
        loaded: &Arc<Loaded>,
        role: Option<String>,
    ) -> Result<(RenderedSet, Vec<Finding>), Vec<Finding>> {
        let profile = &loaded.profile;
        let given = match &self.tools.plugin {
            Some(plugin) => plugin::ask(&**plugin, profile, peers, self.plan.as_ref()).await?,
            None => Given::default(),
        };
        self.plan.clone_from(&given.plan);
        let config = Arc::clone(&self.tools.config);
        let seeds = Arc::clone(&self.tools.seeds);
        let (peers_, loaded_) = (Arc::clone(peers), Arc::clone(loaded));
        // Templates take CPU time and the disks' seeds take IO: neither may delay the probes.
        let rendered = tokio::task::spawn_blocking(move || {
            let profile = &loaded_.profile;
            let secrets = Secrets::read(&config.dirs.secrets, &profile.secrets);
            let context = Context {
                peers: peers_,
                role,
                volumes: volumes(&config),
                env: config.env.clone(),
                settings: profile
                    .plugin
                    .as_ref()
                    .map(|plugin| plugin.settings.clone())
                    .unwrap_or_default(),
                secrets: Arc::new(secrets),
                plugin: given.plan.map(|plan| plan.outputs).unwrap_or_default(),
                seeds,
            };
            let set = render(profile, &loaded_.templates, &context, &given.files);
            (set, context.secrets)
        });
        let (set, secrets) = rendered.await.map_err(|error| {
            vec![
                Finding::error("", format!("the render broke off: {error}"))
                    .hint("this is a fault of Outrigger: please report it"),
            ]
        })?;
        let set = set?;
        let clean = |mut findings: Vec<Finding>| {
            for finding in &mut findings {
                finding.problem = secrets.redact(&finding.problem);
                finding.hint = finding.hint.as_deref().map(|hint| secrets.redact(hint));
            }
            findings
        };
        let warnings = match &self.tools.plugin {
            Some(plugin) => plugin::validate(&**plugin, profile, peers, &set)
                .await
                .map(clean)
                .map_err(clean)?,
            None => Vec::new(),
        };
        Ok((set, warnings))
    }

    async fn put_in_place(
        &mut self,
        set: Arc<RenderedSet>,
        warnings: Vec<Finding>,
        peers: &PeerSet,
        loaded: &Loaded,
    ) {
        let digest = set.digest();
        if self.left.as_ref() == Some(&digest) {
            return;
        }
        self.left = None;
        let to_commit = Arc::clone(&set);
        let committed = match self.on_disk(move |files| files.commit(&to_commit)).await {
            Ok(committed) => committed,
            Err(error) => return self.refuse(vec![disk_finding(&error)]),
        };
        self.retry = RETRY;
        self.standing = Some(Arc::clone(&set));
        let had_workload = self.has_workload();
        let digests = self.files.as_ref().map(Files::digests).unwrap_or_default();
        let plan = self.plan.clone();
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.set = Some(committed.set);
            state.digests = digests;
            state.refusal = None;
            state.warnings = Findings(warnings);
            state.plan = plan;
            state.commits += u64::from(committed.new);
            state.good_unix_ms = unix_ms();
        });
        if !committed.new {
            return;
        }
        self.tell(&committed, peers, loaded);
        if had_workload {
            self.owed = on_change::needed(&set, &committed.changed);
            self.trials = 0;
            let reason = format!(
                "set {} changed {}",
                committed.set,
                committed.changed.join(", ")
            );
            self.act(&reason).await;
        }
    }

    /// Whether there may be a workload that runs with the files that stood before.
    fn has_workload(&self) -> bool {
        let state = self.state.borrow();
        // A set of an earlier sidecar of this pod had a workload of its own.
        let adopted = state.commits == 0 && state.set.is_some();
        adopted || (state.set.is_some() && *self.inputs.started.borrow())
    }

    fn tell(&self, committed: &Committed, peers: &PeerSet, loaded: &Loaded) {
        let fields = [
            ("set", Value::from(committed.set)),
            ("changed", Value::from(committed.changed.clone())),
            ("peers-revision", Value::from(peers.revision)),
            ("profile-revision", Value::from(loaded.revision)),
        ];
        let message = format!("set {} of rendered files is in place", committed.set);
        self.tools.timeline.record("files", message, fields);
        if committed.changed.iter().any(|path| path == "env") && committed.set > 1 {
            let message =
                "rendered variables changed: they count from the workload's next start on";
            self.tools.timeline.record("files", message, []);
        }
    }

    /// Takes the actions that are owed; those that fail stay owed for a few trials.
    async fn act(&mut self, reason: &str) {
        let owed = std::mem::take(&mut self.owed);
        self.trials += 1;
        for action in owed {
            let outcome = self.tools.actions.act(&action, reason).await;
            let name = on_change::name(&action);
            let message = match &outcome {
                Ok(()) => format!("the workload was told of changed files: {name}"),
                Err(_) if self.trials >= ACTION_TRIALS => {
                    format!("the workload could not be told of changed files, given up: {name}")
                }
                Err(_) => format!("the workload could not be told of changed files: {name}"),
            };
            let failure = outcome.err();
            let fields = [
                ("reason", Value::from(reason)),
                ("failure", Value::from(failure.clone())),
            ];
            self.tools.timeline.record("files", message, fields);
            if failure.is_some() && self.trials < ACTION_TRIALS {
                self.owed.push(action);
            }
            let taken = ActionTaken {
                action: name,
                failure,
                at_unix_ms: unix_ms(),
            };
            self.state
                .send_modify(|state| Arc::make_mut(state).action = Some(taken));
        }
    }

    async fn roll_back(&mut self, reason: &str) -> Result<u64, FilesError> {
        let before = self.state.borrow().digests.clone();
        let number = self.on_disk(Files::roll_back).await?;
        let digests = self.files.as_ref().map(Files::digests).unwrap_or_default();
        let mut changed: Vec<String> = digests
            .iter()
            .filter(|(path, digest)| before.get(*path) != Some(digest))
            .map(|(path, _)| path.clone())
            .collect();
        changed.extend(
            before
                .keys()
                .filter(|path| !digests.contains_key(*path))
                .cloned(),
        );
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.set = Some(number);
            state.digests = digests;
        });
        let fields = [
            ("set", Value::from(number)),
            ("reason", Value::from(reason)),
            ("changed", Value::from(changed.clone())),
        ];
        let message = format!("rolled back to set {number} of rendered files");
        self.tools.timeline.record("files", message, fields);
        if let Some(left) = self.standing.take() {
            self.left = Some(left.digest());
            self.owed = on_change::needed(&left, &changed);
            self.trials = 0;
            self.act(reason).await;
        }
        Ok(number)
    }

    /// Does something with the files where blocking is allowed.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Files) -> Result<T, FilesError> + Send + 'static,
    ) -> Result<T, FilesError> {
        let mut files = match self.files.take() {
            Some(files) => files,
            // Lost by an act that panicked: what is on the disk counts.
            None => self.reopen()?,
        };
        let done = tokio::task::spawn_blocking(move || {
            let outcome = act(&mut files);
            (files, outcome)
        });
        match done.await {
            Ok((files, outcome)) => {
                self.files = Some(files);
                outcome
            }
            Err(error) => Err(FilesError::Step {
                act: "finish the work on",
                path: self.tools.config.dirs.files.clone(),
                source: std::io::Error::other(error),
            }),
        }
    }

    fn reopen(&self) -> Result<Files, FilesError> {
        let folders = self.inputs.loaded.borrow().profile.file_dirs();
        Files::open(&self.tools.config.dirs.files, folders)
    }

    fn refuse(&self, findings: Vec<Finding>) {
        let told = self
            .state
            .borrow()
            .refusal
            .as_ref()
            .is_some_and(|refusal| refusal.findings.0 == findings);
        if !told {
            for finding in &findings {
                match finding.severity {
                    Severity::Error => tracing::error!(%finding, "A render is refused"),
                    Severity::Warning => tracing::warn!(%finding, "A render is refused"),
                }
            }
            let message = if self.state.borrow().set.is_some() {
                "a render is refused, the set before it stands"
            } else {
                "a render is refused, and there is no set yet"
            };
            let texts: Vec<Value> = findings
                .iter()
                .map(|finding| Value::from(finding.to_string()))
                .collect();
            self.tools
                .timeline
                .record("files", message, [("findings", Value::from(texts))]);
        }
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.refused += 1;
            if !told {
                state.refusal = Some(Refusal::now("files", findings));
            }
        });
    }

    /// The gate, after a render.
    fn open_or_close(&self, peers: &PeerSet, profile: &Profile) {
        let (set, refusal) = {
            let state = self.state.borrow();
            (state.set, state.refusal.clone())
        };
        let gate = match (set, refusal) {
            (None, Some(refusal)) => {
                let first = refusal.findings.0.first();
                Gate::Waiting(first.map_or_else(String::new, ToString::to_string))
            }
            (None, None) => Gate::Waiting("nothing has been rendered yet".to_owned()),
            (Some(_), _) if *self.inputs.started.borrow() => Gate::Ready,
            (Some(_), _) => gate::judge(peers, profile.start.wait_for, self.plan.as_ref()),
        };
        self.state.send_if_modified(|state| {
            let differs = state.gate != gate;
            if differs {
                Arc::make_mut(state).gate = gate;
            }
            differs
        });
    }
}

/// Waits for a change; false for ever when nobody can make one any more.
async fn changed<T>(receiver: &mut watch::Receiver<T>) -> bool {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    true
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep_until(Instant::now() + wait).await,
        None => std::future::pending().await,
    }
}

fn disk_finding(error: &FilesError) -> Finding {
    Finding::error("", chain(error)).hint(error.hint())
}

/// What is known of the pod's volumes now.
fn volumes(config: &Config) -> BTreeMap<String, VolumeFacts> {
    config
        .volumes
        .iter()
        .map(|(name, volume)| {
            let usage = nix::sys::statvfs::statvfs(&volume.sidecar_path).ok();
            let total = usage
                .as_ref()
                .map(|usage| usage.blocks().saturating_mul(usage.fragment_size()));
            let free = usage.as_ref().map(|usage| {
                usage
                    .blocks_available()
                    .saturating_mul(usage.fragment_size())
            });
            let facts = VolumeFacts {
                path: volume.path.display().to_string(),
                bytes: volume.bytes.or(total),
                free,
            };
            (name.clone(), facts)
        })
        .collect()
}

#[cfg(test)]
mod tests;
