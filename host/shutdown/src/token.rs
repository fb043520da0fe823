//! The word that everything should end, and why.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Tells every part of a process that it should end. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Shutdown {
    /// One that nobody has triggered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells everybody. The first reason stands; false when somebody was earlier.
    pub fn trigger(&self, reason: impl Into<String>) -> bool {
        let first = self.reason.set(reason.into()).is_ok();
        self.token.cancel();
        first
    }

    /// Waits until it is triggered; at once when it was.
    ///
    /// # Cancel safety
    /// Safe: it holds no state.
    pub async fn triggered(&self) {
        self.token.cancelled().await;
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Why, once it was triggered.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// One that is triggered with this one, and can be triggered alone without triggering this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            token: self.token.child_token(),
            reason: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stands() {
        let shutdown = Shutdown::new();
        let other = shutdown.clone();
        assert!(shutdown.trigger("SIGTERM"));
        assert!(!other.trigger("SIGINT"));
        other.triggered().await;
        assert_eq!(other.reason(), Some("SIGTERM"));
    }

    #[tokio::test]
    async fn a_child_ends_with_its_parent_and_not_the_other_way_round() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.trigger("alone");
        assert!(first.is_triggered() && !parent.is_triggered() && !second.is_triggered());
        parent.trigger("all");
        second.triggered().await;
    }
}
