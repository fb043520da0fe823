//! What is read when metrics are asked for: how following the cluster goes, which Events were sent, how it
//! stands with the certificate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use outrigger_api_server::EventCounts;
use outrigger_telemetry::names;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::super::tls::days_until;
use crate::certificate::{Rotation, Standing};
use crate::cluster::KindStatus;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Went {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    phase: &'static str,
}

/// The catalog, by kind.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    synced: Family<OfKind, Gauge>,
    objects: Family<OfKind, Gauge>,
    bytes: Family<OfKind, Gauge>,
    bytes_max: Family<OfKind, Gauge>,
    refused: Family<OfKind, Gauge>,
    silent: Family<OfKind, Gauge<f64, AtomicU64>>,
    lists: Family<OfKind, Counter>,
    failures: Family<OfKind, Counter>,
    events: Family<Went, Counter>,
}

/// The certificate.
#[derive(Debug, Default)]
pub(super) struct Certificate {
    days: Gauge<f64, AtomicU64>,
    authority_days: Gauge<f64, AtomicU64>,
    good: Gauge,
    trouble: Gauge,
    changes: Counter,
    rotation: Family<InPhase, Gauge>,
    clock_ahead: Gauge,
}

fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Others count: here it is only shown.
fn show(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}

impl Catalog {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            names::WEBHOOK_CATALOG_SYNCED,
            "Whether all objects of a kind were listed once",
            self.synced.clone(),
        );
        registry.register(
            names::WEBHOOK_CATALOG_OBJECTS,
            "Objects that are known, by kind",
            self.objects.clone(),
        );
        registry.register(
            names::WEBHOOK_CATALOG_BYTES,
            "About how many bytes they take, by kind",
            self.bytes.clone(),
        );
        registry.register(
            names::WEBHOOK_CATALOG_BYTES_MAX,
            "How many bytes they may take, by kind",
            self.bytes_max.clone(),
        );
        registry.register(
            names::WEBHOOK_CATALOG_REFUSED,
            "Objects for which there was no room since the last list, by kind",
            self.refused.clone(),
        );
        registry.register(
            names::WEBHOOK_CATALOG_SILENT_SECONDS,
            "How long ago the API server was last heard of, by kind",
            self.silent.clone(),
        );
        registry.register(
            names::WEBHOOK_CATALOG_LISTS,
            "How often all objects of a kind were listed",
            self.lists.clone(),
        );
        registry.register(
            names::WEBHOOK_CATALOG_FAILURES,
            "How often following a kind broke off, and began again",
            self.failures.clone(),
        );
        registry.register(
            names::WEBHOOK_EVENTS,
            "Events on owners by result",
            self.events.clone(),
        );
    }

    pub(super) fn show(&self, kinds: &[KindStatus], events: Option<EventCounts>) {
        for status in kinds {
            let of = OfKind { kind: status.kind };
            let set = |family: &Family<OfKind, Gauge>, value: i64| {
                family.get_or_create(&of).set(value);
            };
            set(&self.synced, i64::from(status.listed));
            set(&self.objects, number(status.objects));
            set(&self.bytes, number(status.bytes));
            set(&self.bytes_max, number(status.bytes_max));
            set(&self.refused, number(status.refused));
            let silent = self.silent.get_or_create(&of);
            silent.set(status.silent.as_secs_f64());
            show(&self.lists.get_or_create(&of), status.lists);
            show(&self.failures.get_or_create(&of), status.failures);
        }
        let Some(events) = events else { return };
        for (result, count) in [
            ("sent", events.sent),
            ("repeated", events.repeated),
            ("dropped", events.dropped),
            ("failed", events.failed),
        ] {
            show(&self.events.get_or_create(&Went { result }), count);
        }
    }
}

impl Certificate {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            names::WEBHOOK_CERTIFICATE_DAYS,
            "Days until the certificate that is served expires; not a number while there is none",
            self.days.clone(),
        );
        registry.register(
            names::WEBHOOK_AUTHORITY_DAYS,
            "Days until the authority that signs expires; not a number where it is not ours",
            self.authority_days.clone(),
        );
        registry.register(
            names::WEBHOOK_CERTIFICATE_GOOD,
            "Whether API servers believe the certificate now, as far as is known",
            self.good.clone(),
        );
        registry.register(
            names::WEBHOOK_CERTIFICATE_TROUBLE,
            "Whether something keeps the certificate from being looked after",
            self.trouble.clone(),
        );
        registry.register(
            names::WEBHOOK_CERTIFICATE_CHANGES,
            "How often another certificate was taken, the first one included",
            self.changes.clone(),
        );
        registry.register(
            names::WEBHOOK_ROTATION,
            "Where the change of authorities is",
            self.rotation.clone(),
        );
        registry.register(
            names::WEBHOOK_CLOCK_AHEAD_SECONDS,
            "How far this machine's clock is ahead of the API server's; 0 within a minute",
            self.clock_ahead.clone(),
        );
    }

    pub(super) fn show(&self, standing: &Standing, now: SystemTime) {
        let days = |until: SystemTime| days_until(until, now);
        let until = standing.leaf.map(|leaf| leaf.until);
        self.days.set(until.map_or(f64::NAN, days));
        self.authority_days
            .set(standing.authority_until.map_or(f64::NAN, days));
        self.good.set(i64::from(standing.good(now)));
        self.trouble.set(i64::from(standing.trouble.is_some()));
        show(&self.changes, standing.changes);
        match standing.rotation {
            None => self.rotation.clear(),
            Some(now) => {
                for one in Rotation::ALL {
                    let phase = one.as_str();
                    let gauge = self.rotation.get_or_create(&InPhase { phase });
                    gauge.set(i64::from(one == now));
                }
            }
        }
        let ahead = standing.clock_ahead_seconds.unwrap_or(0);
        self.clock_ahead.set(ahead);
    }
}
