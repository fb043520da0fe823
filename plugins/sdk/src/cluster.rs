//! The StatefulSet as the running call sees it, and others that the profile names.

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::outrigger::plugin::cluster as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::fake::cluster as host;

use crate::Membership;

/// The snapshot; the same for the whole call.
pub fn current() -> Membership {
    host::current()
}

/// Its revision, without copying it.
pub fn revision() -> u32 {
    host::revision()
}

/// Another StatefulSet, by its name in the profile (`related.<name>`). None where the profile has no such
/// name, and until it was learnt once. Its `self_ordinal` has no meaning.
pub fn related(name: &str) -> Option<Membership> {
    host::related(name)
}
