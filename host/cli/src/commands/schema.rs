//! `outrigger schema`: the JSON schema of the profile, for editors.

use std::io::Write as _;

use crate::error_report::Failure;
use crate::exit_code::Exit;

/// Prints it.
pub(crate) fn run() -> Result<Exit, Failure> {
    let mut text = serde_json::to_string_pretty(&outrigger_profile::schema())?;
    text.push('\n');
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}
