//! Programs that the project needs and cargo can install, kept outside the checkout so that a fresh
//! clone finds them: `$XDG_CACHE_HOME/outrigger`, else `~/.cache/outrigger`.

use std::path::{Path, PathBuf};

use crate::{Failure, command, progress};

/// One crate with one program, at one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// The folder within the cache.
    shelf: &'static str,
    /// The crate, which is also the name of its program.
    name: &'static str,
    version: &'static str,
    /// Whether its speed matters: what runs for seconds is built without optimisation, which is
    /// several times faster on a cold machine.
    optimised: bool,
}

/// The database of the first example and of the process tests. `outrigger up` looks for its programs
/// at the same place.
pub(crate) const AGDB_SERVER: Program = Program {
    shelf: "programs",
    name: "agdb_server",
    version: "0.16.0",
    optimised: true,
};

/// Checks licences, sources and who may use which dependency.
pub(crate) const CARGO_DENY: Program = Program {
    shelf: "tools",
    name: "cargo-deny",
    version: "0.20.2",
    optimised: false,
};

impl Program {
    /// The installed program; installs it first where it is missing.
    pub(crate) fn ensure(&self) -> Result<PathBuf, Failure> {
        let root = self.root(&home()?);
        let path = root.join("bin").join(self.name);
        if path.is_file() {
            return Ok(path);
        }
        progress::heading(&format!(
            "installing {} {} with cargo (once; takes some minutes)",
            self.name, self.version
        ));
        let mut cargo = command::cargo();
        cargo.args([
            "install",
            self.name,
            "--version",
            self.version,
            "--locked",
            "--root",
        ]);
        // Its own temporary target folder: it shares nothing with ours.
        cargo.arg(&root).env_remove("CARGO_TARGET_DIR");
        if !self.optimised {
            for (name, value) in [
                ("OPT_LEVEL", "0"),
                ("LTO", "off"),
                ("CODEGEN_UNITS", "16"),
                ("DEBUG", "0"),
            ] {
                cargo.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
            }
        }
        command::run(&mut cargo)?;
        if path.is_file() {
            return Ok(path);
        }
        Err(Failure::new(format!(
            "cargo installed {} but there is no program of that name",
            self.name
        )))
    }

    fn root(&self, cache: &Path) -> PathBuf {
        cache
            .join("outrigger")
            .join(self.shelf)
            .join(format!("{}-{}", self.name, self.version))
    }
}

/// The folder of the user's caches.
pub(crate) fn home() -> Result<PathBuf, Failure> {
    let path = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    path("XDG_CACHE_HOME")
        .or_else(|| path("HOME").map(|home| home.join(".cache")))
        .ok_or_else(|| Failure::new("neither XDG_CACHE_HOME nor HOME is set\n  hint: set one of them, programs are cached there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_a_place_of_its_own() {
        assert_eq!(
            AGDB_SERVER.root(Path::new("/cache")),
            Path::new("/cache/outrigger/programs/agdb_server-0.16.0")
        );
        assert_eq!(
            CARGO_DENY.root(Path::new("/cache")),
            Path::new("/cache/outrigger/tools/cargo-deny-0.20.2")
        );
    }
}
