//! `cargo xtask cluster`: tests against a real Kubernetes, which is built and started on the way.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::{Failure, cache, command, image, progress, workspace};

/// How much of a cluster tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// etcd, the API server and the controllers.
    ControlPlane,
    /// All of it: a kubelet that runs pods.
    Node,
}

impl Part {
    /// What the script is told.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::ControlPlane => &["--control-plane"],
            Self::Node => &[],
        }
    }
}

/// Why the cluster cannot run here, if it cannot.
pub(crate) fn unavailable(part: Part) -> Result<Option<String>, Failure> {
    let output = script()
        .arg("check")
        .args(part.options())
        .output()
        .map_err(|error| Failure::new(format!("cannot run tests/cluster/cluster: {error}")))?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.trim().trim_start_matches("cluster: ");
    Ok(Some(why.to_owned()))
}

/// `[--node] [TEST…]`.
pub(crate) fn asked(args: &[OsString]) -> Result<(), Failure> {
    match args.split_first() {
        Some((first, tests)) if first == "--node" => run(Part::Node, tests),
        _ => run(Part::ControlPlane, args),
    }
}

/// Builds Kubernetes where that has not been done, and runs the tests, or those that are named.
pub(crate) fn run(part: Part, tests: &[OsString]) -> Result<(), Failure> {
    if let Some(why) = unavailable(part)? {
        return Err(Failure::new(format!("no cluster can run here: {why}")));
    }
    progress::heading("building Kubernetes (once; takes some minutes)");
    command::run(script().arg("build").args(part.options()))?;
    progress::heading("building outrigger and the tests");
    // With the features of the whole workspace, as `cargo xtask test` builds them: nothing is built twice.
    command::run(command::cargo().args([
        "build",
        "--workspace",
        "--bin=outrigger",
        "--bin=outrigger-image",
        "--bin=outrigger-cluster-tests",
        "--bin=outrigger-stand-in",
    ]))?;
    let mut program = command::program(workspace::built("outrigger-cluster-tests")?);
    if part == Part::Node {
        program.arg("--node");
        for image in images()? {
            program.arg("--image").arg(image);
        }
        program.arg("--");
    }
    progress::heading("tests against a real Kubernetes");
    command::run(program.args(tests))
}

/// The images that the pods run: outrigger as it was just built, the real agdb, that with a shell, as it
/// runs without us, and what stands in for Piko.
fn images() -> Result<[PathBuf; 4], Failure> {
    let folder = workspace::target()?.join("image");
    let image = |file: &str, source, name: &str, entrypoint: &[&str]| {
        let output = folder.join(file);
        image::assemble(&source, name, entrypoint, &output)?;
        Ok::<PathBuf, Failure>(output)
    };
    let built = |program: &str| workspace::built(program).map(image::Source::Program);
    let agdb = cache::AGDB_SERVER.ensure()?;
    let program = ["/usr/local/bin/agdb_server"];
    Ok([
        image(
            "outrigger-dev.tar",
            built("outrigger")?,
            "outrigger:dev",
            &["/outrigger"],
        )?,
        image(
            "agdb.tar",
            image::Source::Program(agdb.clone()),
            &image_of("agdb")?,
            &program,
        )?,
        image(
            "agdb-scripted.tar",
            image::Source::Scripted(agdb),
            "agdb-scripted:test",
            &program,
        )?,
        image(
            "piko.tar",
            built("outrigger-stand-in")?,
            &image_of("piko")?,
            &["/outrigger-stand-in", "piko"],
        )?,
    ])
}

/// The name of the image in an example.
fn image_of(example: &str) -> Result<String, Failure> {
    let path = workspace::root().join(format!("examples/{example}/statefulset.yaml"));
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("image: "))
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{} names no image", path.display())))
}

fn script() -> Command {
    command::program("tests/cluster/cluster")
}
