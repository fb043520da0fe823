//! How many replicas there should be and from which ordinal on, from whoever knows it best: the profile,
//! the StatefulSet itself, the environment of a pod that may be older than the last scale.

use std::future::pending;

use outrigger_peers::Ordinal;
use outrigger_profile::Discovery;
use tokio::sync::watch;

use super::DiscoverySetup;
use crate::cluster::{Cluster, Known, Wanted};

/// Who knows.
#[derive(Debug, Clone)]
pub(super) struct Count {
    profile: Option<u32>,
    environment: Option<u32>,
    environment_start: Ordinal,
    stateful_set: Option<watch::Receiver<Known<Wanted>>>,
    /// What the StatefulSet said last: that it cannot be read any more changes nothing.
    said: Option<Wanted>,
}

impl Count {
    pub(super) fn new(setup: &DiscoverySetup, settings: &Discovery) -> Self {
        let mut count = Self {
            profile: settings.replicas,
            environment: setup.config.desired,
            environment_start: setup.config.start,
            stateful_set: setup.cluster.as_ref().map(Cluster::stateful_set),
            said: None,
        };
        count.read();
        count
    }

    fn read(&mut self) {
        if let Some(known) = &mut self.stateful_set {
            let said = known.borrow_and_update().objects.values().next().cloned();
            self.said = said.or(self.said.take());
        }
    }

    /// How many, where anybody knows.
    pub(super) fn desired(&self) -> Option<u32> {
        self.profile
            .or(self.said.as_ref().map(|said| said.replicas))
            .or(self.environment)
    }

    /// The first ordinal.
    pub(super) fn start(&self) -> Ordinal {
        self.said
            .as_ref()
            .map_or(self.environment_start, |said| said.start)
    }

    /// Waits for news about the StatefulSet, also for why there are none.
    ///
    /// # Cancel safety
    /// Safe: what was read stays read.
    pub(super) async fn news(&mut self) {
        let heard = match &mut self.stateful_set {
            Some(known) => known.changed().await.is_ok(),
            None => false,
        };
        if !heard {
            pending::<()>().await;
        }
        self.read();
    }

    /// Waits for another answer of the StatefulSet.
    ///
    /// # Cancel safety
    /// Safe: what was read stays read.
    pub(super) async fn changed(&mut self) {
        loop {
            let before = self.said.clone();
            self.news().await;
            if self.said != before {
                return;
            }
        }
    }
}
