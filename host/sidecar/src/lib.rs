//! The runtime beside each replica.

pub mod config;
pub mod limits;
