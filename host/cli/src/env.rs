//! The only reader of the environment: everything else is handed its values.

use std::ffi::OsString;
use std::path::PathBuf;

/// One variable; an empty one counts as unset, as in a pod template whose field has no value.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one place that reads it"
)]
pub(crate) fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that holds a path, which need not be UTF-8.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The folders of `PATH`.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// Where the user's programs keep what they may lose: `$XDG_CACHE_HOME`, else `~/.cache`.
pub(crate) fn cache_home() -> Option<PathBuf> {
    path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")))
}

/// Where the user's programs keep what they must not lose: `$XDG_STATE_HOME`, else `~/.local/state`.
pub(crate) fn state_home() -> Option<PathBuf> {
    path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state")))
}
