//! How files look: their names, their length, and what must not stand in them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::Violation;
use super::manifest::Manifest;
use crate::Failure;

/// A Rust file longer than this holds more than one thing.
const MAX_LINES: usize = 800;

/// Folders that are not the project's: build results, local state, version control.
const FOREIGN: &[&str] = &["target", ".git", ".outrigger", "node_modules"];

/// The places that may wait between two looks: each is an `eventually` with a deadline, which stands
/// for every other wait. The second cannot use the first: its tests must run with a single thread.
const WAITS: &[&str] = &[
    "tests/src/eventually.rs",
    "host/local/tests/it/support.rs",
    "host/injector/src/webhook/tests/support.rs",
];

/// All rules about single files.
pub(super) fn check_files(root: &Path) -> Result<Vec<Violation>, Failure> {
    let mut found = Vec::new();
    for file in files(root, Path::new(""))? {
        // Binary files (test data) have no lines to look at.
        let Ok(text) = fs::read_to_string(root.join(&file)) else {
            continue;
        };
        found.extend(check_paths(&file, &text));
        if file.extension() == Some(OsStr::new("rs")) {
            found.extend(check_rust(&file, &text));
        }
    }
    Ok(found)
}

/// Every crate root begins with a sentence about the crate.
pub(super) fn check_crate_root(root: &Path, member: &Manifest) -> Result<Vec<Violation>, Failure> {
    let folder = member.file.parent().unwrap_or(Path::new("")).join("src");
    let mut found = Vec::new();
    for name in ["lib.rs", "main.rs"] {
        let file = folder.join(name);
        if root.join(&file).is_file() && !read(root, &file)?.starts_with("//! ") {
            found.push(Violation::new(
                &file,
                1,
                "begin with `//!` and what this crate is for",
            ));
        }
    }
    Ok(found)
}

/// The Rust files below a folder with their texts.
pub(super) fn rust_files(root: &Path, folder: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    let mut found = Vec::new();
    for file in files(root, folder)? {
        if file.extension() == Some(OsStr::new("rs")) {
            let text = read(root, &file)?;
            found.push((file, text));
        }
    }
    Ok(found)
}

/// The lines that are code, with their numbers from 1.
pub(super) fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn check_rust(file: &Path, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    if file.file_name() == Some(OsStr::new("mod.rs")) {
        found.push(Violation::new(
            file,
            0,
            "name it after its module: `x.rs` beside `x/`, never `x/mod.rs`",
        ));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found.push(Violation::new(
            file,
            0,
            format!("{lines} lines: split it, {MAX_LINES} are the most"),
        ));
    }
    for (number, line) in code_lines(text) {
        if line.trim_start().starts_with(concat!("#[", "ignore")) {
            found.push(Violation::new(
                file,
                number,
                "a test that is not run proves nothing: make it run or delete it",
            ));
        }
    }
    if !WAITS.iter().any(|waits| file == Path::new(waits)) {
        found.extend(check_sleeps(file, text));
    }
    found
}

/// Tests wait for conditions with a deadline, or pause tokio's clock; they never sleep.
fn check_sleeps(file: &Path, text: &str) -> Vec<Violation> {
    let all = is_test_file(file);
    let start = if all {
        0
    } else {
        first_test_line(text).unwrap_or(usize::MAX)
    };
    let mut paused = false;
    let mut found = Vec::new();
    for (number, line) in code_lines(text).filter(|(number, _)| *number >= start) {
        if line.trim_start().starts_with("#[tokio::test")
            || line.trim_start().starts_with("#[test]")
        {
            paused = line.contains("start_paused = true");
        }
        let real = line.contains(concat!("thread", "::sleep("));
        let tokio = line.contains(concat!("time", "::sleep(")) && !paused;
        if real || tokio {
            let message = "a test does not sleep: wait for the condition with a deadline, or pause tokio's clock";
            found.push(Violation::new(file, number, message));
        }
    }
    found
}

/// Misbehaving guests and benchmarks are no tests: sleeping may be just what one of them does.
fn is_test_file(file: &Path) -> bool {
    // Programs that tests run: some take their time as the real ones do.
    let programs = ["tests/guests", "tests/stand-ins"];
    let within = |folder: &str| file.components().any(|part| part.as_os_str() == folder);
    (within("tests") || file.file_name() == Some(OsStr::new("tests.rs")))
        && !(within("benches") || programs.iter().any(|folder| file.starts_with(folder)))
}

fn first_test_line(text: &str) -> Option<usize> {
    code_lines(text)
        .find(|(_, line)| line.contains("#[cfg(test)]"))
        .map(|(number, _)| number)
}

/// Paths of one particular machine, written so that this file does not contain them.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

fn check_paths(file: &Path, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for path in MACHINE_PATHS {
            let absolute = line
                .match_indices(path)
                .any(|(at, _)| begins_a_path(&line[..at]));
            if absolute {
                found.push(Violation::new(
                    file,
                    index + 1,
                    format!("`{path}…` is a path of one machine"),
                ));
            }
        }
    }
    found
}

/// Whether a path that follows this text is absolute, and not the middle of a longer one.
fn begins_a_path(before: &str) -> bool {
    !before.ends_with(|last: char| {
        last.is_alphanumeric() || ['.', '_', '-', '}', '/', '>', '*'].contains(&last)
    })
}

/// Every file below a folder, relative to the root, sorted.
fn files(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let cannot = |error| Failure::new(format!("cannot list {}: {error}", path.display()));
        for entry in fs::read_dir(&path).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let kind = entry.file_type().map_err(cannot)?;
            let name = entry.file_name();
            let relative = folder.join(&name);
            if kind.is_dir() && !FOREIGN.iter().any(|foreign| name == *foreign) {
                folders.push(relative);
            } else if kind.is_file() {
                found.push(relative);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(root: &Path, file: &Path) -> Result<String, Failure> {
    let path = root.join(file);
    fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(found: &[Violation]) -> Vec<usize> {
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_sleep_in_a_test_is_found_and_one_under_a_paused_clock_is_not() {
        let text = format!(
            "fn run() {{ time{sleep} }}\n#[cfg(test)]\nmod tests {{\n#[tokio::test(start_paused = true)]\nasync fn a() {{ time{sleep} }}\n\
             #[tokio::test]\nasync fn b() {{ time{sleep} }}\n}}\n",
            sleep = "::sleep(x)"
        );
        assert_eq!(
            lines(&check_sleeps(Path::new("host/x/src/y.rs"), &text)),
            [7]
        );
    }

    #[test]
    fn a_sleep_of_the_thread_is_found_anywhere_below_tests() {
        let text = format!("fn wait() {{ thread{} }}\n", "::sleep(x)");
        assert_eq!(
            lines(&check_sleeps(Path::new("tests/tests/it/y.rs"), &text)),
            [1]
        );
        assert_eq!(
            lines(&check_sleeps(Path::new("host/x/tests/it/y.rs"), &text)),
            [1]
        );
        assert!(check_sleeps(Path::new("host/x/src/y.rs"), &text).is_empty());
    }

    #[test]
    fn a_machine_path_is_found_and_the_middle_of_another_is_not() {
        for path in MACHINE_PATHS {
            let text = format!("\"{path}x\"\nhttps://example.org{path}x\n");
            assert_eq!(lines(&check_paths(Path::new("README.md"), &text)), [1]);
        }
    }

    #[test]
    fn a_module_file_and_a_test_that_is_not_run_are_found() {
        let text = format!("#[test]\n{}ignore]\nfn a() {{}}\n", "#[");
        assert_eq!(
            lines(&check_rust(Path::new("host/x/src/y/mod.rs"), &text)),
            [0, 2]
        );
    }

    #[test]
    fn a_long_file_is_found() {
        let at_the_limit = "\n".repeat(MAX_LINES);
        assert!(check_rust(Path::new("a.rs"), &at_the_limit).is_empty());
        assert_eq!(
            check_rust(Path::new("a.rs"), &format!("{at_the_limit}\n")).len(),
            1
        );
    }
}
