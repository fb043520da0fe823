//! Renders again with each change of what goes in, and puts the result in place.

mod in_place;
mod on_trial;
mod owed;
mod prepare;
mod state;

use std::sync::Arc;
use std::time::Duration;

use outrigger_peers::{PeerSet, Source};
use outrigger_plugin_host::Plan;
use outrigger_shutdown::Shutdown;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use self::on_trial::{Made, OnTrial, Refusing, verdict};
use self::owed::Owed;
pub use self::state::{ActionTaken, FilesState};
use super::gate::Gate;
use super::on_change::ChangeActions;
use super::plugin::TemplatePlugin;
use super::random::Seeds;
use crate::config::Config;
use crate::discovery::{RelatedSet, RelatedSets};
use crate::files::{Files, FilesError};
use crate::metrics::Recorder;
use crate::reload::{Loaded, ReloadState, read::DOCUMENT};
use crate::timeline::Timeline;
use crate::trial::{Standing, Vitals};

/// The first wait before a refused render, or an action that failed, is tried again: doubled each
/// time up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(1);

/// The longest wait between two trials.
const RETRY_MAX: Duration = Duration::from_secs(30);

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

/// Why a profile's files cannot be rendered though the peers are known: they may use related replicas of
/// which nothing is known. Unknown is not absent: a list without them would be wrong.
fn unlearnt(related: &RelatedSets, loaded: &Loaded) -> Option<String> {
    let profile = &loaded.profile;
    let templates = loaded.templates.iter();
    let templates = templates.filter(|(name, _)| *name != DOCUMENT);
    let variables = profile.env.values().map(|value| &value.template);
    let values = profile.files.iter().flat_map(|file| file.values.values());
    let mut texts = templates
        .map(|(_, text)| text)
        .chain(variables)
        .chain(values);
    if profile.related.is_empty() || !texts.any(|text| text.contains("related")) {
        return None;
    }
    profile.related.keys().find_map(|name| {
        let why = match related.get(name) {
            Some(RelatedSet::Known(_)) => return None,
            Some(RelatedSet::Unknown(why)) => why,
            None => "nobody has been asked yet",
        };
        Some(format!(
            "the replicas of `related.{name}` are not known yet: {why}"
        ))
    })
}

/// What a render depends on.
#[derive(Debug, Clone)]
pub struct RenderInputs {
    /// The replicas.
    pub peers: watch::Receiver<Arc<PeerSet>>,
    /// Each related StatefulSet.
    pub related: watch::Receiver<Arc<RelatedSets>>,
    /// The profile and its templates.
    pub loaded: watch::Receiver<Arc<Loaded>>,
    /// Changes of Secrets and of the component.
    pub reload: watch::Receiver<Arc<ReloadState>>,
    /// This replica's role, as its health tells.
    pub role: watch::Receiver<Option<String>>,
    /// Whether the workload may have started: from then on changed files are told to it, and the gate
    /// stays open.
    pub started: watch::Receiver<bool>,
    /// How this replica is, for trials of what was changed.
    pub vitals: Vitals,
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
    /// Where actions and trials are counted.
    pub recorder: Recorder,
}

impl std::fmt::Debug for RenderTools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenderTools").finish_non_exhaustive()
    }
}

/// Asks the render task for a render out of turn.
#[derive(Debug, Clone)]
pub struct RenderHandle {
    asks: mpsc::Sender<oneshot::Sender<Arc<FilesState>>>,
}

impl RenderHandle {
    /// Renders now. The state afterwards; none when the sidecar is about to end.
    pub async fn render(&self) -> Option<Arc<FilesState>> {
        let (answer, outcome) = oneshot::channel();
        self.asks.send(answer).await.ok()?;
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
    asked: mpsc::Receiver<oneshot::Sender<Arc<FilesState>>>,
    /// The last plan that the plugin gave.
    plan: Option<Plan>,
    /// The set that stands as it was made; none when an earlier sidecar made it.
    made: Option<Made>,
    trial: Option<OnTrial>,
    refusing: Option<Refusing>,
    /// How the replica stood before a change that was rolled back.
    recovering: Option<Standing>,
    owed: Owed,
    retry: Duration,
    /// Why nothing is rendered, as it was told last.
    held: Option<String>,
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
        let refusing = files.refused().map(Refusing::taken_over);
        let mut state = FilesState::taken_over(&files);
        state.rolled_back = refusing.as_ref().map(Refusing::told);
        let (state, receiver) = watch::channel(Arc::new(state));
        let (asks, asked) = mpsc::channel(4);
        let task = Self {
            tools,
            inputs,
            files: Some(files),
            state,
            asked,
            plan: None,
            made: None,
            trial: None,
            refusing,
            recovering: None,
            owed: Owed::default(),
            retry: RETRY,
            held: None,
        };
        Ok((task, receiver, RenderHandle { asks }))
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
                self.owed.begin(&self.tools.actions);
                let wait = self.wait();
                tokio::select! {
                    () = shutdown.triggered() => return,
                    true = changed(&mut self.inputs.peers) => break,
                    true = changed(&mut self.inputs.related) => break,
                    true = changed(&mut self.inputs.loaded) => break,
                    true = changed(&mut self.inputs.reload) => break,
                    true = changed(&mut self.inputs.role) => break,
                    Some(answer) = self.asked.recv() => {
                        answers.push(answer);
                        break;
                    }
                    acted = self.owed.acted() => self.take_acted(acted),
                    // Not before the workload runs with what is on trial.
                    verdict = verdict(&mut self.trial), if self.owed.is_settled() => {
                        if self.judge(verdict).await {
                            break;
                        }
                    }
                    () = sleep(wait) => {
                        self.retry = (self.retry * 2).min(RETRY_MAX);
                        let failed = self.owed.has_failed();
                        self.owed.again();
                        if !failed || self.state.borrow().refusal.is_some() {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// How long until something is tried again; none when nothing is open.
    fn wait(&self) -> Option<Duration> {
        let state = self.state.borrow();
        if state.refusal.is_some() || self.owed.has_failed() {
            return Some(self.retry);
        }
        // A plugin that holds the start waits for others, and the start should not wait longer than
        // they do: no back-off.
        (!state.gate.is_ready()).then_some(RETRY)
    }

    /// One render, from what goes in to what stands.
    async fn render(&mut self) {
        let peers = Arc::clone(&self.inputs.peers.borrow_and_update());
        let related = Arc::clone(&self.inputs.related.borrow_and_update());
        let newest = Arc::clone(&self.inputs.loaded.borrow_and_update());
        let role = self.inputs.role.borrow_and_update().clone();
        self.inputs.reload.borrow_and_update();
        if let Some(why) = not_yet(&peers) {
            self.state
                .send_modify(|state| Arc::make_mut(state).gate = Gate::Waiting(why.to_owned()));
            return;
        }
        if let Some(why) = unlearnt(&related, &newest) {
            self.hold(why, &peers, &newest.profile);
            return;
        }
        self.held = None;
        let Some(loaded) = self.choose(Arc::clone(&newest)).await else {
            self.open_or_close(&peers, &newest.profile);
            return;
        };
        let outcome = self.prepare(&peers, &related, &loaded, role).await;
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

#[cfg(test)]
mod tests;
