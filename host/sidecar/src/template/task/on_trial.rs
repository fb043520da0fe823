//! Sets that a person's change brought about are on trial: where health falls, the set before returns,
//! and what made the other one is not tried again until it changes.

use std::sync::Arc;

use outrigger_profile::{Finding, OnChange};
use outrigger_telemetry::names;
use serde_json::Value;

use super::RenderTask;
use crate::files::{Committed, Files, Refused};
use crate::reload::{Loaded, Refusal};
use crate::template::on_change;
use crate::template::render::RenderedSet;
use crate::timeline::{Concern, unix_ms};
use crate::trial::{Patience, Standing, Trial, Verdict, Watched};

/// What a set was made of, as far as people wrote it. Who the replicas are is a fact: files that do
/// not name them all would be wrong, and nothing to return to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    /// The digest of the profile and its templates.
    profile: String,
    /// The digest of its Secrets.
    secrets: String,
    /// How many generations of the plugin there were.
    generations: u64,
}

/// A set as it was rendered, and what of.
#[derive(Debug, Clone)]
pub(super) struct Made {
    rendered: Arc<RenderedSet>,
    loaded: Arc<Loaded>,
    origin: Origin,
}

/// The set that stood before another.
#[derive(Debug, Clone)]
pub(super) struct Before {
    set: Option<u64>,
    /// None where an earlier sidecar made it.
    made: Option<Made>,
}

/// A set on trial.
#[derive(Debug)]
pub(super) struct OnTrial {
    watched: Watched,
    set: u64,
    /// What returns where health falls.
    before: Before,
}

/// What was rolled back and is not tried again.
#[derive(Debug)]
pub(super) struct Refusing {
    what: Refused,
    /// What is rendered from instead; none where an earlier sidecar of this pod rolled back.
    instead: Option<Arc<Loaded>>,
}

impl Refusing {
    /// What an earlier sidecar of this pod refused.
    pub(super) fn taken_over(what: Refused) -> Self {
        Self {
            what,
            instead: None,
        }
    }

    pub(super) fn told(&self) -> Refusal {
        let hint = if self.what.profile.is_some() {
            "the profile and templates from before are in use: mend them, what was rolled back is not tried again"
        } else {
            "mend the Secret or the plugin: what was rolled back is not tried again"
        };
        Refusal {
            what: "files",
            findings: outrigger_profile::Findings(vec![
                Finding::error("", self.what.reason.clone()).hint(hint),
            ]),
            at_unix_ms: self.what.at_unix_ms,
        }
    }
}

/// Waits for the verdict; for ever where nothing is on trial.
///
/// # Cancel safety
/// Safe: what was seen so far counts next time.
pub(super) async fn verdict(trial: &mut Option<OnTrial>) -> Verdict {
    match trial {
        Some(trial) => trial.watched.verdict(None).await,
        None => std::future::pending().await,
    }
}

impl RenderTask {
    /// What is rendered from: the newest, unless that was rolled back. None where nothing is known
    /// that could be rendered instead.
    pub(super) async fn choose(&mut self, newest: Arc<Loaded>) -> Option<Arc<Loaded>> {
        match &self.refusing {
            Some(refusing) if refusing.what.profile.as_ref() == Some(&newest.digest) => {
                refusing.instead.clone()
            }
            Some(refusing) if refusing.what.profile.is_some() => {
                self.forget_refused().await;
                Some(newest)
            }
            _ => Some(newest),
        }
    }

    /// Whether this very set was rolled back.
    pub(super) fn is_refused(&self, set: &RenderedSet) -> bool {
        self.refusing
            .as_ref()
            .is_some_and(|refusing| refusing.what.set == set.digest())
    }

    async fn forget_refused(&mut self) {
        self.refusing = None;
        self.state
            .send_modify(|state| Arc::make_mut(state).rolled_back = None);
        self.remember(None).await;
    }

    async fn remember(&mut self, refused: Option<Refused>) {
        let kept = self
            .on_disk(move |files| files.remember_refused(refused.as_ref()))
            .await;
        if let Err(error) = kept {
            tracing::warn!(%error, "What was rolled back cannot be remembered over a restart of the sidecar");
        }
    }

    /// Takes note of what stands now. What stood before.
    pub(super) fn stands(&mut self, rendered: Arc<RenderedSet>, loaded: &Arc<Loaded>) -> Before {
        let reload = self.inputs.reload.borrow();
        let made = Made {
            rendered,
            loaded: Arc::clone(loaded),
            origin: Origin {
                profile: loaded.digest.clone(),
                secrets: reload.secrets_digest.clone(),
                generations: reload.generations,
            },
        };
        Before {
            set: self.state.borrow().set,
            made: self.made.replace(made),
        }
    }

    /// Puts a set that was just committed on trial, where a person changed what it was made of. One
    /// that follows a set on trial takes its place: what stood before both would return.
    pub(super) async fn begin_trial(
        &mut self,
        committed: &Committed,
        before: Before,
        actions: &[OnChange],
        loaded: &Loaded,
    ) {
        if let Some(refusing) = &self.refusing
            && refusing.what.profile.is_none()
        {
            // Something else stands now.
            self.forget_refused().await;
        }
        let origin = |made: &Option<Made>| made.as_ref().map(|made| made.origin.clone());
        let by_person = before.made.is_some() && origin(&before.made) != origin(&self.made);
        let is_seen = committed.changed.iter().any(|path| path != "env");
        let needs = if actions.contains(&OnChange::Restart) {
            Patience::UntilTheEnd
        } else {
            Patience::Short
        };
        let (standing, before, patience) = match self.trial.take() {
            Some(open) => {
                let patience = open.watched.patience().max(needs);
                (open.watched.before().clone(), open.before, patience)
            }
            None if by_person && is_seen => (self.stood(), before, needs),
            None => return,
        };
        let length = loaded.profile.trial.files;
        self.trial = Trial::new(standing, length, patience).map(|trial| OnTrial {
            watched: Watched::new(trial, self.inputs.vitals.clone()),
            set: committed.set,
            before,
        });
    }

    /// How the replica stood before a change that comes now. While it recovers from one that was rolled
    /// back, what it was before that counts.
    fn stood(&mut self) -> Standing {
        let now = self.inputs.vitals.standing();
        let before = self.recovering.take().filter(|_| !now.ready);
        before.unwrap_or(now)
    }

    /// Takes the verdict on the set that is on trial. Whether there is something to render anew.
    pub(super) async fn judge(&mut self, verdict: Verdict) -> bool {
        let Some(trial) = self.trial.take() else {
            return false;
        };
        let result = match &verdict {
            Verdict::Stays => "stays",
            Verdict::RollBack(_) => "rolled-back",
        };
        let labels = [("what", "files"), ("result", result)];
        self.tools.recorder.count(names::TRIALS, &labels);
        match verdict {
            Verdict::Stays => {
                let message = format!("set {} stays, health did not fall after it", trial.set);
                let fields = [("set", Value::from(trial.set))];
                self.tools.timeline.record("trial", message, fields);
                false
            }
            Verdict::RollBack(why) => {
                self.roll_back(trial, &why).await;
                true
            }
        }
    }

    async fn roll_back(&mut self, trial: OnTrial, why: &str) {
        let OnTrial {
            set,
            before,
            watched,
        } = trial;
        self.recovering = Some(watched.before().clone());
        let Some((left, number)) = self.made.take().zip(before.set) else {
            return;
        };
        let reason = format!("set {set} was rolled back: {why}");
        let other_profile = before
            .made
            .as_ref()
            .is_some_and(|made| made.loaded.digest != left.loaded.digest);
        let refused = Refused {
            profile: other_profile.then(|| left.loaded.digest.clone()),
            set: left.rendered.digest(),
            reason: reason.clone(),
            at_unix_ms: unix_ms(),
        };
        self.remember(Some(refused.clone())).await;
        let refusing = Refusing {
            what: refused,
            instead: before.made.as_ref().map(|made| Arc::clone(&made.loaded)),
        };
        let told = refusing.told();
        self.refusing = Some(refusing);
        match self.on_disk(move |files| files.return_to(number)).await {
            Ok(changed) => {
                let digests = self.files.as_ref().map(Files::digests).unwrap_or_default();
                let files = before.made.iter().map(|made| &made.rendered.files);
                let files = files.chain([&left.rendered.files]).flatten();
                let actions = on_change::needed(files, &changed);
                let fields = [
                    ("set", Value::from(number)),
                    ("reason", Value::from(why)),
                    ("changed", Value::from(changed)),
                ];
                let message = format!("set {set} is rolled back to set {number}: {why}");
                tracing::error!(set, to = number, reason = why, "A change is rolled back");
                let timeline = &self.tools.timeline;
                timeline.warn(Concern::RolledBack, "trial", message, fields);
                self.made = before.made;
                self.state.send_modify(|state| {
                    let state = Arc::make_mut(state);
                    state.set = Some(number);
                    state.digests = digests;
                    state.refusal = None;
                    state.rolled_back = Some(told);
                });
                self.owed.add(actions, reason);
            }
            Err(error) => {
                // What was before is rendered anew, as far as it is known.
                let fields = [("failure", Value::from(crate::discovery::chain(&error)))];
                let message = format!("{reason}; set {number} cannot be put in place again");
                let timeline = &self.tools.timeline;
                timeline.warn(Concern::RolledBack, "trial", message, fields);
                self.made = Some(left);
                self.state
                    .send_modify(|state| Arc::make_mut(state).rolled_back = Some(told));
            }
        }
    }
}
