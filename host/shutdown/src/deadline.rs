//! One point in time by which something must be over.

use std::time::Duration;

use tokio::time::Instant;

/// A point in time that is set once and then only looked at, so that steps that follow each other
/// share one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    set: Instant,
    at: Instant,
}

impl Deadline {
    /// A deadline this far from now.
    pub fn after(span: Duration) -> Self {
        let set = Instant::now();
        // A span beyond what the clock can hold is as good as no deadline: thirty years.
        let at = set
            .checked_add(span)
            .unwrap_or_else(|| set + Duration::from_hours(30 * 365 * 24));
        Self { set, at }
    }

    /// The deadline within a grace period: what is left of it once `reserve` is kept back for what
    /// must happen afterwards.
    pub fn within_grace(grace: Duration, reserve: Duration) -> Self {
        Self::after(grace.saturating_sub(reserve))
    }

    /// The same start, ending no later than this far from the start.
    #[must_use]
    pub fn at_most(self, span: Duration) -> Self {
        let at = self
            .set
            .checked_add(span)
            .map_or(self.at, |at| at.min(self.at));
        Self { set: self.set, at }
    }

    /// What is left; zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// What has passed since it was set.
    pub fn elapsed(&self) -> Duration {
        self.set.elapsed()
    }

    /// Whether nothing is left.
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// The point in time.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Waits until it has passed.
    ///
    /// # Cancel safety
    /// Safe: it holds no state.
    pub async fn wait(&self) {
        tokio::time::sleep_until(self.at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_left_shrinks_as_time_passes_and_never_below_zero() {
        let deadline = Deadline::within_grace(Duration::from_secs(30), Duration::from_secs(2));
        assert_eq!(deadline.remaining(), Duration::from_secs(28));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(deadline.remaining(), Duration::from_secs(8));
        assert_eq!(deadline.elapsed(), Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(deadline.passed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_wins_and_a_longer_one_changes_nothing() {
        let deadline = Deadline::after(Duration::from_secs(10));
        assert_eq!(
            deadline.at_most(Duration::from_secs(3)).remaining(),
            Duration::from_secs(3)
        );
        assert_eq!(deadline.at_most(Duration::MAX), deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reserve_above_the_grace_period_leaves_nothing() {
        let deadline = Deadline::within_grace(Duration::from_secs(1), Duration::from_secs(2));
        assert!(deadline.passed());
    }
}
