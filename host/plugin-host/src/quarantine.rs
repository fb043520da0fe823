//! When a function that keeps failing is left alone, and for how long. Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{QUARANTINE_AFTER, QUARANTINE_FIRST, QUARANTINE_MAX};

/// The health of one function of a plugin.
///
/// After [`QUARANTINE_AFTER`] consecutive faults it is left alone for [`QUARANTINE_FIRST`], and after
/// each further fault for twice as long, up to [`QUARANTINE_MAX`]. One good answer clears it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quarantine {
    faults: u32,
    until: Option<Instant>,
}

impl Quarantine {
    /// Whether it may be called now; otherwise for how long not.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        match self.remaining(now) {
            Some(left) => Err(left),
            None => Ok(()),
        }
    }

    /// For how long it is left alone.
    pub(crate) fn remaining(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.checked_duration_since(now)?;
        (!left.is_zero()).then_some(left)
    }

    /// Consecutive faults.
    pub(crate) fn faults(&self) -> u32 {
        self.faults
    }

    /// It answered.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// It failed by its own fault. Returns for how long it is left alone, where it is from now on.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Duration> {
        self.faults = self.faults.saturating_add(1);
        let beyond = self.faults.checked_sub(QUARANTINE_AFTER)?;
        let span = QUARANTINE_FIRST
            .saturating_mul(2_u32.saturating_pow(beyond))
            .min(QUARANTINE_MAX);
        self.until = Some(now + span);
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn faults_in_a_row_quarantine_for_longer_and_longer() {
        let mut state = Quarantine::default();
        let mut spans = Vec::new();
        for _ in 0..11 {
            let span = state.failed(Instant::now()).unwrap_or_default();
            spans.push(span.as_secs());
            tokio::time::advance(span).await;
            assert_eq!(state.admit(Instant::now()), Ok(()));
        }
        assert_eq!(spans, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_refused_until_its_time_is_over() {
        let mut state = Quarantine::default();
        for _ in 0..QUARANTINE_AFTER {
            state.failed(Instant::now());
        }
        assert_eq!(state.admit(Instant::now()), Err(QUARANTINE_FIRST));
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(state.admit(Instant::now()), Err(Duration::from_millis(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_clears_it() {
        let mut state = Quarantine::default();
        for _ in 0..QUARANTINE_AFTER + 4 {
            state.failed(Instant::now());
        }
        state.answered();
        assert_eq!(state.admit(Instant::now()), Ok(()));
        assert_eq!(state.failed(Instant::now()), None);
    }
}
