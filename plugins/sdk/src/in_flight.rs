//! A drain that waits until the workload serves no request any more.

use crate::state;
use crate::vocabulary::{DrainContext, Millis, Step};

/// The state's key of how many requests the last look of a drain found.
pub const KEY: &str = "drain-in-flight";

/// What a look of a drain comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum InFlight {
    /// Nothing is in flight: the drain is done.
    Nothing,
    /// The time is over with so many requests, for people: `3 requests`.
    Over(String),
    /// There is time to wait for them.
    Wait(Step),
}

/// Judges `count` requests in flight: looks again after `poll`, and leaves `reserve` of the deadline to what
/// comes after the drain. The count is kept for metrics.
pub fn look(context: &DrainContext, count: f64, poll: Millis, reserve: Millis) -> InFlight {
    // A drain goes on without it.
    if let Err(failure) = state::store(KEY, &count) {
        crate::debug!("The requests in flight are not kept", "error" => failure.message);
    }
    if count <= 0.0 {
        return InFlight::Nothing;
    }
    if context.remaining <= reserve {
        return InFlight::Over(requests(count));
    }
    let note = match context.attempt {
        0 => format!("waits for {} in flight", requests(count)),
        _ => String::new(),
    };
    let again = poll.min(context.remaining - reserve).max(1);
    InFlight::Wait(Step::again_in(again, note))
}

/// How many the last look of a drain found; none where nothing was drained.
pub fn last() -> Option<f64> {
    state::load(KEY)
}

fn requests(count: f64) -> String {
    if (count - 1.0).abs() < f64::EPSILON {
        "1 request".to_owned()
    } else {
        format!("{count} requests")
    }
}
