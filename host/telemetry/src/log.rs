//! How log lines look.

use tracing::{Subscriber, error};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// What the log shows and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Such as `info` or `info,outrigger_sidecar=debug`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
    /// Whether text lines are coloured.
    pub color: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object each.
    Json,
    /// For people.
    Text,
}

/// Lines on standard error, in the format asked for.
pub(crate) fn layer<S>(config: &LogConfig) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match config.format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => lines.with_ansi(config.color).boxed(),
    }
}

/// Panics are log lines like all others, so that a collector of JSON lines sees them.
pub(crate) fn panics_become_lines() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map_or_else(String::new, ToString::to_string);
        let message = panic
            .payload_as_str()
            .unwrap_or("(a value that is no text)");
        error!(
            panic.location = location,
            panic.message = message,
            "A task panicked"
        );
    }));
}
