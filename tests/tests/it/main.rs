//! Real agdb servers, and stand-ins for what cannot be had, under `outrigger up`, driven as a user drives
//! them.

#![expect(
    clippy::unwrap_used,
    reason = "all of this runs inside tests, where a panic is the report"
)]

mod admin;
mod adoption;
mod bad_input;
mod cluster;
mod components;
mod guests;
mod life;
mod manifests;
mod otlp;
mod oxia;
mod piko;
mod pods;
mod refusals;
mod related;
mod reload;
mod rollback;
mod scaling;
mod stand_in;
mod tag;
