//! For how long this replica is not ready, kept between calls.

use outrigger_plugin_sdk::json::ToJson;
use outrigger_plugin_sdk::{state, stopwatch};

use crate::observe::Own;

/// Runs while it is not ready.
const NOT_READY: &str = "not-ready-since";

/// The state's key of for how long it was not ready the last time, in milliseconds.
const LAST: &str = "last-not-ready";

/// Runs while it is live and not told its shards.
const STUCK: &str = "stuck-since";

/// The state's key of whether the last verdict held the coordinator's word against this server.
const REFUSED: &str = "refused";

/// Takes a look at this replica's own readiness.
pub fn take(own: Own) {
    if !own.ready {
        stopwatch::start(NOT_READY);
    } else if let Some(span) = stopwatch::elapsed(NOT_READY) {
        keep(LAST, &span);
        stopwatch::stop(NOT_READY);
    }
    if own.waits {
        stopwatch::start(STUCK);
    } else {
        stopwatch::stop(STUCK);
    }
}

/// For how long it is live and not told its shards, in milliseconds.
pub fn stuck_ms() -> u64 {
    stopwatch::elapsed(STUCK).unwrap_or_default()
}

/// For how long it is not ready, and was the last time, in seconds.
pub fn not_ready_seconds() -> (f64, Option<f64>) {
    #[expect(clippy::cast_precision_loss, reason = "spans of milliseconds fit")]
    let seconds = |millis: u64| millis as f64 / 1000.0;
    let now = stopwatch::elapsed(NOT_READY).unwrap_or_default();
    (seconds(now), state::load(LAST).map(seconds))
}

/// Whether the last verdict held the coordinator's word against this server.
pub fn was_refused() -> bool {
    state::load(REFUSED).unwrap_or(false)
}

/// Keeps that for the next time.
pub fn refuse(refused: bool) {
    if refused {
        keep(REFUSED, &true);
    } else if state::get(REFUSED).is_some() {
        state::delete(REFUSED);
    }
}

fn keep<T: ToJson>(key: &str, value: &T) {
    if let Err(failure) = state::store(key, value) {
        outrigger_plugin_sdk::warn!("Something is not kept", "key" => key, "error" => failure.message);
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
        let host = FakeHost::new();
        assert_eq!(not_ready_seconds(), (0.0, None));
        take(WAITS);
        host.advance(9_000.0);
        take(WAITS);
        host.advance(6_600.0);
        assert_eq!(not_ready_seconds(), (15.6, None));
        assert_eq!(stuck_ms(), 15_600);
        take(READY);
        host.advance(9_000.0);
        assert_eq!(not_ready_seconds(), (0.0, Some(15.6)));
        assert_eq!(stuck_ms(), 0);
    }
}
