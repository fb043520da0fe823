//! How an error looks on the terminal: what failed, what caused it, what to do.

use std::error::Error;
use std::io::Write as _;

use outrigger_profile::Findings;

use crate::exit_code::Exit;

/// What commands fail with.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Writes the chain of an error to standard error. Findings stand for themselves, one after the
/// other, and mean bad input.
pub(crate) fn report(error: &(dyn Error + 'static)) -> Exit {
    let mut text = String::new();
    let exit = if let Some(findings) = error.downcast_ref::<Findings>() {
        text.push_str(&findings.to_string());
        Exit::BadInput
    } else {
        text.push_str("error: ");
        text.push_str(&error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str("\n  caused by: ");
            text.push_str(&cause.to_string().replace('\n', "\n    "));
            source = cause.source();
        }
        Exit::Failed
    };
    text.push('\n');
    // Where standard error is closed there is nobody to tell.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
    exit
}
