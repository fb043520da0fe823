//! Workloads that Go builds, from their own modules at one version, kept where `outrigger up` looks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::{self, Missing};
use crate::{Failure, cache, command, progress};

/// One program of a module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoProgram {
    module: &'static str,
    /// Where its package is within the module; nothing for the module itself.
    package: &'static str,
    /// What the program is called.
    name: &'static str,
    version: &'static str,
}

/// The targets and proxies of AIStore's example.
pub(crate) const AISNODE: GoProgram = GoProgram {
    module: "github.com/NVIDIA/aistore",
    package: "cmd/aisnode",
    name: "aisnode",
    version: "v1.5.0",
};

/// The servers of NATS' example.
pub(crate) const NATS_SERVER: GoProgram = GoProgram {
    module: "github.com/nats-io/nats-server/v2",
    package: "",
    name: "nats-server",
    version: "v2.11.4",
};

impl GoProgram {
    /// The installed program; builds it first where it is missing. Why it cannot be had here, where Go or
    /// the module cannot.
    ///
    /// Not by `go install`: that asks the module mirror for a list of versions, which some refuse.
    pub(crate) fn ensure(&self) -> Result<Result<PathBuf, Missing>, Failure> {
        let path = self.path(&cache::home()?);
        if path.is_file() {
            return Ok(Ok(path));
        }
        let go = match machine::GO.ensure() {
            Ok(go) => go,
            Err(missing) => return Ok(Err(missing)),
        };
        progress::heading(&format!(
            "building {} {} with Go (once; takes some minutes)",
            self.name, self.version
        ));
        let bin = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(bin)
            .map_err(|error| Failure::new(format!("cannot make {}: {error}", bin.display())))?;
        let go = |folder: &Path, args: &[&str]| go_in(&go, folder, args);
        let module = format!("{}@{}", self.module, self.version);
        // `bin` is of no module of its own.
        if let Some(missing) = fetched(&mut go(bin, &["mod", "download", &module]), MISMATCH)? {
            return Ok(Err(missing));
        }
        let sources = command::read(&mut go(bin, &["list", "-m", "-f", "{{.Dir}}", &module]))?;
        let sources = Path::new(sources.trim_end());
        let package = format!("./{}", self.package);
        // What it is made of, fetched and checked by its own go.sum.
        let depends = ["list", "-deps", "-f", "{{.Standard}}", &package];
        if let Some(missing) = fetched(&mut go(sources, &depends), MISMATCH)? {
            return Ok(Err(missing));
        }
        // Whole or not at all, however the build ends.
        let unfinished = bin.join(format!("{}.{}", self.name, std::process::id()));
        command::run(go(sources, &["build", "-o"]).arg(&unfinished).arg(&package))?;
        fs::rename(&unfinished, &path)
            .map_err(|error| Failure::new(format!("cannot make {}: {error}", path.display())))?;
        Ok(Ok(path))
    }

    /// As `up` names it.
    fn path(&self, cache: &Path) -> PathBuf {
        let package = [self.module, self.package].join("/");
        let package = package.trim_end_matches('/').replace('/', "_");
        cache
            .join("outrigger/programs")
            .join(format!("{package}-{}", self.version))
            .join("bin")
            .join(self.name)
    }
}

/// A command of Go in a folder: by the Go that is here and the modules that go.sum names, whatever surrounds
/// the folder.
pub(crate) fn go_in(go: &Path, folder: &Path, args: &[&str]) -> Command {
    let mut go = command::program(go);
    go.args(args).current_dir(folder);
    go.envs([
        ("GOTOOLCHAIN", "local"),
        ("GOWORK", "off"),
        ("GOFLAGS", "-mod=readonly -buildvcs=false"),
    ]);
    go
}

/// What Go says of modules that are not what their sums say.
pub(crate) const MISMATCH: &[&str] = &["checksum", "go.sum"];

/// Fetches dependencies. That they cannot be had is a reason to skip; that they are not what they should
/// be, which one of the words tells, is a failure.
pub(crate) fn fetched(fetch: &mut Command, wrong: &[&str]) -> Result<Option<Missing>, Failure> {
    match command::read(fetch) {
        Ok(_) => Ok(None),
        Err(failure) if wrong.iter().any(|word| failure.message.contains(word)) => Err(failure),
        Err(failure) => {
            progress::say(&failure.message);
            Ok(Some(machine::first_line(&failure)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_examples_ask_for_the_very_programs_that_are_built() {
        for (example, program, folder) in [
            (
                "aistore",
                AISNODE,
                "github.com_NVIDIA_aistore_cmd_aisnode-v1.5.0",
            ),
            (
                "nats",
                NATS_SERVER,
                "github.com_nats-io_nats-server_v2-v2.11.4",
            ),
        ] {
            let local = workspace::root().join(format!("examples/{example}/local.yaml"));
            let local = fs::read_to_string(local).unwrap();
            let package = [program.module, program.package].join("/");
            let package = package.trim_end_matches('/');
            let install = format!("install: {{go: {package}, version: {}}}", program.version);
            assert!(local.contains(&install), "{install}: {local}");
            assert!(local.contains(&format!("command: [{}]", program.name)));
            let place = format!("/cache/outrigger/programs/{folder}/bin/{}", program.name);
            assert_eq!(program.path(Path::new("/cache")), Path::new(&place));
        }
    }

    #[test]
    fn what_cannot_be_fetched_is_skipped_and_what_is_not_as_locked_fails() {
        let told = |text: &str| {
            let mut sh = command::program("sh");
            sh.args(["-c", &format!("echo '{text}' >&2; exit 1")]);
            fetched(&mut sh, MISMATCH)
        };
        assert!(told("no route to host").unwrap().is_some());
        assert!(told("verifying module: checksum mismatch").is_err());
        assert!(
            fetched(&mut command::program("true"), &[])
                .unwrap()
                .is_none()
        );
    }
}
