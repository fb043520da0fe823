//! The project's own commands: `cargo xtask demo | test | outside | ci | bench | tidy | cluster | image`.
//!
//! Only the standard library, so that the first command a newcomer runs starts at once.

mod bench;
mod cache;
mod ci;
mod cluster;
mod command;
mod demo;
mod go_program;
mod image;
mod install;
mod machine;
mod outside;
mod progress;
mod running;
mod test;
mod tidy;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

const HELP: &str = "\
The project's own commands.

Usage: cargo xtask <COMMAND>

Commands:
  demo [-- ARGS…]     Build outrigger and run `outrigger up examples/agdb ARGS…`
  test [ARGS…]        Run all tests that need neither root nor Kubernetes: `cargo test --workspace ARGS…`
  outside             What needs more than Rust: what is served, read by Prometheus's parser (needs Go)
                      and a browser (needs Node; root gets Chromium by apt); NATS and AIStore (need Go)
  tidy                Check the rules of the code base: who may use whom, and how files look
  bench [--smoke]     Run the benchmarks; with --smoke only see that each of them runs
  cluster [--node] [TEST…]
                      Run the tests against a real Kubernetes, which is built first; needs root and Go.
                      With --node those that run pods: the first build takes some 20 minutes more
  image [--dev] [--name NAME] [--output FILE]
                      Make the container image: a static release, or with --dev what is built every day
  ci [--keep-going] [STEP…]
                      Everything that must be green before a change lands, or some steps of it:
                      format tidy dependencies advisories clippy test outside documentation bench
                      cluster install; and, only when named, node

What is missing and needed (the wasm target, agdb_server, cargo-deny) is installed on the way, by
rustup and cargo, into $XDG_CACHE_HOME/outrigger (~/.cache/outrigger).
";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    let outcome = match command.to_str() {
        Some("demo") => demo::run(&rest),
        Some("test") => test::run(&rest),
        Some("outside") => no_args(&rest).and_then(|()| outside::run().map(told)),
        Some("tidy") => no_args(&rest).and_then(|()| tidy::run()),
        Some("bench") => one_flag(&rest, "--smoke").and_then(bench::run),
        Some("cluster") => cluster::asked(&rest),
        Some("image") => image::run(&rest),
        Some("ci") => ci::run(&rest),
        Some("help" | "-h" | "--help") => {
            progress::print(HELP);
            return ExitCode::SUCCESS;
        }
        Some("") => Err(Failure::usage(format!("no command given\n\n{HELP}"))),
        _ => Err(Failure::usage(format!(
            "no such command: {}\n\n{HELP}",
            command.display()
        ))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            progress::say(&format!("error: {}", failure.message));
            ExitCode::from(failure.status)
        }
    }
}

/// How something ended that may need more than there is.
#[derive(Debug)]
enum Outcome {
    Green,
    /// Could not be done here, for a reason that is no fault of the code.
    Skipped(String),
}

/// Says what was not done.
fn told(outcome: Outcome) {
    match outcome {
        Outcome::Green => progress::say("all is green"),
        Outcome::Skipped(reason) => progress::say(&format!("skipped: {reason}")),
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
struct Failure {
    /// What people read: lower case, no full stop, with what to do where that is known.
    message: String,
    /// The process's exit status.
    status: u8,
}

impl Failure {
    /// Something went wrong on the way.
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 1,
        }
    }

    /// The command line is wrong.
    fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 2,
        }
    }
}

fn no_args(args: &[OsString]) -> Result<(), Failure> {
    match args.first() {
        None => Ok(()),
        Some(arg) => Err(Failure::usage(format!(
            "unexpected argument: {}",
            arg.display()
        ))),
    }
}

/// Whether the one flag that the command knows is given.
fn one_flag(args: &[OsString], flag: &str) -> Result<bool, Failure> {
    match args {
        [] => Ok(false),
        [only] if only == flag => Ok(true),
        [other, ..] => Err(Failure::usage(format!(
            "unexpected argument: {}\n  hint: the command knows only {flag}",
            other.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_flag_is_refused_with_the_right_one() {
        let failure = one_flag(&["--smok".into()], "--smoke").unwrap_err();
        assert_eq!(failure.status, 2);
        assert!(failure.message.contains("--smoke"), "{}", failure.message);
    }
}
