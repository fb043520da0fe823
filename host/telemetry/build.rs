//! Tells a release build the commit that it is made from, where the sources are a checkout.
//!
//! A build for development is told nothing: it would be made anew with each commit.

use std::path::Path;
use std::process::Command;

/// Set from outside, it counts as it stands.
const VARIABLE: &str = "OUTRIGGER_REVISION";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let is_told = std::env::var_os(VARIABLE).is_some();
    let is_release = std::env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    if !is_told
        && is_release
        && let Some(revision) = revision(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
    {
        println!("cargo::rustc-env={VARIABLE}={revision}");
    }
}

/// The commit, where this folder is the top of a checkout: sources that were unpacked within another
/// project's checkout are not of its commit.
fn revision(root: &Path) -> Option<String> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    // Written with each commit, checkout and reset; without it, HEAD at least tells of checkouts.
    let moved = ["logs/HEAD", "HEAD"].into_iter().find_map(|file| {
        let path = root.join(git(root, &["rev-parse", "--git-path", file])?);
        path.exists().then_some(path)
    })?;
    println!("cargo::rerun-if-changed={}", moved.display());
    git(root, &["rev-parse", "HEAD"])
}

/// What git says; none where there is no git, or it has nothing to say.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    let output = command.arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
