//! A trial that follows the newest snapshots.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Look, Patience, PluginFaults, Standing, Trial, Verdict};
use crate::health::HealthReport;
use crate::lifecycle::Phase;

/// Between two looks at a plugin's faults, which no snapshot tells of.
const FAULTS_EVERY: Duration = Duration::from_secs(1);

/// How this replica is, followed.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// How it is.
    pub health: watch::Receiver<Arc<HealthReport>>,
    /// Where in its life it is.
    pub phase: watch::Receiver<Phase>,
}

impl Vitals {
    /// How it stands now.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.health.borrow(), *self.phase.borrow())
    }
}

/// A trial that follows the replica.
#[derive(Debug)]
pub struct Watched {
    trial: Trial,
    vitals: Vitals,
}

impl Watched {
    /// Follows from now on.
    pub fn new(trial: Trial, vitals: Vitals) -> Self {
        Self { trial, vitals }
    }

    /// How the replica stood before the change.
    pub fn before(&self) -> &Standing {
        self.trial.before()
    }

    /// How long a fall is borne.
    pub fn patience(&self) -> Patience {
        self.trial.patience()
    }

    /// Waits for the verdict. `faults` tells what is known of the plugin, where one is on trial.
    ///
    /// # Cancel safety
    /// Safe: what was seen so far counts next time.
    pub async fn verdict(&mut self, faults: Option<&(dyn Fn() -> PluginFaults + Sync)>) -> Verdict {
        loop {
            let report = Arc::clone(&self.vitals.health.borrow_and_update());
            let phase = *self.vitals.phase.borrow_and_update();
            let mut standing = Standing::of(&report, phase);
            if let Some(faults) = faults {
                standing = standing.with(faults());
            }
            let now = Instant::now();
            let again = match self.trial.look(now, &standing) {
                Look::Over(verdict) => return verdict,
                Look::GoesOn(again) => again,
            };
            let poll = faults.is_some().then(|| now + FAULTS_EVERY);
            let again = again.into_iter().chain(poll).min();
            let pause = async {
                match again {
                    Some(again) => tokio::time::sleep_until(again).await,
                    None => std::future::pending().await,
                }
            };
            // A closed channel means that its room has ended, and with it the sidecar.
            let gone = tokio::select! {
                changed = self.vitals.health.changed() => changed.is_err(),
                changed = self.vitals.phase.changed() => changed.is_err(),
                () = pause => false,
            };
            if gone {
                std::future::pending::<()>().await;
            }
        }
    }
}
