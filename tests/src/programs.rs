//! The programs that the tests run: the built `outrigger`, the real `agdb_server`, and the stand-in for
//! workloads that cannot be had.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The `outrigger` of this build: the same target folder and profile as this test's.
///
/// Cargo builds it with `cargo xtask test`. Where it is missing or older than its sources, as after
/// `cargo test -p outrigger-tests` alone, it is built here, once.
///
/// # Panics
/// When it cannot be built.
pub fn outrigger() -> &'static Path {
    // A build that failed is not tried again by the next test.
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARY.get_or_init(|| up_to_date("outrigger", "outrigger")) {
        Ok(path) => path,
        Err(why) => panic!("there is no outrigger to test: {why}"),
    }
}

/// The stand-in of this build, likewise: see `tests/stand-ins`.
///
/// # Panics
/// When it cannot be built.
pub fn stand_in() -> &'static Path {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARY.get_or_init(|| up_to_date("outrigger-stand-in", "outrigger-stand-ins")) {
        Ok(path) => path,
        Err(why) => panic!("there is no stand-in: {why}"),
    }
}

fn up_to_date(name: &str, package: &str) -> Result<PathBuf, String> {
    let folder = profile_folder();
    let binary = folder.join(name);
    if let Some(why) = out_of_date(&binary) {
        eprintln!("building {name}: {why}");
        build(&folder, package)?;
    }
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(format!("cargo built it, but not at {}", binary.display()))
    }
}

/// `<target>/<profile>`: test programs live in its `deps`.
fn profile_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    if folder.ends_with("deps") {
        folder.parent().unwrap().to_owned()
    } else {
        folder.to_owned()
    }
}

fn build(folder: &Path, package: &str) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root())
        .args(["build", "--package", package]);
    // What cargo told this test of its own package would make it rebuild dependencies that look at it.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    // `<target>/debug` or `<target>/release`.
    cargo.arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo build --package {package}: {status}")),
        Err(error) => Err(format!("cargo does not start: {error}")),
    }
}

/// Why a binary must be built: it is missing, or a source that cargo listed for it has changed since.
fn out_of_date(binary: &Path) -> Option<String> {
    let Some(built) = changed(binary) else {
        return Some("it is not there".to_owned());
    };
    let Ok(listed) = fs::read_to_string(binary.with_extension("d")) else {
        return Some("cargo's list of its sources is not there".to_owned());
    };
    sources(&listed)
        .find(|source| changed(source).is_none_or(|time| time > built))
        .map(|source| format!("{} has changed", source.display()))
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// The files that a dep-info file lists: `target: source source …`, blanks in names escaped.
fn sources(dep_info: &str) -> impl Iterator<Item = PathBuf> {
    let list = dep_info
        .lines()
        .next()
        .and_then(|line| line.split_once(": "))
        .map_or("", |(_, list)| list);
    list.replace("\\ ", "\0")
        .split(' ')
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(name.replace('\0', " ")))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The real `agdb_server` 0.16.0, where `cargo xtask test` installs it and `outrigger up` looks.
///
/// # Panics
/// When it is not there; the message says how to install it.
pub fn agdb_server() -> PathBuf {
    let path = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = path("XDG_CACHE_HOME")
        .or_else(|| path("HOME").map(|home| home.join(".cache")))
        .unwrap();
    let program = cache.join("outrigger/programs/agdb_server-0.16.0/bin/agdb_server");
    assert!(
        program.is_file(),
        "agdb_server 0.16.0 is not installed\n  hint: `cargo xtask test` installs it; by hand: \
         cargo install agdb_server --version 0.16.0 --locked --root {}",
        program.ancestors().nth(2).unwrap().display()
    );
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_from_cargos_list() {
        let listed: Vec<_> =
            sources("/t/debug/outrigger: /a/main.rs /a/with\\ blank.rs\n\n/a/main.rs:\n").collect();
        assert_eq!(
            listed,
            [Path::new("/a/main.rs"), Path::new("/a/with blank.rs")]
        );
    }

    #[test]
    fn a_binary_is_out_of_date_when_a_source_is_newer_or_gone() {
        let folder = tempfile::tempdir().unwrap();
        let [source, binary, list] =
            ["main.rs", "outrigger", "outrigger.d"].map(|name| folder.path().join(name));
        assert!(out_of_date(&binary).is_some());
        fs::write(&source, "").unwrap();
        fs::write(&binary, "").unwrap();
        fs::write(
            &list,
            format!("{}: {}\n", binary.display(), source.display()),
        )
        .unwrap();
        let old = SystemTime::UNIX_EPOCH;
        fs::File::open(&source).unwrap().set_modified(old).unwrap();
        assert_eq!(out_of_date(&binary), None);
        fs::File::open(&binary)
            .unwrap()
            .set_modified(old - std::time::Duration::from_secs(1))
            .unwrap();
        assert!(
            out_of_date(&binary)
                .unwrap()
                .ends_with("main.rs has changed")
        );
        fs::remove_file(&source).unwrap();
        assert!(out_of_date(&binary).is_some());
    }
}
