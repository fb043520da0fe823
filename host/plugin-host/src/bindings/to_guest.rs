//! From our values to the records of `wit/`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outrigger_peers::{PeerSet, Phase, Replica};

use super::{exports, wit};
use crate::types::{Artifact, Batch, DrainContext, DrainReason, Family, MetricKind, Probe};

/// The snapshot as guests see it. `now` tells the age of what was last learnt.
pub(crate) fn membership(set: &PeerSet, now: SystemTime) -> wit::Membership {
    let now_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = now_ms.saturating_sub(Duration::from_millis(set.confirmed_unix_ms));
    let stale_for = if set.confirmed_unix_ms == 0 {
        u32::MAX
    } else {
        millis(age)
    };
    wit::Membership {
        revision: set.revision,
        self_ordinal: set.identity.ordinal.0,
        start: set.start.0,
        desired: set.desired,
        namespace: set.identity.namespace.clone(),
        service: set.identity.service.clone(),
        replicas: set.replicas.values().map(replica).collect(),
        stale_for,
    }
}

fn replica(replica: &Replica) -> wit::Replica {
    wit::Replica {
        ordinal: replica.ordinal.0,
        name: replica.name.clone(),
        host: replica.host.clone(),
        addresses: replica.addresses.iter().map(ToString::to_string).collect(),
        phase: match replica.phase {
            Phase::Unknown => wit::PodPhase::Unknown,
            Phase::Pending => wit::PodPhase::Pending,
            Phase::Starting => wit::PodPhase::Starting,
            Phase::Ready => wit::PodPhase::Ready,
            Phase::NotReady => wit::PodPhase::NotReady,
            Phase::Terminating => wit::PodPhase::Terminating,
            Phase::Gone => wit::PodPhase::Gone,
        },
        role: replica.role.clone(),
        attrs: replica
            .attrs
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    }
}

/// Milliseconds, at most what 32 bits hold (49 days).
pub(crate) fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

pub(crate) fn probe(probe: Probe) -> exports::health::Probe {
    match probe {
        Probe::Startup => exports::health::Probe::Startup,
        Probe::Readiness => exports::health::Probe::Readiness,
        Probe::Liveness => exports::health::Probe::Liveness,
    }
}

pub(crate) fn artifacts(artifacts: &[Artifact]) -> Vec<exports::templating::Artifact> {
    let artifacts = artifacts
        .iter()
        .map(|artifact| exports::templating::Artifact {
            path: artifact.path.clone(),
            content: artifact.content.clone(),
        });
    artifacts.collect()
}

pub(crate) fn batch(batch: &Batch) -> exports::metrics::Batch {
    exports::metrics::Batch {
        families: batch.families.iter().map(family).collect(),
        strings: batch.strings.clone(),
        family: batch.family.clone(),
        starts: batch.starts.clone(),
        pairs: batch.pairs.clone(),
        values: batch.values.clone(),
    }
}

fn family(family: &Family) -> exports::metrics::Family {
    exports::metrics::Family {
        name: family.name.clone(),
        help: family.help.clone(),
        kind: match family.kind {
            MetricKind::Gauge => exports::metrics::Kind::Gauge,
            MetricKind::Counter => exports::metrics::Kind::Counter,
        },
    }
}

pub(crate) fn drain_context(
    context: &DrainContext,
    now: wit::Membership,
) -> exports::lifecycle::DrainContext {
    use exports::lifecycle::DrainReason as Theirs;
    exports::lifecycle::DrainContext {
        reason: match context.reason {
            DrainReason::ScaleDown => Theirs::ScaleDown,
            DrainReason::RollingUpdate => Theirs::RollingUpdate,
            DrainReason::NodeDrain => Theirs::NodeDrain,
            DrainReason::ConfigChange => Theirs::ConfigChange,
            DrainReason::Manual => Theirs::Manual,
            DrainReason::Unknown => Theirs::Unknown,
        },
        remaining: millis(context.remaining),
        elapsed: millis(context.elapsed),
        attempt: context.attempt,
        now,
    }
}
