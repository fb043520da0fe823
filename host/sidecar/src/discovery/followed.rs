//! Discovery by the API server: which source counts now, its slices or else DNS, and how current it is.

use std::time::Duration;

use outrigger_peers::{Identity, PeerSet, Staleness};
use outrigger_profile::{Discovery, DiscoverySource};
use tokio::sync::watch;
use tokio::time::Instant;

use super::count::Count;
use super::slices::SliceView;
use super::{DiscoverySetup, Observer, at, names, stale};
use crate::cluster::{Cluster, Known, ROLE_HINT, Slice};

/// How long the first answer of the API server is waited for before DNS is asked instead.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// Trouble that is over sooner is not told: a watch that broke is back within a second.
const TROUBLE_SETTLES: Duration = Duration::from_secs(5);

/// What discovery in a cluster needs.
#[derive(Debug)]
pub(super) struct Looks<'a> {
    pub(super) setup: &'a DiscoverySetup,
    pub(super) settings: &'a Discovery,
    pub(super) identity: Identity,
    pub(super) cluster: &'a Cluster,
}

/// What stands at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The slices are known, however old.
    Slices,
    /// The first answer is still to come.
    Waiting,
    /// No role allows it.
    Forbidden,
    /// The API server has never answered.
    Unreachable,
}

impl Looks<'_> {
    /// Follows the slices, and asks DNS for as long as they cannot be had.
    pub(super) async fn observe(&self, count: Count, observer: &mut Observer) {
        let slices = self.cluster.slices();
        tokio::select! {
            () = self.cluster.follow_slices(&self.identity.service) => {}
            () = self.look(slices, count, observer) => {}
        }
    }

    async fn look(
        &self,
        mut slices: watch::Receiver<Known<Slice>>,
        mut count: Count,
        observer: &mut Observer,
    ) {
        let began = Instant::now();
        let mut view = SliceView::default();
        let mut told = Standing::Waiting;
        loop {
            let known = slices.borrow_and_update().clone();
            let standing = standing(&known, began);
            if standing != told {
                self.tell(standing, &known, observer);
                told = standing;
            }
            let next = match standing {
                Standing::Waiting => Some(began + FIRST_ANSWER),
                Standing::Slices => {
                    let (set, next) = self.by_slices(&mut view, &known, &count);
                    if !observer.tell(set).await {
                        return;
                    }
                    next
                }
                Standing::Forbidden | Standing::Unreachable if self.is_demanded() => {
                    let reason = reason(&known);
                    let set = stale(&observer.memory, reason);
                    if !observer.tell(set).await {
                        return;
                    }
                    None
                }
                Standing::Forbidden | Standing::Unreachable => {
                    let other = |known: &Known<Slice>| self::standing(known, began) != standing;
                    let dns = names::observe(
                        self.setup,
                        self.settings,
                        self.identity.clone(),
                        count.clone(),
                        observer,
                    );
                    tokio::select! {
                        () = dns => return,
                        changed = slices.wait_for(other) => if changed.is_err() { return },
                    }
                    continue;
                }
            };
            tokio::select! {
                changed = slices.changed() => if changed.is_err() { return },
                () = count.changed() => {}
                () = at(next) => {}
            }
        }
    }

    fn is_demanded(&self) -> bool {
        self.settings.source == DiscoverySource::EndpointSlices
    }

    /// The set that the slices make, and when to look again though nothing has changed.
    fn by_slices(
        &self,
        view: &mut SliceView,
        known: &Known<Slice>,
        count: &Count,
    ) -> (PeerSet, Option<Instant>) {
        let expected = |desired| PeerSet::expected(self.identity.clone(), count.start(), desired);
        let slices = known.objects.values();
        let desired = count.desired().unwrap_or_else(|| {
            // As far as anybody is seen.
            let seen = view.fold(expected(0), slices.clone());
            let last = seen.replicas.keys().next_back().map_or(0, |last| last.0);
            last.saturating_sub(count.start().0).saturating_add(1)
        });
        let mut set = view.fold(expected(desired), slices);
        set.confirmed_unix_ms = known.heard_unix_ms;
        let mut again = None;
        if let Some(trouble) = &known.trouble {
            let settled = trouble.began + TROUBLE_SETTLES;
            if settled <= Instant::now() {
                set.stale = Some(Staleness {
                    since_unix_ms: known.heard_unix_ms,
                    reason: trouble.reason.clone(),
                });
            } else {
                again = Some(settled);
            }
        }
        (set, again)
    }

    fn tell(&self, standing: Standing, known: &Known<Slice>, observer: &Observer) {
        let instead = if self.is_demanded() {
            "and the profile demands them"
        } else {
            "DNS is asked instead"
        };
        let message = match standing {
            Standing::Waiting => return,
            Standing::Slices => {
                "the replicas are known from the EndpointSlices of their Service".to_owned()
            }
            Standing::Forbidden => {
                format!("this pod may not follow EndpointSlices, {instead}: {ROLE_HINT}")
            }
            Standing::Unreachable => {
                format!("EndpointSlices cannot be had, {instead}: {}", reason(known))
            }
        };
        observer.record(&message);
    }
}

fn standing(known: &Known<Slice>, began: Instant) -> Standing {
    if known.is_forbidden() {
        Standing::Forbidden
    } else if known.is_complete {
        Standing::Slices
    } else if began.elapsed() < FIRST_ANSWER {
        Standing::Waiting
    } else {
        Standing::Unreachable
    }
}

fn reason(known: &Known<Slice>) -> String {
    known.trouble.as_ref().map_or_else(
        || "the API server has not answered yet".to_owned(),
        |trouble| trouble.reason.clone(),
    )
}

#[cfg(test)]
mod tests;
