//! The host of all plugins of this process, and what loading one takes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use outrigger_profile::{Grants, PluginLimits};

use crate::state_store::StateStore;
use crate::transport::{SecretReader, Transport};

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
    /// The folders of volumes, as this process sees them, by the claim's or volume's name.
    pub volumes: BTreeMap<String, PathBuf>,
    /// Its store.
    pub state: Arc<StateStore>,
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
