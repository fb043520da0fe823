//! Loads and calls plugins: the only user of wasmtime.
//!
//! A plugin is a WebAssembly component of a world of `wit/`. [`PluginHost::load`] makes a
//! [`Generation`] of it, [`Plugin`] is one in use: each call runs in a fresh instance on a thread of
//! its own, within limits of memory, CPU and wall time, and reaches only what the profile grants.
//! What a guest does wrong costs its own call and nothing else.

mod bindings;
mod cache;
mod call_state;
mod compile;
mod engine;
mod error;
mod exports;
mod generation;
mod grants;
mod host;
mod imports;
pub mod limits;
mod load;
mod placeholder;
mod plugin;
mod plugin_thread;
mod program;
mod quarantine;
mod request_path;
mod settings_schema;
mod state_store;
mod transport;
mod trusted_code;
mod types;
mod volume;
mod wasi;

pub use compile::{compile, compile_child};
pub use error::{CallError, CallErrorKind, CompileError, HostError, LoadError, SwapError};
pub use generation::{CodeOrigin, Generation};
pub use host::{BuiltinPlugin, Compiler, ComponentSource, HostConfig, PluginHost, PluginSetup};
pub use load::digest;
pub use plugin::{FunctionInfo, LastError, Plugin, PluginInfo};
pub use settings_schema::{SettingProblem, SettingsSchema};
pub use state_store::{StateError, StateOpenError, StateStore};
pub use transport::{
    BoxFuture, EndpointRequest, EndpointResponse, RelatedReader, SecretError, SecretReader, Target,
    Transport, TransportError, Trust,
};
pub use types::{
    Artifact, Batch, BatchBuilder, BatchProblem, Diagnostic, DiagnosticSeverity, DrainContext,
    DrainReason, Failure, FailureKind, Family, Interface, MetricKind, Next, Plan, Probe, Reason,
    Sample, Scope, Status, Step, Verdict,
};
