//! The runtime beside each replica.

pub mod admin;
pub mod config;
pub mod control;
pub mod discovery;
pub mod files;
pub mod limits;
pub mod reload;
pub mod secrets;
pub mod template;
pub mod timeline;
pub mod transport;
pub mod health;
pub mod lifecycle;
pub mod metrics;
