//! `cargo xtask ci`: everything that must be green before a change lands, step by step.

use std::ffi::OsString;
use std::time::Duration;

use crate::cluster::Part;
use crate::progress::{self, Stopwatch};
use crate::{Failure, Outcome, bench, cache, cluster, command, install, outside, test, tidy};

/// One step: what its heading says and what it does.
struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome, Failure>,
}

/// What is quick and often wrong comes first.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        run: || {
            green(command::run(
                command::cargo().args(["fmt", "--all", "--check"]),
            ))
        },
    },
    Step {
        name: "tidy",
        run: || green(tidy::run()),
    },
    Step {
        name: "dependencies",
        run: dependencies,
    },
    Step {
        name: "advisories",
        run: advisories,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "test",
        run: || green(test::run(&[])),
    },
    // What needs more than Rust: tools of the machine, without which such a step is skipped.
    Step {
        name: "outside",
        run: outside::run,
    },
    Step {
        name: "documentation",
        run: documentation,
    },
    Step {
        name: "bench",
        run: || green(bench::run(true)),
    },
    Step {
        name: "cluster",
        run: || match cluster::unavailable(Part::ControlPlane)? {
            Some(why) => Ok(Outcome::Skipped(why)),
            None => green(cluster::run(Part::ControlPlane, &[])),
        },
    },
    Step {
        name: NODE,
        run: || match cluster::unavailable(Part::Node)? {
            Some(why) => Ok(Outcome::Skipped(why)),
            None => green(cluster::run(Part::Node, &[])),
        },
    },
    // Last, as it compiles everything once more, for release.
    Step {
        name: "install",
        run: || green(install::run()),
    },
];

/// Runs only when it is named: it takes five minutes, and its programs twenty to build.
const NODE: &str = "node";

/// Runs the steps that are named, or all; stops at the first failure unless told to go on.
pub(crate) fn run(args: &[OsString]) -> Result<(), Failure> {
    let (keep_going, steps) = choose(args)?;
    let whole = Stopwatch::start();
    let mut done: Vec<(&str, Result<Outcome, Failure>, Duration)> = Vec::new();
    for step in &steps {
        progress::heading(&format!("ci: {}", step.name));
        let watch = Stopwatch::start();
        let outcome = (step.run)();
        let time = watch.elapsed();
        match &outcome {
            Ok(Outcome::Green) => progress::say(&format!(
                "ci: {} is green ({})",
                step.name,
                progress::spent(time)
            )),
            Ok(Outcome::Skipped(reason)) => {
                progress::say(&format!("skipped: {}: {reason}", step.name));
            }
            Err(failure) => {
                progress::say(&format!("ci: {} failed: {}", step.name, failure.message));
            }
        }
        let failed = outcome.is_err();
        done.push((step.name, outcome, time));
        if failed && !keep_going {
            break;
        }
    }

    progress::heading("ci: summary");
    for (name, outcome, time) in &done {
        progress::say(&row(name, outcome, *time));
    }
    let never = &steps[done.len()..];
    for step in never {
        progress::say(&format!("  {:<8} {:>8}  {}", "not run", "", step.name));
    }
    if !steps.iter().any(|step| step.name == NODE) {
        progress::say(&format!(
            "  {:<8} {:>8}  {NODE}: only when asked for, by `cargo xtask ci {NODE}`",
            "skipped", ""
        ));
    }
    verdict(&done, whole.elapsed())
}

/// Whether to go on after a failure, and the steps in their own order.
fn choose(args: &[OsString]) -> Result<(bool, Vec<&'static Step>), Failure> {
    let (flags, named): (Vec<&OsString>, Vec<&OsString>) =
        args.iter().partition(|arg| *arg == "--keep-going");
    for name in &named {
        if !STEPS.iter().any(|step| *name == step.name) {
            let known = STEPS
                .iter()
                .map(|step| step.name)
                .collect::<Vec<_>>()
                .join(" ");
            return Err(Failure::usage(format!(
                "no such step: {}\n  hint: there are {known}",
                name.display()
            )));
        }
    }
    let steps = STEPS.iter().filter(|step| match &named[..] {
        [] => step.name != NODE,
        named => named.iter().any(|name| *name == step.name),
    });
    Ok((!flags.is_empty(), steps.collect()))
}

/// One line of the summary.
fn row(name: &str, outcome: &Result<Outcome, Failure>, time: Duration) -> String {
    let time = progress::spent(time);
    match outcome {
        Ok(Outcome::Green) => format!("  {:<8} {time:>8}  {name}", "green"),
        Ok(Outcome::Skipped(reason)) => format!("  {:<8} {time:>8}  {name}: {reason}", "skipped"),
        Err(failure) => {
            let first = failure.message.lines().next().unwrap_or_default();
            format!("  {:<8} {time:>8}  {name}: {first}", "FAILED")
        }
    }
}

/// The last line, and the exit status.
fn verdict(
    done: &[(&str, Result<Outcome, Failure>, Duration)],
    time: Duration,
) -> Result<(), Failure> {
    let failed: Vec<&str> = done
        .iter()
        .filter(|(_, outcome, _)| outcome.is_err())
        .map(|(name, ..)| *name)
        .collect();
    let green = done
        .iter()
        .filter(|(_, outcome, _)| matches!(outcome, Ok(Outcome::Green)))
        .count();
    let time = progress::spent(time);
    if failed.is_empty() {
        progress::say(&format!("ci: {green} steps green in {time}"));
        return Ok(());
    }
    Err(Failure::new(format!(
        "ci: {} failed after {time}",
        failed.join(", ")
    )))
}

fn green(outcome: Result<(), Failure>) -> Result<Outcome, Failure> {
    outcome.map(|()| Outcome::Green)
}

fn clippy() -> Result<Outcome, Failure> {
    // What `cargo test` runs only when it is named, `--all-targets` leaves out.
    for targets in [&["--all-targets"][..], &["--test", "outside"]] {
        let clippy = ["clippy", "--workspace"];
        let strict = ["--", "-D", "warnings"];
        command::run(command::cargo().args([&clippy, targets, &strict].concat()))?;
    }
    Ok(Outcome::Green)
}

fn documentation() -> Result<Outcome, Failure> {
    green(command::run(
        command::cargo()
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    ))
}

/// Licences, sources, and who may use what (`deny.toml`).
fn dependencies() -> Result<Outcome, Failure> {
    let deny = cache::CARGO_DENY.ensure()?;
    green(command::run(
        command::program(deny).args(["check", "bans", "licenses", "sources"]),
    ))
}

/// Known vulnerabilities. The database is a repository that has to be fetched: where it cannot be,
/// the step is skipped and says so.
fn advisories() -> Result<Outcome, Failure> {
    let deny = cache::CARGO_DENY.ensure()?;
    if let Err(failure) = command::read(command::program(&deny).args(["fetch", "db"])) {
        let why = failure
            .message
            .lines()
            .last()
            .unwrap_or_default()
            .trim()
            .to_owned();
        return Ok(Outcome::Skipped(format!(
            "cargo-deny cannot fetch the advisory database: {why}"
        )));
    }
    green(command::run(command::program(deny).args([
        "check",
        "--disable-fetch",
        "advisories",
    ])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_step_fails_the_whole_and_is_named() {
        let done = vec![
            ("format", Ok(Outcome::Green), Duration::ZERO),
            (
                "clippy",
                Err(Failure::new("`cargo clippy` failed")),
                Duration::ZERO,
            ),
        ];
        let failure = verdict(&done, Duration::from_secs(75)).unwrap_err();
        assert_eq!(failure.message, "ci: clippy failed after 1m15s");
    }

    #[test]
    fn named_steps_run_in_their_own_order() {
        let (keep_going, steps) =
            choose(&["clippy".into(), "--keep-going".into(), "format".into()]).unwrap();
        assert!(keep_going);
        assert_eq!(
            steps.iter().map(|step| step.name).collect::<Vec<_>>(),
            ["format", "clippy"]
        );
        assert_eq!(
            choose(&["clipy".into()])
                .err()
                .map(|failure| failure.status),
            Some(2)
        );
    }

    #[test]
    fn a_skipped_step_does_not_fail_and_tells_its_reason() {
        let outcome = Ok(Outcome::Skipped("no network".to_owned()));
        assert!(row("advisories", &outcome, Duration::ZERO).contains("no network"));
        verdict(&[("advisories", outcome, Duration::ZERO)], Duration::ZERO).unwrap();
    }
}
