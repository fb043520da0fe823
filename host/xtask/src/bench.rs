//! `cargo xtask bench`: the benchmarks; with `--smoke` only whether each of them runs.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::{Failure, cache, command, progress, workspace};

/// Runs every benchmark: those of the host crates, and those that drive the whole binary.
///
/// The smoke run uses the dev profile and asks each benchmark for its shortest run (`--smoke`): it
/// shows that they work and measures nothing. Benchmarks are named one by one, because `--benches`
/// would run the libraries' own tests as well, which know no such option.
pub(crate) fn run(smoke: bool) -> Result<(), Failure> {
    let mut found = with_benches(&workspace::root().join("host"))?;
    let whole = benches(&workspace::root().join("tests"));
    if !whole.is_empty() {
        cache::AGDB_SERVER.ensure()?;
        found.push(("outrigger-tests".to_owned(), whole));
    }
    if found.is_empty() {
        progress::say("no package has benchmarks");
        return Ok(());
    }
    // With the features of the whole workspace, as the tests are built: nothing is built twice.
    let mut cargo = command::cargo();
    cargo.args(["bench", "--workspace"]);
    for name in found.iter().flat_map(|(_, names)| names) {
        cargo.args(["--bench", name]);
    }
    if smoke {
        cargo.args(["--profile", "dev", "--", "--smoke"]);
    }
    let packages: Vec<&str> = found.iter().map(|(package, _)| package.as_str()).collect();
    progress::heading(&format!("benchmarks of {}", packages.join(", ")));
    command::run(&mut cargo)
}

/// The packages below a folder that have benchmarks, and their names.
fn with_benches(folder: &Path) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let entries = fs::read_dir(folder)
        .map_err(|error| Failure::new(format!("cannot list {}: {error}", folder.display())))?;
    let mut found: Vec<(String, Vec<String>)> = entries
        .flatten()
        .filter_map(|entry| {
            let names = benches(&entry.path());
            let package = format!("outrigger-{}", entry.file_name().to_str()?);
            (!names.is_empty()).then_some((package, names))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// The names of a package's benchmarks: the Rust files of its folder `benches`.
fn benches(package: &Path) -> Vec<String> {
    let entries = fs::read_dir(package.join("benches"));
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("rs")))
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_benchmarks_is_not_listed() {
        let listed = with_benches(&workspace::root().join("host")).unwrap();
        assert!(
            !listed
                .iter()
                .any(|(package, _)| package == "outrigger-peers"),
            "{listed:?}"
        );
        assert!(
            listed
                .iter()
                .any(|(package, names)| package == "outrigger-plugin-host" && names == &["call"]),
            "{listed:?}"
        );
    }
}
