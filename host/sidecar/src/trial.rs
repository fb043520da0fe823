//! Whether a change may stay: after new files or a new plugin, health is watched for a while, and
//! where it falls, what was before returns.
//!
//! [`Trial`] decides and is pure; [`Watched`] feeds it from the newest snapshots. Whoever makes changes
//! runs the trial and takes its verdict.
//!
//! What counts as a fall: the replica was ready, or alive, and is not any more, for a reason of its
//! own that it did not have before. What the cluster suffers, a drain, and the time that a restarted
//! workload takes to start are none.

mod standing;
mod watched;

use std::time::Duration;

use tokio::time::Instant;

pub use self::standing::{PluginFaults, Stage, Standing};
pub use self::watched::{Vitals, Watched};

/// How long a fall must last before it counts, where a workload was not restarted: reloading takes a
/// moment.
pub const LASTS: Duration = Duration::from_secs(10);

/// How long a fall is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// Not at all: going back costs nothing.
    None,
    /// For [`LASTS`].
    Short,
    /// Until the trial's end: a restarted workload has that long to become ready.
    UntilTheEnd,
}

impl Patience {
    /// When a fall that began at `fell` counts, in a trial that ends at `end`.
    fn ends(self, fell: Instant, end: Instant) -> Instant {
        match self {
            Self::None => fell,
            Self::Short => fell + LASTS,
            Self::UntilTheEnd => end.max(fell + LASTS),
        }
    }
}

/// What a trial came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The change stays.
    Stays,
    /// What was before returns, for this reason.
    RollBack(String),
}

/// What one look at a trial came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is over.
    Over(Verdict),
    /// It goes on; with the time at which it is to be looked at again even if nothing changes.
    GoesOn(Option<Instant>),
}

/// One change on trial.
#[derive(Debug, Clone)]
pub struct Trial {
    before: Standing,
    length: Duration,
    patience: Patience,
    /// Since when the workload has run and served with the change; none while it starts or is drained.
    since: Option<Instant>,
    /// When it fell, where it has not recovered.
    fell: Option<Instant>,
}

impl Trial {
    /// A change that came when the replica stood like this. None where no fall could be seen: the
    /// replica was neither ready nor alive, or there is to be no trial.
    pub fn new(before: Standing, length: Duration, patience: Patience) -> Option<Self> {
        let can_fall = before.ready || before.live;
        (can_fall && !length.is_zero()).then_some(Self {
            before,
            length,
            patience,
            since: None,
            fell: None,
        })
    }

    /// How the replica stood before the change.
    pub fn before(&self) -> &Standing {
        &self.before
    }

    /// How long a fall is borne.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Looks at how the replica stands now.
    pub fn look(&mut self, now: Instant, standing: &Standing) -> Look {
        if let Some(fault) = self.before.new_fault(standing) {
            return Look::Over(Verdict::RollBack(fault));
        }
        if standing.stage == Stage::Away {
            (self.since, self.fell) = (None, None);
            return Look::GoesOn(None);
        }
        let fall = self.before.fall(standing);
        if let Some(why) = &fall
            && self.before.live
            && !standing.live
        {
            // The probe has had its own patience, and the kubelet restarts the workload for it.
            return Look::Over(Verdict::RollBack(why.clone()));
        }
        if standing.stage == Stage::Starting {
            (self.since, self.fell) = (None, None);
            return Look::GoesOn(None);
        }
        let end = *self.since.get_or_insert(now) + self.length;
        let Some(why) = fall else {
            self.fell = None;
            return if now >= end {
                Look::Over(Verdict::Stays)
            } else {
                Look::GoesOn(Some(end))
            };
        };
        let counts = self.patience.ends(*self.fell.get_or_insert(now), end);
        if now >= counts {
            Look::Over(Verdict::RollBack(why))
        } else {
            Look::GoesOn(Some(counts))
        }
    }
}

#[cfg(test)]
mod tests;
