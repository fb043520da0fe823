//! A running example, as some steps look at it from outside: `outrigger up … --exec CMD`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, process};

use crate::{Failure, command};

/// After this many seconds an `up` hangs: it is interrupted as by Ctrl-C, and killed a minute later.
const HANGS_SECONDS: &str = "600";

/// The agdb example and the program that runs it.
#[derive(Debug)]
pub(crate) struct Example {
    outrigger: PathBuf,
    /// Where it is started.
    at: PathBuf,
}

impl Example {
    /// With this program, from this folder.
    pub(crate) fn new(outrigger: &Path, at: &Path) -> Self {
        Self {
            outrigger: outrigger.to_owned(),
            at: at.to_owned(),
        }
    }

    /// Brings it up with a state folder of its own, runs a shell command, takes it down. The command
    /// finds the program in `OUTRIGGER`, besides what `up` tells it.
    pub(crate) fn up(&self, scratch: &Scratch, exec: &str) -> Command {
        let mut up = command::program("timeout");
        up.args(["--foreground", "--signal=INT", "--kill-after=60"])
            .arg(HANGS_SECONDS)
            .arg(&self.outrigger)
            .arg("up")
            .arg(crate::workspace::root().join("examples/agdb"))
            .args(["--timeout", "180s", "--no-install", "--state"])
            .arg(scratch.path.join("state"))
            .args(["--exec", exec.trim()])
            .env("OUTRIGGER", &self.outrigger)
            .current_dir(&self.at);
        up
    }
}

/// A temporary folder, gone with the value. Its name is short: sockets are in it.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Scratch {
    /// A new and empty one.
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("outrigger-{name}-{}", process::id()));
        fs::create_dir(&path)
            .map_err(|error| Failure::new(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_is_gone_with_its_value() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path.clone();
        fs::write(path.join("file"), "").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn an_example_is_brought_up_with_a_deadline_and_a_state_folder_of_its_own() {
        let scratch = Scratch::new("test-up").unwrap();
        let example = Example::new(Path::new("/bin/outrigger"), &scratch.path);
        let up = example.up(&scratch, " true ");
        let line: Vec<_> = up.get_args().filter_map(|arg| arg.to_str()).collect();
        assert!(
            line.starts_with(&["--foreground", "--signal=INT"]),
            "{line:?}"
        );
        assert!(line.ends_with(&["--exec", "true"]), "{line:?}");
        assert_eq!(up.get_current_dir(), Some(scratch.path.as_path()));
    }
}
