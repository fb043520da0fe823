//! Workloads that Go builds, real ones, under `outrigger up`: run by `cargo xtask outside`, which installs
//! them where `up` looks.

#![expect(
    clippy::unwrap_used,
    reason = "all of this runs inside tests, where a panic is the report"
)]

mod aistore;
mod nats;
