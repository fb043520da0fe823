//! `cargo xtask test`: all tests that need neither root nor Kubernetes.

use std::ffi::OsString;

use crate::{Failure, cache, command, progress, workspace};

/// The targets for which the guests are built.
const TARGETS: &[&str] = &["wasm32-unknown-unknown", "wasm32-wasip2"];

/// Installs what the tests need and runs them, all of them even if one fails.
pub(crate) fn run(args: &[OsString]) -> Result<(), Failure> {
    targets()?;
    cache::AGDB_SERVER.ensure()?;
    progress::heading("cargo test --workspace");
    command::run(
        command::cargo()
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(args),
    )
}

/// Adds the wasm targets where they are missing. rustup normally does it by itself, from
/// `rust-toolchain.toml`; a toolchain that was installed otherwise is left alone if it has them.
pub(crate) fn targets() -> Result<(), Failure> {
    let missing: Vec<&str> = TARGETS
        .iter()
        .copied()
        .filter(|target| !has(target))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    progress::heading(&format!("adding the targets {}", missing.join(" ")));
    command::run(command::program("rustup").args(["target", "add"]).args(&missing)).map_err(|failure| {
        Failure::new(format!(
            "{}\n  hint: the plugins need the Rust standard library for {}; install it the way Rust was installed here",
            failure.message,
            missing.join(" and ")
        ))
    })
}

/// Whether the toolchain of this workspace has a target's standard library.
fn has(target: &str) -> bool {
    let libdir = command::read(command::program("rustc").args([
        "--print",
        "target-libdir",
        "--target",
        target,
    ]));
    libdir.is_ok_and(|path| workspace::root().join(path.trim_end()).is_dir())
}
