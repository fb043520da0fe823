//! The names of `up`'s cluster, as a cluster's DNS has them.
//!
//! [`Zone`] is pure: a snapshot of Services and their endpoints that answers look-ups.
//! [`Server`] serves the newest one over UDP and TCP.

mod server;
mod zone;

pub use server::{DnsError, Server};
pub use zone::{Answer, Data, Endpoint, Kind, Port, Protocol, Record, Service, Srv, Zone};
