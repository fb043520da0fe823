//! `cargo xtask bench`: the benchmarks; with `--smoke` only whether each of them runs.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::{Failure, cache, command, progress, workspace};

/// Runs every benchmark: those of the host crates, and those that drive the whole binary.
///
/// The smoke run uses the dev profile, whose dependencies the tests have built already, and asks
/// each benchmark for its shortest run (`--smoke`): it shows that they work and measures nothing.
pub(crate) fn run(smoke: bool) -> Result<(), Failure> {
    let mut packages = with_benches(&workspace::root().join("host"))?;
    if has_rust_files(&workspace::root().join("tests/benches")) {
        cache::AGDB_SERVER.ensure()?;
        packages.push("outrigger-tests".to_owned());
    }
    if packages.is_empty() {
        progress::say("no package has benchmarks");
        return Ok(());
    }
    for package in packages {
        let mut cargo = command::cargo();
        cargo.args(["bench", "--package", &package, "--benches"]);
        if smoke {
            cargo.args(["--profile", "dev", "--", "--smoke"]);
        }
        progress::heading(&format!("benchmarks of {package}"));
        command::run(&mut cargo)?;
    }
    Ok(())
}

/// The packages below a folder that have a `benches` folder with Rust files.
fn with_benches(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(folder)
        .map_err(|error| Failure::new(format!("cannot list {}: {error}", folder.display())))?;
    let mut found: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| has_rust_files(&path.join("benches")))
        .filter_map(|path| {
            path.file_name()
                .and_then(OsStr::to_str)
                .map(|name| format!("outrigger-{name}"))
        })
        .collect();
    found.sort();
    Ok(found)
}

fn has_rust_files(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.path().extension() == Some(OsStr::new("rs")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_benchmarks_is_not_listed() {
        let listed = with_benches(&workspace::root().join("host")).unwrap();
        assert!(
            !listed.contains(&"outrigger-peers".to_owned()),
            "{listed:?}"
        );
    }
}
