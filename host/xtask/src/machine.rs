//! Programs of the machine that some steps need and cargo cannot install. What is missing is no fault
//! of the code: such a step is skipped, with the reason.

use std::path::PathBuf;

use crate::{Failure, command, progress};

/// Why something cannot be done here: the reason of a step that is skipped.
pub(crate) type Missing = String;

/// One program, by the name that it has on `PATH`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    name: &'static str,
    /// The Debian packages that have it; none where Debian's are too old.
    packages: &'static [&'static str],
    /// What tells its version, and the oldest that will do, as major and minor.
    version: Option<(&'static [&'static str], (u32, u32))>,
}

/// Compiles the reader of expositions, and workloads.
pub(crate) const GO: Tool = Tool {
    name: "go",
    packages: &[],
    version: Some((&["env", "GOVERSION"], (1, 26))),
};

/// Drives the browser.
pub(crate) const NODE: Tool = Tool {
    name: "node",
    packages: &[],
    version: Some((&["--version"], (20, 0))),
};

/// Installs what drives the browser.
pub(crate) const NPM: Tool = Tool {
    name: "npm",
    packages: &[],
    version: None,
};

/// The browser.
pub(crate) const CHROMIUM: Tool = Tool {
    name: "chromium",
    packages: &["chromium"],
    version: None,
};

impl Tool {
    /// Where it is; where it is missing, root installs it by apt first.
    pub(crate) fn ensure(&self) -> Result<PathBuf, Missing> {
        let path = match on_path(self.name) {
            Some(path) => path,
            None => self.install()?,
        };
        if let Some((args, oldest)) = self.version {
            let said = command::read(
                command::program(&path)
                    .args(args)
                    .env("GOTOOLCHAIN", "local"),
            )
            .map_err(|failure| first_line(&failure))?;
            if version(&said).is_none_or(|version| version < oldest) {
                let (major, minor) = oldest;
                return Err(format!(
                    "{} is {}, {major}.{minor} or newer is needed",
                    self.name,
                    said.trim()
                ));
            }
        }
        Ok(path)
    }

    fn install(&self) -> Result<PathBuf, Missing> {
        let name = self.name;
        if self.packages.is_empty() || on_path("apt-get").is_none() {
            return Err(format!("{name} is missing"));
        }
        if !command::read(command::program("id").arg("-u")).is_ok_and(|id| id.trim() == "0") {
            return Err(format!(
                "{name} is missing (root would install it by apt-get)"
            ));
        }
        progress::heading(&format!("installing {name} by apt-get"));
        let apt = |args: &[&str]| {
            command::run(
                command::program("apt-get")
                    .args(args)
                    .env("DEBIAN_FRONTEND", "noninteractive"),
            )
        };
        let install = ["install", "-q", "-y", "--no-install-recommends"];
        apt(&["update", "-q"])
            .and_then(|()| apt(&[&install, self.packages].concat()))
            .map_err(|failure| format!("{name} is missing: {}", first_line(&failure)))?;
        on_path(name).ok_or_else(|| format!("{name} is missing after its installation"))
    }
}

/// The first program of this name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A failure as a reason to skip.
pub(crate) fn first_line(failure: &Failure) -> Missing {
    let line = failure.message.lines().next();
    line.unwrap_or_default().to_owned()
}

/// Major and minor in `go1.26.8`, `v20.20.2` and the like.
fn version(said: &str) -> Option<(u32, u32)> {
    let digits = said
        .trim()
        .trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = digits.split(|c: char| !c.is_ascii_digit());
    let major = parts.next()?.parse().ok()?;
    Some((
        major,
        parts
            .next()
            .and_then(|minor| minor.parse().ok())
            .unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        for (said, expected) in [
            ("go1.26.8\n", Some((1, 26))),
            ("v20.20.2", Some((20, 20))),
            ("go1.27rc1", Some((1, 27))),
            ("devel", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
    }

    #[test]
    fn a_program_that_no_package_has_is_missing_by_its_name() {
        let tool = Tool {
            name: "outrigger-no-such-program",
            packages: &[],
            version: None,
        };
        assert_eq!(
            tool.ensure().unwrap_err(),
            "outrigger-no-such-program is missing"
        );
    }

    #[test]
    fn a_program_that_is_too_old_is_missing_with_its_version() {
        let tool = Tool {
            name: "cargo",
            packages: &[],
            version: Some((&["--version"], (1000, 0))),
        };
        let missing = tool.ensure().unwrap_err();
        assert!(
            missing.starts_with("cargo is cargo 1.")
                && missing.ends_with("1000.0 or newer is needed"),
            "{missing}"
        );
    }
}
