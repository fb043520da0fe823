//! Exports over OTLP that never hurt: bounded queues, and a failure that is said once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData,
    SpanExporter as ExportSpans,
};
use tracing::{info, warn};

use crate::TelemetryError;

/// For one export.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many ended spans may wait for the collector: some minutes of probes and plugin calls, about
/// 1 MiB.
const SPANS_QUEUED_MAX: usize = 1024;

/// Between two exports of metrics: OpenTelemetry's own default.
const METRICS_EVERY: Duration = Duration::from_mins(1);

pub(crate) fn traces(
    endpoint: &str,
    resource: Resource,
) -> Result<SdkTracerProvider, TelemetryError> {
    check(endpoint)?;
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|source| TelemetryError::Otlp {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    let queue = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS_QUEUED_MAX)
        .with_max_export_batch_size(256)
        .build();
    let processor = BatchSpanProcessor::builder(SaidOnce::new(exporter, "traces", endpoint))
        .with_batch_config(queue)
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(processor)
        .build())
}

pub(crate) fn metrics(
    endpoint: &str,
    resource: Resource,
) -> Result<SdkMeterProvider, TelemetryError> {
    check(endpoint)?;
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|source| TelemetryError::Otlp {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    let reader = PeriodicReader::builder(SaidOnce::new(exporter, "metrics", endpoint))
        .with_interval(METRICS_EVERY)
        .build();
    Ok(SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .build())
}

fn check(endpoint: &str) -> Result<(), TelemetryError> {
    if endpoint.starts_with("https:") {
        return Err(TelemetryError::Https {
            endpoint: endpoint.to_owned(),
        });
    }
    Ok(())
}

/// Says that exports fail when they begin to, and that they work when they do again.
struct SaidOnce<E> {
    exporter: E,
    what: &'static str,
    endpoint: String,
    failing: Arc<AtomicBool>,
}

impl<E> SaidOnce<E> {
    fn new(exporter: E, what: &'static str, endpoint: &str) -> Self {
        Self {
            exporter,
            what,
            endpoint: endpoint.to_owned(),
            failing: Arc::default(),
        }
    }

    fn say(&self, result: &OTelSdkResult) {
        let (what, endpoint) = (self.what, &self.endpoint);
        match result {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    info!(what, endpoint, "Exports work again");
                }
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    warn!(what, endpoint, %error, "Exports fail, which is not said again until they work");
                }
            }
        }
    }
}

impl<E> fmt::Debug for SaidOnce<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaidOnce")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

impl<E: ExportSpans> ExportSpans for SaidOnce<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.say(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for SaidOnce<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.exporter.export(metrics).await;
        self.say(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests;
