//! The rules of the code base that no compiler holds, checked by `cargo xtask tidy` and by a test.
//!
//! `ARCHITECTURE.md` names them as invariants; here is what each of them means exactly.

mod directions;
mod manifest;
mod purity;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Failure, progress, workspace};
use manifest::Manifest;

/// A rule that is broken somewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    /// Relative to the workspace's root.
    file: PathBuf,
    /// From 1; 0 = the whole file.
    line: usize,
    /// What is wrong and what to do.
    message: String,
}

impl Violation {
    fn new(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Reports every violation.
pub(crate) fn run() -> Result<(), Failure> {
    let violations = check(workspace::root())?;
    for violation in &violations {
        progress::say(&violation.to_string());
    }
    match violations.len() {
        0 => {
            progress::say("every rule holds");
            Ok(())
        }
        1 => Err(Failure::new("the code base is not tidy: 1 rule is broken")),
        count => Err(Failure::new(format!(
            "the code base is not tidy: {count} rules are broken"
        ))),
    }
}

/// All violations, in the order of the files.
fn check(root: &Path) -> Result<Vec<Violation>, Failure> {
    let members = manifest::members(root)?;
    let mut found = Vec::new();
    found.extend(manifest::check_workspace(&Manifest::read(
        root,
        Path::new("Cargo.toml"),
    )?));
    for member in &members {
        found.extend(manifest::check_member(member));
        found.extend(directions::check(member));
        found.extend(sources::check_crate_root(root, member)?);
    }
    found.extend(purity::check(root, &members)?);
    found.extend(sources::check_files(root)?);
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let violations = check(workspace::root()).unwrap();
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
