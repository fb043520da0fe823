//! `cargo xtask demo`: from a fresh clone to three real agdb servers with a sidecar beside each.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use crate::{Failure, command, progress, workspace};

/// Builds `outrigger` and becomes `outrigger up examples/agdb`, so that signals, terminal and exit
/// status are its own.
pub(crate) fn run(args: &[OsString]) -> Result<(), Failure> {
    progress::heading("building outrigger");
    command::run(command::cargo().args(["build", "--package", "outrigger"]))?;

    let args = match args {
        [first, rest @ ..] if first == "--" => rest,
        all => all,
    };
    progress::heading("outrigger up examples/agdb");
    let outrigger = workspace::built("outrigger")?;
    let error = command::program(&outrigger)
        .args(["up", "examples/agdb"])
        .args(args)
        .exec();
    Err(Failure::new(format!(
        "cannot run {}: {error}",
        outrigger.display()
    )))
}
