//! What the commands tell people: headings, times, one line at a time, on standard error.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// One line on standard error. A closed terminal is no reason to fail.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// The answer to a question, on standard output.
pub(crate) fn print(text: &str) {
    drop(write!(std::io::stdout(), "{text}"));
}

/// The heading of what comes next.
pub(crate) fn heading(title: &str) {
    say(&format!("\n==> {title}"));
}

/// Measures how long a step takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no tokio clock here to pause"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A time as people read it: `7m12s`, `12.3s`.
pub(crate) fn spent(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1}s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (time, expected) in [
            (0, "0.0s"),
            (12_340, "12.3s"),
            (59_900, "59.9s"),
            (60_000, "1m00s"),
            (432_000, "7m12s"),
        ] {
            assert_eq!(spent(Duration::from_millis(time)), expected);
        }
    }
}
