//! The runtime beside each replica.

pub mod admin;
pub mod cluster;
pub mod config;
pub mod control;
pub mod discovery;
pub mod files;
#[cfg(test)]
mod fixture;
pub mod health;
pub mod lifecycle;
pub mod limits;
pub mod metrics;
pub mod reload;
pub mod rooms;
pub mod secrets;
mod sidecar;
pub mod template;
mod termination;
pub mod timeline;
pub mod transport;
pub mod trial;

pub use self::sidecar::{Ended, Sidecar, SidecarError, SidecarSetup};
