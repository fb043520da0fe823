//! What has to be counted as it happens, because no snapshot tells it afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many series are counted: all that there are, many times over. Labels are words of ours.
const SERIES_MAX: usize = 1000;

/// The upper bounds of the histogram of calls, in seconds: from a host call's 0.1 ms to the longest
/// deadline that a profile can set.
pub const BUCKETS: [f64; 12] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0,
];

/// One counted series: a name and its labels.
pub type Series = (&'static str, Vec<(&'static str, String)>);

/// A distribution of durations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// How many were at most each of [`BUCKETS`], each alone.
    pub counts: [u64; BUCKETS.len()],
    /// All of them.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

/// Counters and histograms. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    inner: Arc<Mutex<Recorded>>,
}

/// What was counted so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// Counters.
    pub counters: BTreeMap<Series, u64>,
    /// Histograms of durations.
    pub histograms: BTreeMap<Series, Histogram>,
    /// Gauges that only events set.
    pub gauges: BTreeMap<&'static str, f64>,
}

impl Recorder {
    /// Nothing counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one to a counter of [`outrigger_telemetry::names`].
    pub fn count(&self, name: &'static str, labels: &[(&'static str, &str)]) {
        let mut recorded = self.lock();
        let series = series(name, labels);
        if let Some(count) = recorded.counters.get_mut(&series) {
            *count += 1;
        } else if recorded.counters.len() < SERIES_MAX {
            recorded.counters.insert(series, 1);
        }
    }

    /// Adds one duration to a histogram.
    pub fn took(&self, name: &'static str, labels: &[(&'static str, &str)], took: Duration) {
        let mut recorded = self.lock();
        let series = series(name, labels);
        if recorded.histograms.len() >= SERIES_MAX && !recorded.histograms.contains_key(&series) {
            return;
        }
        let seconds = took.as_secs_f64();
        let histogram = recorded.histograms.entry(series).or_default();
        histogram.count += 1;
        histogram.sum += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            histogram.counts[bucket] += 1;
        }
    }

    /// Sets a gauge without labels.
    pub fn set(&self, name: &'static str, value: f64) {
        self.lock().gauges.insert(name, value);
    }

    /// What was counted so far.
    pub fn recorded(&self) -> Recorded {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        // Nothing that could panic runs under this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn series(name: &'static str, labels: &[(&'static str, &str)]) -> Series {
    let labels = labels
        .iter()
        .map(|(label, value)| (*label, (*value).to_owned()))
        .collect();
    (name, labels)
}
