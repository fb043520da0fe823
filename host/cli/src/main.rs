//! The one binary: parsing, wiring and reporting, no logic.

mod args;
mod builtins;
mod commands;
mod env;
mod error_report;
mod exit_code;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::Parser as _;
use outrigger_local::{entry, up};

use crate::args::{Args, Command};

fn main() -> ExitCode {
    // The hidden entries come first: they must be alone in their process (no runtime, no thread),
    // because namespaces and limits are a whole process's.
    let raw: Vec<OsString> = std::env::args_os().collect();
    match raw.get(1).and_then(|first| first.to_str()) {
        Some("__compile") => return ExitCode::from(outrigger_plugin_host::compile_child()),
        Some(up::HUB_PROCESS) => return up::run_hub(raw.get(2..).unwrap_or_default()),
        Some(name) if entry::is_entry_point(OsStr::new(name)) => {
            return entry::run(raw.get(1..).unwrap_or_default());
        }
        _ => {}
    }

    let args = Args::parse();
    let outcome = match args.command {
        Command::Sidecar => commands::sidecar::run(),
        Command::Webhook(webhook) => commands::webhook::run(*webhook),
        Command::Inject(inject) => commands::inject::run(&inject),
        Command::Uninject(uninject) => commands::inject::undo(&uninject),
        Command::Check(check) => commands::check::run(&check),
        Command::Policy(policy) => commands::policy::run(&policy),
        Command::Up(up) => commands::up::run(up),
        Command::Ps(ps) => commands::second_terminal::ps(&ps),
        Command::Logs(logs) => commands::second_terminal::logs(&logs),
        Command::Scale(scale) => commands::second_terminal::scale(&scale),
        Command::Restart(restart) => commands::second_terminal::restart(&restart),
        Command::Roll(roll) => commands::roll::run(&roll),
        Command::Kill(kill) => commands::second_terminal::kill(&kill),
        Command::Down(down) => commands::second_terminal::down(&down),
        Command::Schema => commands::schema::run(),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => error_report::report(&*error).into(),
    }
}
