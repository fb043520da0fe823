//! The snapshot of the replicas that the call was given.

use crate::bindings::imports::cluster;
use crate::bindings::wit;
use crate::call_state::CallState;

const UNKNOWN: &str = "nothing is known of the cluster while the plugin is loaded: \
    `describe` and `configure` must not ask for it";

impl cluster::Host for CallState {
    fn current(&mut self) -> wasmtime::Result<wit::Membership> {
        match &self.membership {
            Some(now) => Ok(wit::Membership::clone(now)),
            None => Err(wasmtime::Error::msg(UNKNOWN)),
        }
    }

    fn revision(&mut self) -> wasmtime::Result<u32> {
        match &self.membership {
            Some(now) => Ok(now.revision),
            None => Err(wasmtime::Error::msg(UNKNOWN)),
        }
    }
}
