//! HTTP requests from plugins to the workload and its peers.

mod exchange;

pub(crate) use exchange::exchange;
