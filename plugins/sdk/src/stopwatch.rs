//! Spans of time that last longer than a call: since when something is so, kept in the
//! [`state`] under a key of the plugin's.

use crate::{clock, state};

/// Starts it unless it runs. Whether it runs then: without room in the state it cannot.
pub fn start(key: &str) -> bool {
    elapsed(key).is_some() || restart(key)
}

/// Starts it anew. Whether it runs then.
pub fn restart(key: &str) -> bool {
    match state::store(key, &unix_ms()) {
        Ok(()) => true,
        Err(failure) => {
            crate::warn!("A time is not kept", "key" => key, "error" => failure.message);
            false
        }
    }
}

/// Stops it and forgets it.
pub fn stop(key: &str) {
    if state::get(key).is_some() {
        state::delete(key);
    }
}

/// How long it has run, in milliseconds; none when it does not run. A clock that was set back beyond its
/// start starts it anew.
pub fn elapsed(key: &str) -> Option<u64> {
    let since: u64 = state::load(key)?;
    let elapsed = unix_ms().checked_sub(since);
    Some(elapsed.unwrap_or_else(|| {
        restart(key);
        0
    }))
}

/// Milliseconds since the Unix epoch; a clock before it counts as being there.
fn unix_ms() -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds of this age fit, and a negative time is none"
    )]
    let at = clock::wall().max(0.0) as u64;
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    #[test]
    fn it_runs_from_its_first_start_until_it_is_stopped() {
        let host = FakeHost::new();
        assert_eq!(elapsed("k"), None);
        assert!(start("k"));
        host.advance(1_500.0);
        assert!(start("k"));
        assert_eq!(elapsed("k"), Some(1_500));
        assert!(restart("k"));
        assert_eq!(elapsed("k"), Some(0));
        stop("k");
        assert_eq!(elapsed("k"), None);
        assert!(host.state("k").is_none());
    }

    #[test]
    fn a_clock_that_was_set_back_starts_it_anew() {
        let host = FakeHost::new();
        start("k");
        host.advance(-5_000.0);
        assert_eq!(elapsed("k"), Some(0));
        host.advance(2_000.0);
        assert_eq!(elapsed("k"), Some(2_000));
    }
}
