//! `__hub [--plain] --parent PID -- ARGUMENTS…`: the hub's namespaces around this same program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::sys::signal::Signal;

use crate::entry::{OWN_PROGRAM, die_with, failed};
use crate::namespace;

/// The arguments for [`run`].
pub(crate) fn arguments(plain: bool, hub: &[OsString]) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec![super::HUB.into()];
    if plain {
        all.push("--plain".into());
    }
    all.push("--parent".into());
    all.push(std::process::id().to_string().into());
    all.push("--".into());
    all.extend_from_slice(hub);
    all
}

pub(super) fn run(args: &[OsString]) -> ExitCode {
    let mut plain = false;
    let mut parent = None;
    let mut args = args.iter();
    loop {
        match args.next().and_then(|arg| arg.to_str()) {
            Some("--plain") => plain = true,
            Some("--parent") => {
                parent = args
                    .next()
                    .and_then(|pid| pid.to_str()?.parse::<i32>().ok());
            }
            Some("--") => break,
            _ => return failed("usage: __hub [--plain] --parent PID -- ARGUMENTS…"),
        }
    }
    if !plain && let Err(error) = namespace::enter_hub() {
        return failed(namespace::Facts::read().explain(&error));
    }
    // After the change of user namespace, which forgets it. The hub has pods to stop: SIGTERM.
    if let Some(parent) = parent
        && !die_with(parent, Signal::SIGTERM)
    {
        return failed("the process that started the hub is gone");
    }
    let error = Command::new(OWN_PROGRAM)
        .arg0("outrigger")
        .args(args)
        .exec();
    failed(format_args!("cannot start the hub: {error}"))
}
