//! The bridge from one exposition to OTLP: whoever gathers samples for `/metrics` publishes the same
//! ones here, and the exporter reads the newest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tracing::warn;

/// How many names are exported: some ten times as many as Outrigger and a plugin have.
const NAMES_MAX: usize = 500;

/// What kind of metric a sample is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// Goes up and down.
    Gauge,
    /// Only grows, and starts anew with the process.
    Counter,
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The metric's name.
    pub name: String,
    /// What it tells.
    pub help: String,
    /// The kind; a name keeps the kind that it came with first.
    pub kind: PointKind,
    /// The labels.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

type Samples = Vec<(Vec<KeyValue>, f64)>;

/// Where samples are published for export. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct OtlpMetrics {
    provider: SdkMeterProvider,
    meter: Meter,
    newest: Arc<Mutex<BTreeMap<String, Samples>>>,
}

impl OtlpMetrics {
    pub(crate) fn new(provider: SdkMeterProvider) -> Self {
        Self {
            meter: provider.meter("outrigger"),
            provider,
            newest: Arc::default(),
        }
    }

    /// Replaces what is exported next. Names beyond the limit of 500 are left out, with a line on
    /// the log.
    pub fn publish(&self, points: Vec<Point>) {
        let mut fresh = Vec::new();
        {
            let mut newest = self.lock();
            for samples in newest.values_mut() {
                samples.clear();
            }
            for point in points {
                let labels = point
                    .labels
                    .into_iter()
                    .map(|(name, value)| KeyValue::new(name, value))
                    .collect();
                if let Some(samples) = newest.get_mut(&point.name) {
                    samples.push((labels, point.value));
                } else if newest.len() < NAMES_MAX {
                    newest.insert(point.name.clone(), vec![(labels, point.value)]);
                    fresh.push((point.name, point.help, point.kind));
                } else {
                    warn!(
                        metric.name = point.name,
                        limit = NAMES_MAX,
                        "Too many metrics for the export"
                    );
                }
            }
        }
        for (name, help, kind) in fresh {
            self.register(name, help, kind);
        }
    }

    fn register(&self, name: String, help: String, kind: PointKind) {
        let newest = Arc::clone(&self.newest);
        let key = name.clone();
        let read = move || {
            let newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
            newest.get(&key).cloned().unwrap_or_default()
        };
        // The instruments live on in the provider, which calls these back with each export.
        match kind {
            PointKind::Gauge => drop(
                self.meter
                    .f64_observable_gauge(name)
                    .with_description(help)
                    .with_callback(move |observer| {
                        for (labels, value) in read() {
                            observer.observe(value, &labels);
                        }
                    })
                    .build(),
            ),
            PointKind::Counter => drop(
                self.meter
                    .f64_observable_counter(name)
                    .with_description(help)
                    .with_callback(move |observer| {
                        for (labels, value) in read() {
                            observer.observe(value, &labels);
                        }
                    })
                    .build(),
            ),
        }
    }

    pub(crate) fn shutdown(&self, within: Duration) -> OTelSdkResult {
        self.provider.shutdown_with_timeout(within)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Samples>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
