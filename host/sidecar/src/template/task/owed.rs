//! The actions that changed files ask for, until each is taken or given up.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use outrigger_plugin_host::BoxFuture;
use outrigger_profile::OnChange;

use crate::template::on_change::{self, ActionFailure, ChangeActions};

/// How often an action that failed is tried, before it is given up until the next change.
const TRIALS: u32 = 5;

/// What is owed to the workload.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Not begun yet.
    open: Vec<OnChange>,
    /// Failed, and to be tried again.
    failed: Vec<OnChange>,
    /// How often it was tried since the last change.
    trials: u32,
    /// Why.
    reason: String,
    under_way: FuturesUnordered<BoxFuture<'static, Acted>>,
}

/// An action that was tried.
#[derive(Debug)]
pub(super) struct Acted {
    pub(super) action: OnChange,
    pub(super) reason: String,
    pub(super) outcome: Result<(), ActionFailure>,
}

/// What comes of an action that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it is done.
    Done,
    /// It is tried again.
    Again,
    /// It is given up.
    GivenUp,
}

impl Owed {
    /// Owes what a change asks for, with what still is owed for those before it.
    pub(super) fn add(&mut self, actions: Vec<OnChange>, reason: String) {
        if actions.is_empty() {
            return;
        }
        let before = self.open.drain(..).chain(self.failed.drain(..));
        let all: Vec<OnChange> = before.chain(actions).collect();
        self.open = on_change::strongest(all.iter());
        self.trials = 0;
        self.reason = reason;
    }

    /// Begins what was not begun.
    pub(super) fn begin(&mut self, actions: &Arc<dyn ChangeActions>) {
        if self.open.is_empty() {
            return;
        }
        self.trials += 1;
        for action in self.open.drain(..) {
            let reason = self.reason.clone();
            let acting = actions.act(action.clone(), reason.clone());
            self.under_way.push(Box::pin(async move {
                Acted {
                    outcome: acting.await,
                    action,
                    reason,
                }
            }));
        }
    }

    /// Waits for an action that was begun; for ever where there is none.
    ///
    /// # Cancel safety
    /// Safe: the actions go on.
    pub(super) async fn acted(&mut self) -> Acted {
        match self.under_way.next().await {
            Some(acted) => acted,
            None => std::future::pending().await,
        }
    }

    /// Takes what an action came to.
    pub(super) fn took(&mut self, acted: &Acted) -> Next {
        match &acted.outcome {
            Ok(()) => Next::Done,
            Err(failure) if failure.try_again && self.trials < TRIALS => {
                self.failed.push(acted.action.clone());
                Next::Again
            }
            Err(_) => Next::GivenUp,
        }
    }

    /// Whether something waits to be tried again.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Has what failed begun once more.
    pub(super) fn again(&mut self) {
        self.open.append(&mut self.failed);
    }

    /// Whether nothing is owed any more.
    pub(super) fn is_settled(&self) -> bool {
        self.open.is_empty() && self.failed.is_empty() && self.under_way.is_empty()
    }
}
