//! Log lines of guests become events of our own log, with caps.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::bindings::imports::log;
use crate::call_state::CallState;
use crate::limits::{LOG_BURST, LOG_FIELDS_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_PER_SECOND};
use crate::types::cut;

/// The target of all events that guests write.
const TARGET: &str = "outrigger::plugin";

/// Lets bursts through and then a steady rate, and counts what it holds back.
#[derive(Debug)]
pub(crate) struct LogGate {
    bucket: Mutex<Option<Bucket>>,
    /// All that were dropped, over all generations of the plugin.
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Bucket {
    lines: f64,
    filled: Instant,
    dropped: u64,
}

/// What happens to one line.
#[derive(Debug, PartialEq, Eq)]
enum Gate {
    /// It is written, and so many were dropped since the last one.
    Open { dropped: u64 },
    /// It is dropped.
    Shut,
}

impl LogGate {
    /// One that counts there what it drops.
    pub(crate) fn new(dropped: Arc<AtomicU64>) -> Self {
        Self {
            bucket: Mutex::default(),
            dropped,
        }
    }

    /// How many lines were dropped, over all generations of the plugin.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn pass(&self, now: Instant) -> Gate {
        let mut slot = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = slot.get_or_insert(Bucket {
            lines: f64::from(LOG_BURST),
            filled: now,
            dropped: 0,
        });
        let since = now.saturating_duration_since(bucket.filled);
        let gained = since.as_secs_f64() * f64::from(LOG_LINES_PER_SECOND);
        bucket.lines = (bucket.lines + gained).min(f64::from(LOG_BURST));
        bucket.filled = now;
        if bucket.lines < 1.0 {
            bucket.dropped += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Gate::Shut;
        }
        bucket.lines -= 1.0;
        Gate::Open {
            dropped: std::mem::take(&mut bucket.dropped),
        }
    }
}

impl log::Host for CallState {
    fn enabled(&mut self, level: log::Level) -> wasmtime::Result<bool> {
        Ok(match level {
            log::Level::Trace => tracing::enabled!(target: TARGET, tracing::Level::TRACE),
            log::Level::Debug => tracing::enabled!(target: TARGET, tracing::Level::DEBUG),
            log::Level::Info => tracing::enabled!(target: TARGET, tracing::Level::INFO),
            log::Level::Warn => tracing::enabled!(target: TARGET, tracing::Level::WARN),
            log::Level::Error => tracing::enabled!(target: TARGET, tracing::Level::ERROR),
        })
    }

    fn emit(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.write_line(level, &message, &fields);
        Ok(())
    }
}

impl CallState {
    /// Writes one line of the guest, unless it writes too many.
    pub(crate) fn write_line(&self, level: log::Level, message: &str, fields: &[(String, String)]) {
        let Gate::Open { dropped } = self.shared.log.pass(Instant::now()) else {
            return;
        };
        let plugin = self.shared.name.as_str();
        if dropped > 0 {
            tracing::warn!(target: TARGET, { plugin.name = plugin, dropped }, "Plugin writes too many log lines, some were dropped");
        }
        let line = line(message, fields);
        match level {
            log::Level::Trace => {
                tracing::trace!(target: TARGET, { plugin.name = plugin }, "{line}");
            }
            log::Level::Debug => {
                tracing::debug!(target: TARGET, { plugin.name = plugin }, "{line}");
            }
            log::Level::Info => tracing::info!(target: TARGET, { plugin.name = plugin }, "{line}"),
            log::Level::Warn => tracing::warn!(target: TARGET, { plugin.name = plugin }, "{line}"),
            log::Level::Error => {
                tracing::error!(target: TARGET, { plugin.name = plugin }, "{line}");
            }
        }
    }
}

/// Message and fields as one line, without control characters, cut to the limit.
fn line(message: &str, fields: &[(String, String)]) -> String {
    let mut line = cut(message, LOG_LINE_BYTES_MAX);
    for (key, value) in fields.iter().take(LOG_FIELDS_MAX) {
        let (key, value) = (cut(key, 64), cut(value, LOG_LINE_BYTES_MAX));
        write!(line, " {key}={value}").expect("writing to a string cannot fail");
        if line.len() > LOG_LINE_BYTES_MAX {
            break;
        }
    }
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    cut(line.trim_end(), LOG_LINE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_a_steady_rate_and_the_rest_is_counted() {
        let gate = LogGate::new(Arc::default());
        let passed = |gate: &LogGate, lines: u32| {
            (0..lines)
                .filter(|_| gate.pass(Instant::now()) != Gate::Shut)
                .count()
        };
        assert_eq!(passed(&gate, 1000), LOG_BURST as usize);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(gate.pass(Instant::now()), Gate::Open { dropped: 800 });
        assert_eq!(gate.dropped(), 800);
        assert_eq!(passed(&gate, 100), 4);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(passed(&gate, 1000), LOG_BURST as usize);
    }

    #[test]
    fn a_line_stays_one_line_and_within_its_limit() {
        let fields = [("peer".to_owned(), "a\nb\u{1b}[31m".to_owned())];
        assert_eq!(line("hello\r\n", &fields), "hello   peer=a b [31m");
        let long = "x".repeat(LOG_LINE_BYTES_MAX * 2);
        let many = vec![(long.clone(), long.clone()); 100];
        assert!(line(&long, &many).len() <= LOG_LINE_BYTES_MAX);
    }
}
