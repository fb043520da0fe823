//! `cargo xtask outside`: what needs more than Rust. Prometheus's own parser reads the metrics and a browser
//! opens the page, both beside real agdb servers; workloads that Go builds run under `up`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::go_program::{self, AISNODE, GoProgram, NATS_SERVER, fetched, go_in};
use crate::machine::{self, Missing};
use crate::running::{Example, Scratch};
use crate::{Failure, Outcome, cache, command, progress, workspace};

/// One thing to look at.
struct Check {
    name: &'static str,
    /// Makes its tools ready and looks, beside a running example.
    run: fn(&Example) -> Result<Outcome, Failure>,
}

const CHECKS: &[Check] = &[
    Check {
        name: "metrics",
        run: metrics,
    },
    Check {
        name: "page",
        run: page,
    },
    Check {
        name: "nats",
        run: |_| workload(NATS_SERVER, "nats"),
    },
    Check {
        name: "aistore",
        run: |_| workload(AISNODE, "aistore"),
    },
];

/// Every series of both formats of every replica's sidecar.
const METRICS: &str = r#"
for address in $(echo "$OUTRIGGER_ADDRS_OUTRIGGER" | tr , ' '); do set -- "$@" "http://$address/metrics"; done
exec "$PROMPARSE" --documented plugins/agdb/README.md "$@""#;

/// Runs all checks; what cannot be done here is skipped, and the reasons are told together.
pub(crate) fn run() -> Result<Outcome, Failure> {
    cache::AGDB_SERVER.ensure()?;
    command::run(command::cargo().args(["build", "--package", "outrigger"]))?;
    let outrigger = workspace::built("outrigger")?;
    let example = Example::new(&outrigger, workspace::root());
    let mut skipped = Vec::new();
    for check in CHECKS {
        progress::heading(&format!("outside: {}", check.name));
        if let Outcome::Skipped(reason) = (check.run)(&example)? {
            progress::say(&format!("skipped: {}: {reason}", check.name));
            skipped.push(format!("{}: {reason}", check.name));
        }
    }
    Ok(if skipped.is_empty() {
        Outcome::Green
    } else {
        Outcome::Skipped(skipped.join("; "))
    })
}

fn metrics(example: &Example) -> Result<Outcome, Failure> {
    let promparse = match promparse()? {
        Ok(program) => program,
        Err(missing) => return Ok(Outcome::Skipped(missing)),
    };
    let scratch = Scratch::new("metrics")?;
    command::run(example.up(&scratch, METRICS).env("PROMPARSE", promparse))?;
    Ok(Outcome::Green)
}

/// Builds the reader of expositions, and sees that it finds what is wrong in broken ones.
fn promparse() -> Result<Result<PathBuf, Missing>, Failure> {
    let go = match machine::GO.ensure() {
        Ok(go) => go,
        Err(missing) => return Ok(Err(missing)),
    };
    let source = workspace::root().join("tests/outside/promparse");
    let go = |args: &[&str]| go_in(&go, &source, args);
    if let Some(missing) = fetched(&mut go(&["mod", "download"]), go_program::MISMATCH)? {
        return Ok(Err(missing));
    }
    let program = folder()?.join("promparse");
    command::run(&mut go(&["vet", "."]))?;
    command::run(&mut go(&["test", "."]))?;
    command::run(go(&["build", "-o"]).arg(&program).arg("."))?;
    Ok(Ok(program))
}

fn page(example: &Example) -> Result<Outcome, Failure> {
    let tools = machine::NODE.ensure().and_then(|node| {
        let npm = machine::NPM.ensure()?;
        Ok((node, npm, machine::CHROMIUM.ensure()?))
    });
    let (node, npm, chromium) = match tools {
        Ok(tools) => tools,
        Err(missing) => return Ok(Outcome::Skipped(missing)),
    };
    let script = match script(&npm)? {
        Ok(script) => script,
        Err(missing) => return Ok(Outcome::Skipped(missing)),
    };
    let pictures = folder()?.join("pictures");
    make(&pictures)?;
    let scratch = Scratch::new("page")?;
    command::run(
        example
            .up(&scratch, r#"exec "$NODE" "$SCRIPT""#)
            .env("NODE", node)
            .env("SCRIPT", script)
            .env("CHROMIUM", chromium)
            .env("PICTURES", &pictures),
    )?;
    progress::say(&format!("pictures of the page: {}", pictures.display()));
    Ok(Outcome::Green)
}

/// A module of the process tests that `cargo test` runs only when they are named.
fn workload(program: GoProgram, module: &str) -> Result<Outcome, Failure> {
    if let Err(missing) = program.ensure()? {
        return Ok(Outcome::Skipped(missing));
    }
    // With the features of the whole workspace, as the other tests are built: nothing is built twice.
    let test = ["test", "--workspace", "--test", "outside", "--"];
    command::run(command::cargo().args(test).arg(format!("{module}::")))?;
    Ok(Outcome::Green)
}

/// The script beside its dependencies, which are installed outside of the checkout.
fn script(npm: &Path) -> Result<Result<PathBuf, Missing>, Failure> {
    let source = workspace::root().join("tests/outside/page");
    let target = folder()?.join("page");
    make(&target)?;
    for name in ["package.json", "package-lock.json", "check.mjs"] {
        copy(&source.join(name), &target.join(name))?;
    }
    // npm starts anew each time: what is installed already is told by a copy of its lock file.
    let lock = source.join("package-lock.json");
    let installed = target.join("node_modules/.installed-lock.json");
    let same = fs::read(&installed).is_ok_and(|old| fs::read(&lock).is_ok_and(|new| old == new));
    if !same {
        let mut npm = command::program(npm);
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        npm.current_dir(&target);
        if let Some(missing) = fetched(&mut npm, &["EINTEGRITY", "EUSAGE", "EBADENGINE"])? {
            return Ok(Err(missing));
        }
        copy(&lock, &installed)?;
    }
    Ok(Ok(target.join("check.mjs")))
}

/// What the checks build and leave: below the target folder.
fn folder() -> Result<PathBuf, Failure> {
    let folder = workspace::target()?.join("outside");
    make(&folder)?;
    Ok(folder)
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to)
        .map(|_| ())
        .map_err(|error| Failure::new(format!("cannot copy {}: {error}", from.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_of_the_tests_that_must_be_named_is_named() {
        let main = workspace::root().join("tests/tests/outside/main.rs");
        let main = fs::read_to_string(main).unwrap();
        let modules = main.lines().filter_map(|line| line.strip_prefix("mod "));
        let modules: Vec<&str> = modules.map(|module| module.trim_end_matches(';')).collect();
        assert!(!modules.is_empty());
        for module in modules {
            assert!(CHECKS.iter().any(|check| check.name == module), "{module}");
        }
    }

    #[test]
    fn the_lock_files_name_no_place_to_download_from() {
        for file in ["page/package-lock.json", "promparse/go.sum"] {
            let text =
                fs::read_to_string(workspace::root().join("tests/outside").join(file)).unwrap();
            assert!(!text.contains("://"), "{file}");
        }
    }
}
