//! Process tests of `up`'s hidden processes: namespaces, network, containers, names, forwarding.
//!
//! This program is the tests, the hidden processes that they start (`__hub` and so on), the hubs
//! (`hub SCENARIO`, inside the namespaces) and the workloads (`serve`, `get`, …). A scenario that
//! fails panics, its process ends with another code than 0, and its test shows what it said.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unnecessary_wraps,
    reason = "a test program, though clippy does not see that without the built-in harness"
)]

mod forwarding;
mod outside;
mod scenarios;
mod support;
mod workload;

use std::ffi::OsString;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(first) = args.first() {
        if outrigger_local::entry::is_entry_point(first) {
            return outrigger_local::entry::run(&args);
        }
        let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
        match words.as_slice() {
            ["hub", scenario, rest @ ..] => return scenarios::run(scenario, rest),
            ["front", folder, rest @ ..] => return forwarding::run_front(folder, rest),
            ["workload", rest @ ..] => return workload::run(rest),
            _ => {}
        }
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials());
    support::clean_up();
    conclusion.exit_code()
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for user in support::users() {
        for (name, test) in outside::TESTS.iter().chain(forwarding::TESTS) {
            let test = *test;
            trials.push(Trial::test(format!("{}::{name}", user.name()), move || {
                test(user).map_err(Failed::from)
            }));
        }
    }
    trials
}
