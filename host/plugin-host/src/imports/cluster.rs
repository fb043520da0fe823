//! The snapshot of the replicas that the call was given, and those of each related StatefulSet.

use std::time::SystemTime;

use crate::bindings::imports::cluster;
use crate::bindings::{to_guest, wit};
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

    fn related(&mut self, name: String) -> wasmtime::Result<Option<wit::Membership>> {
        if let Some(asked) = self.related.get(&name) {
            return Ok(asked.clone());
        }
        let known = self.shared.related.related(&name);
        let known = known.map(|set| to_guest::membership(&set, SystemTime::now()));
        // Names of nothing are not kept: there is no end of them.
        if known.is_some() {
            self.related.insert(name, known.clone());
        }
        Ok(known)
    }
}
