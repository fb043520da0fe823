//! Tracing and OpenTelemetry set-up, the names of all metrics, build information.

mod build_info;
mod exporter;
mod filter;
mod log;
pub mod names;
mod otlp_metrics;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::warn;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use build_info::BuildInfo;
pub use filter::{FilterError, LogHandle};
pub use log::{LogConfig, LogFormat};
pub use otlp_metrics::{OtlpMetrics, Point, PointKind};

/// The target of spans that live as long as the process. They say on log lines which task wrote them;
/// in a trace they would hold everything that ever happens, and not end before the process does.
const UNTRACED: &str = "outrigger_shutdown::lasting";

/// What keeps logs and exports going; end it with [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    log: LogHandle,
    traces: Option<SdkTracerProvider>,
    metrics: Option<OtlpMetrics>,
}

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The exporter cannot be made from this endpoint.
    #[error("traces and metrics cannot be exported to `{endpoint}`")]
    Otlp {
        /// As configured.
        endpoint: String,
        /// Why.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// HTTPS is not built in.
    #[error("`{endpoint}`: exports over https are not built in")]
    Https {
        /// As configured.
        endpoint: String,
    },
    /// Somebody else has set up logs in this process.
    #[error("logs are set up already")]
    Twice,
}

impl TelemetryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Filter(_) => Some(
                "write a level (`info`) or levels by module, such as `info,outrigger_sidecar=debug`",
            ),
            Self::Otlp { .. } => Some("write a URL such as `http://collector:4317`"),
            Self::Https { .. } => Some(
                "export to a collector on the node or in the pod over http, and let that speak https",
            ),
            Self::Twice => None,
        }
    }
}

/// Sets up logs for the whole process and, with an OTLP endpoint, the export of traces and metrics.
/// `resource` are the attributes by which a backend tells replicas apart. To be called once, within
/// a tokio runtime where there is an endpoint. Panics become log lines.
///
/// # Guarantees
/// A collector that does not answer costs bounded memory and nothing else: what does not fit the
/// queue is dropped, and the failure is said once until an export succeeds again.
pub fn init(
    config: &LogConfig,
    otlp: Option<&str>,
    resource: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<Telemetry, TelemetryError> {
    let (filter, log) = filter::reloadable(&config.filter)?;
    let resource = Resource::builder_empty()
        .with_service_name("outrigger")
        .with_attribute(KeyValue::new(
            "service.version",
            BuildInfo::current().version,
        ))
        .with_attributes(
            resource
                .into_iter()
                .map(|(name, value)| KeyValue::new(name, value)),
        )
        .build();
    let traces = otlp
        .map(|endpoint| exporter::traces(endpoint, resource.clone()))
        .transpose()?;
    let metrics = otlp
        .map(|endpoint| exporter::metrics(endpoint, resource))
        .transpose()?
        .map(OtlpMetrics::new);
    let spans = traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("outrigger"))
            .with_filter(filter_fn(|span| span.target() != UNTRACED))
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(spans)
        .with(log::layer(config))
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;
    log::panics_become_lines();
    Ok(Telemetry {
        log,
        traces,
        metrics,
    })
}

impl Telemetry {
    /// The log's filter, to be changed while the process runs.
    pub fn log(&self) -> LogHandle {
        self.log.clone()
    }

    /// Where metrics are exported through; none without an OTLP endpoint.
    pub fn metrics(&self) -> Option<OtlpMetrics> {
        self.metrics.clone()
    }

    /// Sends what is still queued, for at most this long.
    pub async fn shutdown(self, within: Duration) {
        // On a thread of its own: the exporters need this runtime to go on meanwhile.
        let ended = tokio::task::spawn_blocking(move || {
            let mut ended = Vec::new();
            if let Some(traces) = &self.traces {
                ended.push(traces.shutdown_with_timeout(within));
            }
            if let Some(metrics) = &self.metrics {
                ended.push(metrics.shutdown(within));
            }
            ended
        });
        if let Ok(Ok(results)) = tokio::time::timeout(within, ended).await {
            for error in results.into_iter().filter_map(Result::err) {
                warn!(%error, "The last traces or metrics were not exported");
            }
        } else {
            warn!("The last traces or metrics were not exported in time");
        }
    }
}
