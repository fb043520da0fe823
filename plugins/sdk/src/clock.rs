//! The only clocks that a plugin has.

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::outrigger::plugin::clock as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::fake::clock as host;

/// Milliseconds since the Unix epoch.
pub fn wall() -> f64 {
    host::wall()
}

/// Milliseconds since an arbitrary point; never goes back.
pub fn mono() -> f64 {
    host::mono()
}
