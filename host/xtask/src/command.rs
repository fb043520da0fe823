//! Running other programs, cargo above all, with their output shown as it comes.

use std::ffi::OsString;
use std::process::Command;

use crate::Failure;
use crate::progress;
use crate::workspace;

/// The cargo that started this program, at the workspace's root.
pub(crate) fn cargo() -> Command {
    program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program at the workspace's root.
///
/// What `cargo run` set for this package is taken out of its environment: build scripts that watch
/// such variables would otherwise run again at each change between `cargo xtask` and plain cargo.
pub(crate) fn program(program: impl Into<OsString>) -> Command {
    let mut command = Command::new(program.into());
    command.current_dir(workspace::root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_this_package) {
            command.env_remove(name);
        }
    }
    command
}

fn is_of_this_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
        || [
            "CARGO_CRATE_NAME",
            "CARGO_BIN_NAME",
            "CARGO_PRIMARY_PACKAGE",
        ]
        .contains(&variable)
}

/// Shows the command, runs it and takes a status other than 0 as a failure.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = line(command);
    progress::say(&format!("$ {line}"));
    let status = command
        .status()
        .map_err(|error| Failure::new(format!("cannot run `{line}`: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{line}` failed: {status}")))
    }
}

/// Runs the command silently and gives what it wrote on standard output.
pub(crate) fn read(command: &mut Command) -> Result<String, Failure> {
    let line = line(command);
    let output = command
        .output()
        .map_err(|error| Failure::new(format!("cannot run `{line}`: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "`{line}` failed: {}\n{}",
            output.status,
            said.trim_end()
        )));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("`{line}` did not write UTF-8")))
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let name = std::path::Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_the_path_of_its_program() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["doc", "--no-deps"]);
        assert_eq!(line(&command), "cargo doc --no-deps");
    }

    #[test]
    fn a_status_other_than_zero_is_a_failure_that_names_the_command() {
        let failure = run(&mut Command::new("false")).unwrap_err();
        assert!(
            failure.message.starts_with("`false` failed"),
            "{}",
            failure.message
        );
    }
}
