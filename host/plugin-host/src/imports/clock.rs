//! The only clocks of a guest.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::bindings::imports::clock;
use crate::call_state::CallState;

/// The arbitrary point from which the monotonic clock counts.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl clock::Host for CallState {
    fn wall(&mut self) -> wasmtime::Result<f64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(since
            .map_or(0.0, |span| span.as_secs_f64() * 1000.0)
            .floor())
    }

    fn mono(&mut self) -> wasmtime::Result<f64> {
        Ok(START.elapsed().as_secs_f64() * 1000.0)
    }
}
