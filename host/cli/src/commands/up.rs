//! `outrigger up`: a StatefulSet as processes on this machine.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use outrigger_local::up::{self, Places, UpError, UpOptions};
use outrigger_profile::env as variables;

use crate::args::Up;
use crate::env;
use crate::error_report::Failure;
use crate::exit_code::Exit;

/// Runs until it is stopped.
pub(crate) fn run(args: Up) -> Result<Exit, Failure> {
    let terminal = std::io::stderr().is_terminal();
    let options = UpOptions {
        inputs: args.inputs,
        replicas: args.replicas,
        exec: args.exec,
        keep: args.keep,
        json: args.json,
        timeout: args.timeout,
        state: args.state,
        plain: args.plain,
        install: !args.no_install,
        color: terminal && env::read("NO_COLOR").is_none(),
        terminal,
    };
    match up::run(&options, &places()?) {
        Ok(end) => Ok(Exit::Status(end.code())),
        Err(UpError::Findings(findings)) => Err(findings.into()),
        Err(error) => Err(error.into()),
    }
}

/// Where this user's programs, states and caches are.
pub(crate) fn places() -> Result<Places, Failure> {
    let nowhere = "neither HOME nor the XDG folders are set\n  hint: set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME";
    let passed_on = [
        variables::LOG,
        variables::LOG_FORMAT,
        variables::OTLP_ENDPOINT,
    ];
    let sidecar_env: BTreeMap<String, String> = passed_on
        .iter()
        .filter_map(|variable| Some((variable.name.to_owned(), env::read(variable.name)?)))
        .collect();
    Ok(Places {
        state: env::state_home().ok_or(nowhere)?.join("outrigger"),
        cache: env::cache_home().ok_or(nowhere)?.join("outrigger"),
        path: env::search_path(),
        outrigger: std::env::current_exe()?,
        sidecar_env,
    })
}
