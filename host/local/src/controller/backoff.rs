//! How long a container that ended waits for its next start, as the kubelet has it.

use std::time::Duration;

/// The first restart is immediate; then the wait doubles from `base` to `max`, and a container that
/// ran for `reset_after` starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub base: Duration,
    /// The longest.
    pub max: Duration,
    /// The least: how long it takes until an end is noticed. Who watches the ports sees them closed.
    pub notice: Duration,
    /// A run that forgives what was before.
    pub reset_after: Duration,
    /// A run after which an end in order that is expected costs nothing. One that ends sooner would
    /// otherwise be started without end.
    pub served: Duration,
}

impl Default for Backoff {
    /// The kubelet's: 10 s to 5 min, forgotten after 10 min. `served` is our own, and so is `notice`: the
    /// kubelet looks once a second.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(10),
            max: Duration::from_mins(5),
            notice: Duration::from_millis(300),
            reset_after: Duration::from_mins(10),
            served: Duration::from_secs(2),
        }
    }
}

impl Backoff {
    /// The wait before the restart number `restarts` (from 0) since the last forgiveness.
    pub fn delay(&self, restarts: u32) -> Duration {
        match restarts.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => 2_u32
                .checked_pow(doublings)
                .and_then(|factor| self.base.checked_mul(factor))
                .map_or(self.max, |delay| delay.min(self.max)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_ten_seconds_to_five_minutes() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = [0, 1, 2, 3, 4, 5, 6, 7, 100]
            .iter()
            .map(|restarts| backoff.delay(*restarts).as_secs())
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }
}
