//! Process tests: the harness that they share, and nothing of Outrigger itself.
//!
//! A test here drives the built binary as a user does: it starts `outrigger up`, speaks HTTP to what
//! that serves, and reads what it wrote. No crate of ours is linked in, so a test cannot pass by
//! looking behind the scenes.
//!
//! - [`Up`] starts `outrigger up`, gives access to its replicas, and on drop stops it; when the test
//!   failed it first shows logs, status and timeline of every sidecar.
//! - [`SidecarPod`] holds what one `outrigger sidecar` needs, and runs it.
//! - [`eventually`] waits for a condition and reports the last state that it saw; [`throughout`]
//!   demands that one holds for a while.
//! - [`Example`] is a copy of an example's folder that a test may edit.
//! - [`Life`] holds what an example's `LIFE.md` tells against what happened.
//! - [`Agdb`] is a client of one agdb server.
//! - [`pods`], [`port`], [`series`], [`told`] and the like ask a running `up`.
//! - [`Http`] speaks to a TCP address or a Unix socket.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "all of this runs inside tests, where a panic is the report"
)]

mod agdb;
mod eventually;
mod example;
mod http;
mod life;
mod programs;
mod replicas;
mod sidecar;
mod up;

pub use agdb::{Agdb, AgdbError, Member};
pub use eventually::{eventually, throughout};
pub use example::Example;
pub use http::{Answer, Http, HttpError};
pub use life::Life;
pub use programs::{agdb_server, outrigger, stand_in};
pub use replicas::{
    Pod, all_ready, exposition, get, lines, pods, port, probe, series, sidecar, timeline, told,
    wrote,
};
pub use sidecar::{RunningSidecar, SidecarPod};
pub use up::{Output, Up, run};
