//! Since when this replica is not ready, kept between calls.

use outrigger_plugin_sdk::json::ToJson;
use outrigger_plugin_sdk::state;

use crate::observe::Own;

/// The state's key of since when it is not ready, in Unix milliseconds.
const SINCE: &str = "not-ready-since";

/// The state's key of for how long it was not ready the last time, in milliseconds.
const LAST: &str = "last-not-ready";

/// The state's key of since when it is live and not told its shards, in Unix milliseconds.
const STUCK: &str = "stuck-since";

/// The state's key of whether the last verdict held the coordinator's word against this server.
const REFUSED: &str = "refused";

/// Takes a look at this replica's own readiness, at this time in Unix milliseconds.
pub fn take(own: Own, at: f64) {
    if own.ready {
        if let Some(since) = state::load::<f64>(SINCE) {
            keep(LAST, &(at - since).max(0.0));
            state::delete(SINCE);
        }
    } else {
        begin(SINCE, at);
    }
    if own.waits {
        begin(STUCK, at);
    } else {
        forget(STUCK);
    }
}

/// For how long it is live and not told its shards, in milliseconds.
pub fn stuck_ms(at: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and spans of milliseconds fit"
    )]
    let span = span(STUCK, at) as u64;
    span
}

/// For how long it is not ready, and was the last time, in seconds.
pub fn not_ready_seconds(at: f64) -> (f64, Option<f64>) {
    let last = state::load::<f64>(LAST).map(|millis| millis / 1000.0);
    (span(SINCE, at) / 1000.0, last)
}

/// Whether the last verdict held the coordinator's word against this server.
pub fn was_refused() -> bool {
    state::load(REFUSED).unwrap_or(false)
}

/// Keeps that for the next time.
pub fn refuse(refused: bool) {
    if refused {
        keep(REFUSED, &true);
    } else {
        forget(REFUSED);
    }
}

/// Milliseconds since what is kept; nothing there, or a clock that was set back, is no time.
fn span(key: &str, at: f64) -> f64 {
    let since: f64 = state::load(key).unwrap_or(at);
    (at - since).max(0.0)
}

fn begin(key: &str, at: f64) {
    if state::load::<f64>(key).is_none() {
        keep(key, &at);
    }
}

fn keep<T: ToJson>(key: &str, value: &T) {
    if let Err(failure) = state::store(key, value) {
        outrigger_plugin_sdk::warn!("Something is not kept", "key" => key, "error" => failure.message);
    }
}

fn forget(key: &str) {
    if state::get(key).is_some() {
        state::delete(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::fake::FakeHost;

    const WAITS: Own = Own {
        ready: false,
        waits: true,
    };
    const READY: Own = Own {
        ready: true,
        waits: false,
    };

    #[test]
    fn the_time_without_readiness_is_measured_and_kept() {
        let _host = FakeHost::new();
        assert_eq!(not_ready_seconds(1000.0), (0.0, None));
        take(WAITS, 1_000.0);
        take(WAITS, 9_000.0);
        assert_eq!(not_ready_seconds(16_600.0), (15.6, None));
        assert_eq!(stuck_ms(61_000.0), 60_000);
        take(READY, 16_600.0);
        assert_eq!(not_ready_seconds(90_000.0), (0.0, Some(15.6)));
        assert_eq!(stuck_ms(90_000.0), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_is_no_time() {
        let _host = FakeHost::new();
        take(WAITS, 50_000.0);
        assert_eq!(stuck_ms(1_000.0), 0);
        take(READY, 1_000.0);
        assert_eq!(not_ready_seconds(1_000.0), (0.0, Some(0.0)));
    }
}
