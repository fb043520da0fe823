//! Tests of the sidecar's parts against real sockets and files.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends; helpers of tests do too"
)]

mod builtins;
mod discovery;
mod fake_dns;
