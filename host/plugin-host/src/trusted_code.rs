//! The one place where compiled code becomes executable.

use wasmtime::Engine;
use wasmtime::component::Component;

/// Makes a component of compiled code.
///
/// # Assumptions
/// `compiled` was made by [`crate::compile`] of this program's own build: either embedded in this
/// binary ([`crate::BuiltinPlugin`]), or written by our own compile child a moment ago and read from
/// its pipe, or read from the cache after its tag was verified with the key that only this user can
/// read. The engine checks that version, configuration and architecture fit, not who made it.
pub(crate) fn component(engine: &Engine, compiled: &[u8]) -> Result<Component, wasmtime::Error> {
    #[expect(
        unsafe_code,
        reason = "loading compiled code is running it; the origins above are the ones that are trusted"
    )]
    // SAFETY: the bytes come from `Engine::precompile_component` by the assumptions above, which all
    // three callers (`load::builtin`, `load::cached`, `load::compiled`) hold.
    unsafe {
        Component::deserialize(engine, compiled)
    }
}
