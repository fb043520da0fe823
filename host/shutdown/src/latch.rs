//! Readiness as the sum of the parts that must have started.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Released,
    Failed,
}

/// The set of parts that must have started. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Latches {
    states: Arc<watch::Sender<BTreeMap<String, State>>>,
}

/// Held by one part until it is ready. Dropping it without [`Latch::release`] means that the part
/// has failed: a part that died early never looks ready.
#[derive(Debug)]
#[must_use = "dropping a latch means that its part has failed"]
pub struct Latch {
    name: String,
    states: Arc<watch::Sender<BTreeMap<String, State>>>,
    released: bool,
}

/// Parts ended before they were ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ended before it was ready", .names.join(", "))]
pub struct LatchError {
    /// Their names, sorted.
    pub names: Vec<String>,
}

impl Default for Latches {
    fn default() -> Self {
        Self {
            states: Arc::new(watch::Sender::new(BTreeMap::new())),
        }
    }
}

impl Latches {
    /// Without any part: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// A latch for one part. The same name again starts it anew.
    pub fn latch(&self, name: impl Into<String>) -> Latch {
        let name = name.into();
        self.states.send_modify(|states| {
            states.insert(name.clone(), State::Held);
        });
        Latch {
            name,
            states: Arc::clone(&self.states),
            released: false,
        }
    }

    /// The parts that are not ready yet, sorted; those that failed are among them.
    pub fn held(&self) -> Vec<String> {
        names(&self.states.borrow(), |state| state != State::Released)
    }

    /// The parts that ended before they were ready, sorted.
    pub fn failed(&self) -> Vec<String> {
        names(&self.states.borrow(), |state| state == State::Failed)
    }

    /// Waits until all parts are ready.
    ///
    /// # Errors
    /// As soon as one of them has failed.
    ///
    /// # Cancel safety
    /// Safe: it holds no state.
    pub async fn released(&self) -> Result<(), LatchError> {
        let mut receiver = self.states.subscribe();
        loop {
            {
                let states = receiver.borrow_and_update();
                let failed = names(&states, |state| state == State::Failed);
                if !failed.is_empty() {
                    return Err(LatchError { names: failed });
                }
                if states.values().all(|state| *state == State::Released) {
                    return Ok(());
                }
            }
            receiver
                .changed()
                .await
                .expect("the sender lives as long as self");
        }
    }
}

fn names(states: &BTreeMap<String, State>, keep: impl Fn(State) -> bool) -> Vec<String> {
    states
        .iter()
        .filter(|(_, state)| keep(**state))
        .map(|(name, _)| name.clone())
        .collect()
}

impl Latch {
    /// Its part's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part is ready.
    pub fn release(mut self) {
        self.released = true;
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let state = if self.released {
            State::Released
        } else {
            State::Failed
        };
        self.states.send_modify(|states| {
            states.insert(std::mem::take(&mut self.name), state);
        });
    }
}

impl fmt::Display for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_is_ready_once_every_latch_is_released() {
        let latches = Latches::new();
        let (discovery, files) = (latches.latch("discovery"), latches.latch("files"));
        assert_eq!(latches.held(), ["discovery", "files"]);
        discovery.release();
        assert_eq!(latches.held(), ["files"]);
        let (result, ()) = tokio::join!(latches.released(), async { files.release() });
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn a_part_that_ends_without_releasing_its_latch_has_failed() {
        let latches = Latches::new();
        let held = latches.latch("files");
        drop(latches.latch("discovery"));
        assert_eq!(latches.failed(), ["discovery"]);
        assert_eq!(latches.held(), ["discovery", "files"]);
        let error = latches.released().await.unwrap_err();
        assert_eq!(error.to_string(), "discovery ended before it was ready");
        held.release();
    }
}
