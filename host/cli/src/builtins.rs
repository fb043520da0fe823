//! The plugins that ship inside this binary, built and compiled by the build script.

use outrigger_plugin_host::BuiltinPlugin;

/// All of them, by name.
pub(crate) static BUILTINS: &[BuiltinPlugin] = include!(concat!(env!("OUT_DIR"), "/builtins.rs"));
