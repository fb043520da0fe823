//! The host of all plugins of this process, and what loading one takes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use outrigger_profile::{Grants, PluginLimits};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::cache::Cache;
use crate::call_state::CallState;
use crate::engine::{self, Ticker};
use crate::error::{HostError, LoadError};
use crate::generation::Generation;
use crate::plugin_thread::PluginThread;
use crate::state_store::StateStore;
use crate::transport::{RelatedReader, SecretReader, Transport};
use crate::{imports, load, wasi};

/// How components are compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// In a child process: program and arguments. The child runs [`crate::compile_child`].
    Child(Vec<OsString>),
    /// In this process, without limits: for tests and build scripts.
    InProcess,
}

/// How the host is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Where compiled code is kept; none = it is compiled anew with each loading. The folder must be
    /// writable by this user alone.
    pub cache_dir: Option<PathBuf>,
    /// How components are compiled.
    pub compiler: Compiler,
}

/// The host of all plugins of this process. Cheap to clone.
///
/// It has two threads: one runs the guests, one interrupts them. Both sleep while no call is in
/// flight, and end with the last clone and the last [`Generation`].
#[derive(Clone)]
pub struct PluginHost(Arc<HostParts>);

pub(crate) struct HostParts {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<CallState>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) thread: PluginThread,
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) compiler: Compiler,
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost")
            .field("compiler", &self.0.compiler)
            .field("cache", &self.0.cache)
            .finish_non_exhaustive()
    }
}

impl PluginHost {
    /// Sets up the engine and its threads.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let engine_error = |error: wasmtime::Error| HostError::Engine(format!("{error:#}"));
        let engine = engine::engine().map_err(engine_error)?;
        let mut linker = Linker::new(&engine);
        imports::add_to_linker(&mut linker).map_err(engine_error)?;
        wasi::add_to_linker(&mut linker).map_err(engine_error)?;
        let cache = config.cache_dir.as_deref().map(Cache::open).transpose()?;
        Ok(Self(Arc::new(HostParts {
            ticker: Arc::new(Ticker::start(&engine)?),
            engine,
            linker,
            thread: PluginThread::start()?,
            cache: cache.map(Arc::new),
            compiler: config.compiler,
        })))
    }

    /// Loads a component: verifies it, compiles it (or finds it compiled), checks every import and
    /// export, and calls `describe` and `configure` in scratch instances. The settings are held
    /// against the plugin's schema in between.
    ///
    /// # Cancel safety
    /// Nothing but the cache of compiled code outlives a future that is dropped.
    pub async fn load(
        &self,
        source: &ComponentSource,
        setup: PluginSetup,
    ) -> Result<Generation, LoadError> {
        load::load(&self.0, source, setup).await
    }
}

/// A plugin that ships with this program, compiled when the program was built.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinPlugin {
    /// Its name in `builtin:<name>`.
    pub name: &'static str,
    /// The digest of the component.
    pub component_sha256: [u8; 32],
    /// The component.
    pub component: &'static [u8],
    /// What [`crate::compile`] made of it.
    pub compiled: &'static [u8],
}

/// Where a component comes from.
#[derive(Debug, Clone)]
pub enum ComponentSource {
    /// This program.
    Builtin(&'static BuiltinPlugin),
    /// A file.
    File {
        /// Which.
        path: PathBuf,
        /// What its content must hash to; none = anything.
        digest: Option<[u8; 32]>,
    },
}

/// What one plugin is given.
#[derive(Clone)]
pub struct PluginSetup {
    /// Its name in logs, metrics and errors.
    pub name: String,
    /// The profile's `settings:`.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// What the profile grants. Effective is what the plugin asks for as well.
    pub grants: Grants,
    /// The limits of its calls.
    pub limits: PluginLimits,
    /// How its requests are sent.
    pub transport: Arc<dyn Transport>,
    /// How secrets are read.
    pub secrets: Arc<dyn SecretReader>,
    /// What is known of each related StatefulSet.
    pub related: Arc<dyn RelatedReader>,
    /// The folders of volumes, as this process sees them, by the claim's or volume's name.
    pub volumes: BTreeMap<String, PathBuf>,
    /// Its store.
    pub state: Arc<StateStore>,
    /// Counts the log lines that are dropped; one counter for all generations of a plugin.
    pub dropped_lines: Arc<AtomicU64>,
}

impl fmt::Debug for PluginSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSetup")
            .field("name", &self.name)
            .field("grants", &self.grants)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
