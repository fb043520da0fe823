//! `cargo xtask cluster`: tests against a real Kubernetes, which is built and started on the way.

use std::ffi::OsString;
use std::process::Command;

use crate::{Failure, command, progress, workspace};

/// Why the cluster cannot run here, if it cannot.
pub(crate) fn unavailable() -> Result<Option<String>, Failure> {
    let output = script()
        .args(["check", PART])
        .output()
        .map_err(|error| Failure::new(format!("cannot run tests/cluster/cluster: {error}")))?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.trim().trim_start_matches("cluster: ");
    Ok(Some(why.to_owned()))
}

/// Builds Kubernetes where that has not been done, and runs the tests, or those that are named.
pub(crate) fn run(args: &[OsString]) -> Result<(), Failure> {
    if let Some(why) = unavailable()? {
        return Err(Failure::new(format!("no cluster can run here: {why}")));
    }
    progress::heading("building Kubernetes (once; takes some minutes)");
    command::run(script().args(["build", PART]))?;
    progress::heading("building outrigger and the tests");
    // With the features of the whole workspace, as `cargo xtask test` builds them: nothing is built twice.
    command::run(command::cargo().args([
        "build",
        "--workspace",
        "--bin=outrigger",
        "--bin=outrigger-cluster-tests",
    ]))?;
    progress::heading("tests against a real Kubernetes");
    let tests = workspace::built("outrigger-cluster-tests")?;
    command::run(command::program(tests).args(args))
}

/// What the tests need of it: no test asks for a node.
const PART: &str = "--control-plane";

fn script() -> Command {
    command::program("tests/cluster/cluster")
}
