//! The way to the API server: bounded requests, lists that are followed by watches, and Events.
//!
//! - [`ApiServer`] sends one request, within limits of time and bytes;
//! - [`follow`] keeps a [`Sink`] current with what a [`Scope`] says, whatever happens to its watches;
//! - [`EventSink`] takes Events that nobody waits for.
//!
//! It knows no kind of object: what is kept of one is its user's affair.

mod client;
mod connect;
mod events;
mod follow;
mod metadata;
#[cfg(feature = "stand-in")]
#[expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "all of this runs inside tests"
)]
pub mod stand_in;
mod verbs;

pub use client::{Answer, ApiError, ApiServer, Lines, Pause, RequestCounts};
pub use connect::{ConnectError, connect, connect_by_context, connect_in_cluster, server_version};
pub use events::{EventCounts, EventSender, EventSink, Notice, Reporter, events};
pub use follow::{Scope, Sink, follow, touched};
pub use metadata::Metadata;
pub use verbs::{micro_time, read_time, second_time};
