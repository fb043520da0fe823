//! The least program that can be its own compile child: what `outrigger __compile` does.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(outrigger_plugin_host::compile_child())
}
