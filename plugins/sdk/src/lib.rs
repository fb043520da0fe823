//! Write Outrigger plugins in Rust.
//!
//! Implement [`Plugin`] and those of [`Discovery`], [`Templating`], [`Health`], [`Metrics`],
//! [`Lifecycle`] and [`Handover`] that the plugin means, then name them in [`export!`]. Build for
//! `wasm32-unknown-unknown`: the component imports nothing but Outrigger's own interfaces.
//!
//! On any other target the imports ([`endpoint`], [`files`], [`settings`], [`state`], [`clock`],
//! [`cluster`], [`log`]) are answered by a [`fake::FakeHost`], so that a plugin's logic, with its use
//! of the host, is tested by a plain `cargo test`.

#[doc(hidden)]
pub mod bindings;
mod export;
mod traits;
mod vocabulary;

pub mod batch;
pub mod clock;
pub mod cluster;
pub mod endpoint;
pub mod env;
pub mod exposition;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
pub mod files;
pub mod first_start;
pub mod in_flight;
pub mod inspect;
pub mod json;
pub mod log;
pub mod settings;
pub mod state;
pub mod stopwatch;
pub mod yaml;

pub use traits::{Discovery, Handover, Health, Lifecycle, Metrics, Plugin, Templating};
pub use vocabulary::{
    Artifact, Batch, Descriptor, Diagnostic, DrainContext, DrainReason, Failure, FailureKind,
    Family, Kind, Membership, Millis, Next, Plan, PodPhase, Probe, Reason, Replica, Scope,
    Severity, Status, Step, Verdict, authority, quorum,
};

#[doc(hidden)]
pub mod private {
    //! What the expansion of [`export!`](crate::export) uses.
    pub use crate::export::Exported;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamplesCompile;
