//! What can go wrong with a plugin: at start, at loading, at a call, at a swap. Every variant says
//! what failed; [`LoadError::hint`] and [`CallError::hint`] say what to do.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::settings_schema::SettingProblem;
use crate::types::{Failure, Interface};

/// The host cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine refuses its configuration: a fault of this build.
    #[error("the WebAssembly engine cannot be set up: {0}")]
    Engine(String),
    /// A thread cannot be started.
    #[error("the thread `{name}` cannot be started")]
    Thread {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder of compiled code cannot be used.
    #[error("the folder for compiled code {} cannot be used", path.display())]
    Cache {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A component cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler refuses it.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// It did not end in time.
    #[error("compiling did not end within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The compile child was killed, most likely at one of its limits.
    #[error("the compiler was ended by signal {signal}: {message}")]
    Killed {
        /// The signal.
        signal: i32,
        /// The last line that it wrote.
        message: String,
    },
    /// The compile child could not be run.
    #[error("the compiler `{program}` cannot be run")]
    Run {
        /// What was run.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The compiled code is longer than it may be.
    #[error("the compiled code has more than {0} bytes")]
    TooLarge(usize),
}

/// A component cannot be loaded. The one before it, where there is one, goes on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the component {} cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is longer than it may be.
    #[error("the component has more than {max} bytes")]
    TooLarge {
        /// The most.
        max: usize,
    },
    /// The content is not what the profile pins.
    #[error("the component's digest is sha256:{found}, the profile pins sha256:{expected}")]
    Digest {
        /// As pinned, in hexadecimal.
        expected: String,
        /// As found, in hexadecimal.
        found: String,
    },
    /// Nothing of WebAssembly at all.
    #[error("this is not a WebAssembly component")]
    NotWebAssembly,
    /// WebAssembly as text.
    #[error("this is WebAssembly in its text form")]
    Text,
    /// A core module.
    #[error("this is a core WebAssembly module, not a component")]
    CoreModule,
    /// Compiled code.
    #[error("this is compiled code, not a component")]
    CompiledCode,
    /// The file ends in the middle.
    #[error("the component is truncated: it ends within the section that starts at byte {section}")]
    Truncated {
        /// Where the last section starts, in bytes.
        section: usize,
    },
    /// It cannot be compiled.
    #[error("the component cannot be compiled")]
    Compile(#[source] CompileError),
    /// Compiled code that does not fit this engine.
    #[error("the compiled code of the built-in plugin `{name}` does not fit this build: {reason}")]
    Builtin {
        /// Which plugin.
        name: String,
        /// Why.
        reason: String,
    },
    /// It does not export `plugin`: made for another world.
    #[error("the component does not export {wanted}; it exports {}", list(exports))]
    NotAPlugin {
        /// The interface that is missing.
        wanted: String,
        /// What it exports.
        exports: Vec<String>,
    },
    /// It was made for another version of the border.
    #[error("the component was made for {found}, this host speaks {supported}")]
    OtherVersion {
        /// The interface with its version.
        found: String,
        /// What this host speaks.
        supported: String,
    },
    /// It imports what this host does not have.
    #[error(
        "the component imports {}, which this host does not have",
        list(imports)
    )]
    UnknownImports {
        /// Which.
        imports: Vec<String>,
    },
    /// An interface has other functions or types than in the WIT.
    #[error("the component's interface `{interface}` is not the one of this host: {problem}")]
    Interface {
        /// Which.
        interface: String,
        /// What differs.
        problem: String,
    },
    /// It cannot be instantiated.
    #[error("the component cannot be instantiated: {0}")]
    Instantiate(String),
    /// The first calls failed.
    #[error("the plugin failed its first calls")]
    Call(#[source] CallError),
    /// What it says of itself cannot be used.
    #[error("the plugin's description is wrong: {0}")]
    Description(String),
    /// The settings do not fit its schema.
    #[error("the settings do not fit the plugin: {}", problems(.0))]
    Settings(Vec<SettingProblem>),
    /// It refuses the settings.
    #[error("the plugin refuses its settings: {0}")]
    Refused(Failure),
}

impl LoadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Read { .. } => {
                "look at `plugin.source` in the profile: file paths are relative to the profile's folder"
            }
            Self::TooLarge { .. } => "strip the component of debug information",
            Self::Digest { .. } => {
                "pin the new digest in the profile, or write `digest: any` where the file is meant to be replaced while running"
            }
            Self::NotWebAssembly => {
                "build one for wasm32-wasip2, or for wasm32-unknown-unknown and run `wasm-tools component new`"
            }
            Self::Text => "run `wasm-tools parse` on it",
            Self::CoreModule => "run `wasm-tools component new` on it, or build for wasm32-wasip2",
            Self::CompiledCode => {
                "give the component (.wasm): only Outrigger itself makes and reads compiled code"
            }
            Self::Truncated { .. } => {
                "copy it again; write to another name and rename, so that it is never seen half-written"
            }
            Self::Compile(CompileError::Invalid(_)) => {
                "build it again with a current toolchain; features beyond WebAssembly 2.0 and threads are not supported"
            }
            Self::Compile(
                CompileError::Timeout(_) | CompileError::Killed { .. } | CompileError::TooLarge(_),
            ) => {
                "make the component smaller: strip it, optimise for size, leave unused dependencies out"
            }
            Self::Compile(CompileError::Run { .. }) => {
                "this is a fault of the installation: the program must be able to run itself"
            }
            Self::Builtin { .. } => "this is a fault of the build: build the whole program again",
            Self::NotAPlugin { .. } => {
                "build it against a world of the package outrigger:plugin, at least `base`"
            }
            Self::OtherVersion { .. } => "build it against the WIT package of this host's version",
            Self::UnknownImports { .. } => {
                "import only what the world `host-api` of outrigger:plugin has; WASI beyond clocks, random and stdio is refused when it is called"
            }
            Self::Interface { .. } => {
                "build it against the WIT package of this host's version; exported interfaces are closed"
            }
            Self::Instantiate(_) => {
                "raise `limits.memory` in the profile if it is a matter of memory"
            }
            Self::Call(error) => return error.hint(),
            Self::Description(_) => "this is a fault of the plugin",
            Self::Settings(_) | Self::Refused(_) => "change `plugin.settings` in the profile",
        })
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallErrorKind {
    /// The guest trapped.
    #[error("it trapped: {0}")]
    Trap(String),
    /// It used up its CPU time.
    #[error("it used more than {} ms of CPU time", .0.as_millis())]
    CpuDeadline(Duration),
    /// It did not answer in time.
    #[error("it did not answer within {} ms", .0.as_millis())]
    WallDeadline(Duration),
    /// It ran out of memory.
    #[error("it needed more than {0} bytes of memory")]
    MemoryLimit(u64),
    /// What it answered cannot be used.
    #[error("its answer cannot be used: {0}")]
    BadAnswer(String),
    /// It answered that it could not. An answer, not a fault.
    #[error("{}: {}", .0.kind, .0.message)]
    Failure(Failure),
    /// It is not asked, for it failed too often.
    #[error("it failed too often and is left alone for another {ms} ms")]
    Quarantined {
        /// For how long.
        ms: u64,
    },
    /// It does not export this.
    #[error("it does not export this")]
    NotExported,
    /// Too many calls wait already.
    #[error("too many calls wait for plugins")]
    Overloaded,
    /// A fault of the host.
    #[error("fault of the host: {0}")]
    Internal(String),
}

impl CallErrorKind {
    /// The word for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::CpuDeadline(_) => "cpu-deadline",
            Self::WallDeadline(_) => "wall-deadline",
            Self::MemoryLimit(_) => "memory-limit",
            Self::BadAnswer(_) => "bad-answer",
            Self::Failure(_) => "failure",
            Self::Quarantined { .. } => "quarantined",
            Self::NotExported => "not-exported",
            Self::Overloaded => "overloaded",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether it is the plugin's fault, which counts towards its quarantine.
    pub fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Trap(_)
                | Self::CpuDeadline(_)
                | Self::WallDeadline(_)
                | Self::MemoryLimit(_)
                | Self::BadAnswer(_)
        )
    }
}

/// A call that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin `{plugin}`, {function}: {kind}")]
pub struct CallError {
    /// The plugin's name in the profile.
    pub plugin: String,
    /// Interface and function, such as `health.evaluate`.
    pub function: &'static str,
    /// Why.
    pub kind: CallErrorKind,
}

impl CallError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.kind {
            CallErrorKind::Trap(_) => Some("the plugin's own log lines just before may say why"),
            CallErrorKind::CpuDeadline(_) => {
                Some("raise `plugin.limits.cpu` in the profile if it needs that long")
            }
            CallErrorKind::WallDeadline(_) => Some(
                "raise `plugin.limits.wall` in the profile, or lower the timeouts of its endpoints",
            ),
            CallErrorKind::MemoryLimit(_) => {
                Some("raise `plugin.limits.memory` in the profile if it needs that much")
            }
            CallErrorKind::BadAnswer(_) => Some("this is a fault of the plugin"),
            CallErrorKind::Failure(_)
            | CallErrorKind::Quarantined { .. }
            | CallErrorKind::NotExported
            | CallErrorKind::Overloaded
            | CallErrorKind::Internal(_) => None,
        }
    }
}

impl Serialize for CallError {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = to.serialize_map(Some(3))?;
        map.serialize_entry("function", self.function)?;
        map.serialize_entry("kind", self.kind.as_str())?;
        map.serialize_entry("message", &self.kind.to_string())?;
        map.end()
    }
}

/// A new generation cannot take over. The old one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// It is another plugin.
    #[error("the new component is the plugin `{new}`, the old one is `{old}`")]
    OtherPlugin {
        /// The old one's name.
        old: String,
        /// The new one's name.
        new: String,
    },
    /// It lacks what the old one has, and the profile may count on.
    #[error("the new component does not export `{0}`, which the old one does")]
    Lacks(Interface),
    /// The old one could not say what the new one should know.
    #[error("the old generation could not hand over")]
    Save(#[source] CallError),
    /// The new one did not take over.
    #[error("the new generation refused to take over")]
    Restore(#[source] CallError),
    /// The new one's first verdict failed.
    #[error("the new generation failed its trial")]
    Trial(#[source] CallError),
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn problems(problems: &[SettingProblem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
