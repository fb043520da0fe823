//! Loads and calls plugins: the only user of wasmtime.

mod bindings;
mod error;
mod host;
pub mod limits;
mod settings_schema;
mod state_store;
mod transport;
mod types;

pub use error::{CallError, CallErrorKind, CompileError, HostError, LoadError, SwapError};
pub use host::{BuiltinPlugin, Compiler, ComponentSource, HostConfig, PluginSetup};
pub use settings_schema::{SettingProblem, SettingsSchema};
pub use state_store::{StateError, StateOpenError, StateStore};
pub use transport::{
    BoxFuture, EndpointRequest, EndpointResponse, SecretError, SecretReader, Target, Transport,
    TransportError,
};
pub use types::{
    Artifact, Batch, BatchBuilder, BatchProblem, Diagnostic, DiagnosticSeverity, DrainContext,
    DrainReason, Failure, FailureKind, Family, Interface, MetricKind, Next, Plan, Probe, Reason,
    Sample, Scope, Status, Step, Verdict,
};
