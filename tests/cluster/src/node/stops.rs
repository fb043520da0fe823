//! How replicas are replaced: how long each takes to stop, and how many serve meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::replicas::Replica;

/// The example's grace period.
const GRACE: Duration = Duration::from_secs(30);
/// A drain waits for others until then, and the stop itself comes after.
const DRAINED: Duration = Duration::from_secs(25);

/// What was seen of replicas that are being replaced.
#[derive(Debug)]
pub(super) struct Stops {
    before: Vec<Replica>,
    /// How many serve at least.
    least: usize,
    leaving: BTreeMap<String, Instant>,
    /// How long each took that is gone, by its name.
    pub(super) took: BTreeMap<String, Duration>,
}

impl Stops {
    /// Of these pods, while so many serve at least.
    pub(super) fn of(before: &[Replica], least: usize) -> Self {
        Self {
            before: before.to_vec(),
            least,
            leaving: BTreeMap::new(),
            took: BTreeMap::new(),
        }
    }

    /// One look.
    ///
    /// # Panics
    /// When fewer serve.
    pub(super) fn look(&mut self, now: &[Replica]) {
        let serving = now.iter().filter(|replica| replica.serves()).count();
        assert!(
            serving >= self.least,
            "fewer than {} serve: {now:?}",
            self.least
        );
        for old in &self.before {
            match now.iter().find(|replica| replica.uid == old.uid) {
                Some(there) if there.leaving => {
                    self.leaving
                        .entry(old.name.clone())
                        .or_insert_with(Instant::now);
                }
                Some(_) => {}
                None => {
                    let since = self.leaving.get(&old.name);
                    let took = since.map_or(Duration::ZERO, Instant::elapsed);
                    self.took.entry(old.name.clone()).or_insert(took);
                }
            }
        }
    }

    /// Those that are still there.
    pub(super) fn left(&self) -> impl Iterator<Item = &str> {
        let names = self.before.iter().map(|replica| replica.name.as_str());
        names.filter(|name| !self.took.contains_key(*name))
    }

    /// Whether all are new, and serve.
    pub(super) fn are_over(&self, now: &[Replica]) -> bool {
        self.left().next().is_none()
            && now.len() == self.before.len()
            && now.iter().all(Replica::serves)
    }

    /// # Panics
    /// When one was not drained but killed at the end of its grace period.
    pub(super) fn were_drained(&self) {
        for (pod, took) in &self.took {
            assert!(
                *took < DRAINED,
                "{pod} was not drained but killed after {GRACE:?}: {took:?}"
            );
        }
    }
}
