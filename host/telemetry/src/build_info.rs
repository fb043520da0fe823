//! Which build this is.

use serde::Serialize;

/// Which build this is: the status, the metric `outrigger_build_info` and `--version` show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BuildInfo {
    /// The workspace's version.
    pub version: &'static str,
    /// The commit: of a release build from a checkout, or as the variable `OUTRIGGER_REVISION` told the
    /// build; empty otherwise.
    pub revision: &'static str,
    /// `x86_64-linux` and the like.
    pub target: &'static str,
    /// Whether this is an optimised build.
    pub optimized: bool,
}

impl BuildInfo {
    /// This build.
    pub fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("OUTRIGGER_REVISION").unwrap_or(""),
            target: TARGET,
            optimized: !cfg!(debug_assertions),
        }
    }
}

const TARGET: &str = if cfg!(target_arch = "x86_64") {
    "x86_64-linux"
} else if cfg!(target_arch = "aarch64") {
    "aarch64-linux"
} else {
    "linux"
};
