//! Files of the volumes that the profile grants.

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::outrigger::plugin::files as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::fake::files as host;

pub use crate::bindings::host::outrigger::plugin::files::FsUsage;

use crate::Failure;

/// Reads a file whole. Fails with `unavailable` when it does not exist, with `limit` when it is longer
/// than `max` bytes (at most 4 MiB), with `denied` when the volume is not granted.
pub fn read(volume: &str, path: &str, max: u32) -> Result<Vec<u8>, Failure> {
    host::read(volume, path, max)
}

/// Writes a small file (at most 64 KiB) whole and atomically, where the grant allows writing.
pub fn write(volume: &str, path: &str, content: &[u8]) -> Result<(), Failure> {
    host::write(volume, path, content)
}

/// The names in a folder of the volume (`""` = its root), sorted.
pub fn entries(volume: &str, path: &str) -> Result<Vec<String>, Failure> {
    host::entries(volume, path)
}

/// The volume's size and what is free of it, in bytes.
pub fn usage(volume: &str) -> Result<FsUsage, Failure> {
    host::usage(volume)
}
