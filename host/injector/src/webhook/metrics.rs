//! What the webhook counts.

mod standing;

use std::fmt;
use std::time::{Duration, SystemTime};

use outrigger_telemetry::{BuildInfo, names};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Server;
use super::handler::Refused;

/// The `Content-Type` of the exposition.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a fraction of a good answer's time to the longest that may be.
const BUCKETS: [f64; 13] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    decision: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AtLimit {
    limit: &'static str,
}

type BuildLabels = [(&'static str, &'static str); 2];

/// All counters, and what is read when it is asked for.
pub(super) struct Metrics {
    registry: Registry,
    decisions: Family<Decided, Counter>,
    invalid: Family<Because, Counter>,
    rejected: Family<AtLimit, Counter>,
    seconds: Histogram,
    handshakes: Counter,
    in_flight: Gauge,
    connections: Gauge,
    profiles_with_errors: Gauge,
    catalog: standing::Catalog,
    certificate: standing::Certificate,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            decisions: Family::default(),
            invalid: Family::default(),
            rejected: Family::default(),
            seconds: Histogram::new(BUCKETS),
            handshakes: Counter::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            profiles_with_errors: Gauge::default(),
            catalog: standing::Catalog::default(),
            certificate: standing::Certificate::default(),
        };
        let build = BuildInfo::current();
        let info = Family::<BuildLabels, Gauge>::default();
        info.get_or_create(&[("version", build.version), ("revision", build.revision)])
            .set(1);
        let registry = &mut metrics.registry;
        registry.register(names::BUILD_INFO, "The build that runs", info);
        registry.register(
            names::WEBHOOK_DECISIONS,
            "Reviews by decision and reason",
            metrics.decisions.clone(),
        );
        registry.register(
            names::WEBHOOK_INVALID,
            "Requests that are no reviews, by what is wrong",
            metrics.invalid.clone(),
        );
        registry.register(
            names::WEBHOOK_REJECTED,
            "Requests and connections that were turned away, by limit",
            metrics.rejected.clone(),
        );
        registry.register(
            names::WEBHOOK_SECONDS,
            "How long requests took, from the end of their head to the answer",
            metrics.seconds.clone(),
        );
        registry.register(
            names::WEBHOOK_IN_FLIGHT,
            "Reviews now",
            metrics.in_flight.clone(),
        );
        registry.register(
            names::WEBHOOK_HANDSHAKES,
            "TLS handshakes that succeeded",
            metrics.handshakes.clone(),
        );
        registry.register(
            names::WEBHOOK_CONNECTIONS,
            "Connections now",
            metrics.connections.clone(),
        );
        registry.register(
            names::WEBHOOK_PROFILES_WITH_ERRORS,
            "Profiles with errors: pods that name them are denied",
            metrics.profiles_with_errors.clone(),
        );
        metrics.catalog.register(registry);
        metrics.certificate.register(registry);
        metrics
    }

    /// A review was answered.
    pub(super) fn decided(&self, decision: &'static str, reason: &'static str) {
        self.decisions
            .get_or_create(&Decided { decision, reason })
            .inc();
    }

    /// A request got no review's answer.
    pub(super) fn refused(&self, refused: &Refused) {
        if refused.limit {
            self.rejected(refused.code);
        } else {
            let reason = refused.code;
            self.invalid.get_or_create(&Because { reason }).inc();
        }
    }

    /// Something was turned away at a limit.
    pub(super) fn rejected(&self, limit: &'static str) {
        self.rejected.get_or_create(&AtLimit { limit }).inc();
    }

    /// A TLS handshake succeeded.
    pub(super) fn shook_hands(&self) {
        self.handshakes.inc();
    }

    /// A request took so long.
    pub(super) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    /// The exposition.
    pub(super) fn exposition(&self, server: &Server, now: SystemTime) -> String {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.in_flight.set(gauge(server.admission.reviews()));
        self.connections.set(gauge(server.admission.connections()));
        self.profiles_with_errors
            .set(gauge(server.world.profiles_with_errors()));
        self.catalog
            .show(&server.world.following(), server.world.told());
        self.certificate
            .show(&server.serving.standing().borrow(), now);
        let mut text = String::with_capacity(8 << 10);
        text::encode(&mut text, &self.registry).expect("writing to a text cannot fail");
        text
    }
}
