//! The host against real guests: those of `tests/guests`, built once for all tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests stand outside of test functions, where clippy.toml allows both"
)]

mod calls;
mod compiling;
mod fakes;
mod guests;
mod imports;
mod loading;
mod old_components;
mod swapping;
mod wasi;
