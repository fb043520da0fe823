//! What happens to a set once it is rendered: it is put in place and told of, or refused.

use std::sync::Arc;

use outrigger_peers::PeerSet;
use outrigger_profile::{Finding, Findings, Profile, Severity};
use outrigger_telemetry::names;
use serde_json::Value;

use super::owed::{Acted, Next};
use super::{ActionTaken, RETRY, RenderTask};
use crate::discovery::chain;
use crate::files::{Committed, Files, FilesError};
use crate::reload::{Loaded, Refusal};
use crate::template::gate::{self, Gate};
use crate::template::on_change;
use crate::template::render::RenderedSet;
use crate::timeline::{Concern, unix_ms};

impl RenderTask {
    pub(super) async fn put_in_place(
        &mut self,
        set: Arc<RenderedSet>,
        warnings: Vec<Finding>,
        peers: &PeerSet,
        loaded: &Arc<Loaded>,
    ) {
        if self.is_refused(&set) {
            self.state
                .send_modify(|state| Arc::make_mut(state).refusal = None);
            return;
        }
        let to_commit = Arc::clone(&set);
        let committed = match self.on_disk(move |files| files.commit(&to_commit)).await {
            Ok(committed) => committed,
            Err(error) => return self.refuse(vec![disk_finding(&error)]),
        };
        self.retry = RETRY;
        let had_workload = self.has_workload();
        let before = self.stands(Arc::clone(&set), loaded);
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
            if committed.new {
                state.stands_unix_ms = state.good_unix_ms;
            }
        });
        if !committed.new {
            return;
        }
        self.tell(&committed, peers, loaded);
        if had_workload {
            let actions = on_change::needed(&set.files, &committed.changed);
            self.begin_trial(&committed, before, &actions, loaded).await;
            let reason = format!(
                "set {} changed {}",
                committed.set,
                committed.changed.join(", ")
            );
            self.owed.add(actions, reason);
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

    /// Takes what an action on the workload came to.
    pub(super) fn take_acted(&mut self, acted: Acted) {
        let next = self.owed.took(&acted);
        let name = on_change::name(&acted.action);
        let message = match next {
            Next::Done => format!("the workload was told of changed files: {name}"),
            Next::Again => format!("the workload could not be told of changed files: {name}"),
            Next::GivenUp => {
                format!("the workload could not be told of changed files, given up: {name}")
            }
        };
        let failure = acted.outcome.err().map(|failure| failure.problem);
        let fields = [
            ("reason", Value::from(acted.reason)),
            ("failure", Value::from(failure.clone())),
        ];
        self.tools.timeline.record("files", message, fields);
        let labels = [
            ("action", on_change::kind(&acted.action)),
            ("result", if failure.is_some() { "failed" } else { "done" }),
        ];
        self.tools.recorder.count(names::CHANGE_ACTIONS, &labels);
        let taken = ActionTaken {
            action: name,
            failure,
            at_unix_ms: unix_ms(),
        };
        self.state
            .send_modify(|state| Arc::make_mut(state).action = Some(taken));
    }

    /// Does something with the files where blocking is allowed.
    pub(super) async fn on_disk<T: Send + 'static>(
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

    pub(super) fn refuse(&self, findings: Vec<Finding>) {
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
                "a render is refused, and no set stands before it: the workload is held until this is mended"
            };
            let texts: Vec<Value> = findings
                .iter()
                .map(|finding| Value::from(finding.to_string()))
                .collect();
            let fields = [("findings", Value::from(texts))];
            self.tools
                .timeline
                .warn(Concern::Refused, "files", message, fields);
        }
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.refused += 1;
            if !told {
                state.refusal = Some(Refusal::now("files", findings));
            }
        });
    }

    /// Renders nothing for now: what stands goes on, and without it the workload waits.
    pub(super) fn hold(&mut self, why: String, peers: &PeerSet, profile: &Profile) {
        if self.held.as_ref() != Some(&why) {
            let message = format!("files are not rendered yet: {why}");
            self.tools.timeline.record("files", message, []);
            self.held = Some(why.clone());
        }
        if self.state.borrow().set.is_some() {
            return self.open_or_close(peers, profile);
        }
        self.state
            .send_modify(|state| Arc::make_mut(state).gate = Gate::Waiting(why));
    }

    /// The gate, after a render.
    pub(super) fn open_or_close(&self, peers: &PeerSet, profile: &Profile) {
        let (set, refusal) = {
            let state = self.state.borrow();
            (state.set, state.refusal.clone())
        };
        let gate = match (set, refusal) {
            (None, Some(refusal)) => {
                let first = refusal.findings.0.first();
                let why = first.map_or_else(String::new, ToString::to_string);
                Gate::Waiting(format!(
                    "the workload is held until its files are mended: {why}"
                ))
            }
            (None, None) => Gate::Waiting("nothing has been rendered yet".to_owned()),
            (Some(_), _) if *self.inputs.started.borrow() => Gate::Ready,
            (Some(_), _) => {
                let order = self.tools.config.pod_management;
                gate::judge(peers, profile.start.wait_for, order, self.plan.as_ref())
            }
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

fn disk_finding(error: &FilesError) -> Finding {
    Finding::error("", chain(error)).hint(error.hint())
}
