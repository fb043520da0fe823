//! What guests may import: one module for each interface of `wit/`, each with its caps and grants.

mod clock;
mod cluster;
mod endpoint;
mod files;
pub(crate) mod log;
mod settings;
mod state;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::{WorkloadPlugin, imports, wit};
use crate::call_state::CallState;
use crate::limits::MESSAGE_BYTES_MAX;

/// Adds all of them.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    WorkloadPlugin::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl imports::types::Host for CallState {}

/// A failure to hand to a guest.
fn failure(kind: wit::FailureKind, message: impl AsRef<str>) -> wit::Failure {
    wit::Failure {
        kind,
        message: crate::types::cut(message.as_ref(), MESSAGE_BYTES_MAX),
        retry_after: None,
    }
}
