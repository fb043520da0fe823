//! Where things are: the workspace's root and its built programs.

use std::path::{Path, PathBuf};

use crate::Failure;

/// The workspace's root: this package lives two folders below it.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// A program that cargo built with the same profile into the same target folder as this one.
pub(crate) fn built(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot tell where this program is: {error}")))?;
    let folder = own
        .parent()
        .ok_or_else(|| Failure::new("this program is in no folder"))?;
    Ok(folder.join(name))
}

/// The target folder that this program was built into.
pub(crate) fn target() -> Result<PathBuf, Failure> {
    let program = built("outrigger")?;
    let target = program.ancestors().nth(2).map(PathBuf::from);
    target.ok_or_else(|| Failure::new("this program is in no target folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_where_the_lock_file_is() {
        assert!(root().join("Cargo.lock").is_file(), "{}", root().display());
    }
}
