//! How an error looks on the terminal: what failed, what caused it, what to do.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::Write as _;

use outrigger_profile::Findings;

use crate::exit_code::Exit;

/// What commands fail with.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// A failure with advice.
#[derive(Debug)]
pub(crate) struct Advised {
    failure: Failure,
    hint: Cow<'static, str>,
}

impl Advised {
    /// A failure and what to do about it.
    pub(crate) fn new(failure: impl Into<Failure>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self {
            failure: failure.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl Error for Advised {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.source()
    }
}

/// Writes the chain of an error to standard error. Findings stand for themselves, one after the
/// other, and mean bad input.
pub(crate) fn report(error: &(dyn Error + 'static)) -> Exit {
    let (mut text, exit) = match error.downcast_ref::<Findings>() {
        Some(findings) => (findings.to_string(), Exit::BadInput),
        None => (chain(error), Exit::Failed),
    };
    text.push('\n');
    // Where standard error is closed there is nobody to tell.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
    exit
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut text = format!("error: {told}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_told = cause.to_string();
        // Some errors say what their cause says.
        if cause_told != told {
            text.push_str("\n  caused by: ");
            text.push_str(&cause_told.replace('\n', "\n    "));
        }
        told = cause_told;
        source = cause.source();
    }
    if let Some(advised) = error.downcast_ref::<Advised>() {
        text.push_str("\n  hint: ");
        text.push_str(&advised.hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self.1.as_deref()?)
        }
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let below = texts.get(1).map(|_| Box::new(layers(&texts[1..])));
        Layer(texts[0], below)
    }

    #[test]
    fn a_chain_is_told_with_each_cause_once_and_the_advice_last() {
        let error = Advised::new(
            layers(&["cannot listen", "in use", "in use"]),
            "take another",
        );
        assert_eq!(
            chain(&error),
            "error: cannot listen\n  caused by: in use\n  hint: take another"
        );
        assert_eq!(chain(&layers(&["it failed"])), "error: it failed");
    }
}
