//! `/status`: everything about this replica at this moment, from the newest snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_dashboard::model;
use outrigger_peers::PeerSet;
use outrigger_profile::Findings;
use outrigger_shutdown::Tasks;
use outrigger_telemetry::BuildInfo;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::discovery::{RelatedSet, RelatedSets};
use crate::health::ProbeReport;
use crate::metrics::Derives;
use crate::reload::{Loaded, Refusal};
use crate::rooms::Rooms;
use crate::template::FilesState;
use crate::timeline::unix_ms;

/// Where the status comes from.
#[derive(Debug, Clone)]
pub struct StatusSource {
    /// What every room says.
    pub rooms: Rooms,
    /// What runs.
    pub tasks: Tasks,
    /// When the sidecar was started.
    pub started: Instant,
}

impl StatusSource {
    /// Everything at this moment.
    pub fn snapshot(&self, log: String) -> model::Snapshot {
        let peers = Arc::clone(&self.rooms.peers.borrow());
        let health = Arc::clone(&self.rooms.health.borrow());
        let files = Arc::clone(&self.rooms.files.borrow());
        let loaded = Arc::clone(&self.rooms.loaded.borrow());
        let reload = Arc::clone(&self.rooms.reload.borrow());
        let build = BuildInfo::current();
        let uptime = self.started.elapsed().as_millis();
        let mut tasks = self.tasks.still_running();
        tasks.dedup();
        model::Snapshot {
            unix_ms: unix_ms(),
            pod: pod(&peers),
            phase: self.rooms.phase.borrow().as_str().to_owned(),
            role: health.role.clone(),
            probes: vec![
                probe("start", &health.start),
                probe("startup", &health.startup),
                probe("readiness", &health.readiness),
                probe("liveness", &health.liveness),
            ],
            attrs: health.attrs.clone(),
            peers: view(&peers),
            related: related(&self.rooms.related.borrow()),
            files: self::files(&files),
            profile: profile(&loaded, reload.profile.as_ref()),
            plugin: self
                .rooms
                .plugin
                .as_ref()
                .and_then(|plugin| self::plugin(&**plugin, reload.plugin.as_ref())),
            cluster: self.rooms.cluster.as_ref().map(cluster),
            sidecar: model::Sidecar {
                version: build.version.to_owned(),
                revision: build.revision.to_owned(),
                uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
                log,
                tasks,
            },
        }
    }
}

fn pod(peers: &PeerSet) -> model::Pod {
    let identity = &peers.identity;
    model::Pod {
        name: identity.pod(),
        namespace: identity.namespace.clone(),
        stateful_set: identity.stateful_set.clone(),
        ordinal: identity.ordinal.0,
        service: identity.service.clone(),
        ip: identity.ip.map(|ip| ip.to_string()),
    }
}

fn probe(name: &str, report: &ProbeReport) -> model::Probe {
    model::Probe {
        name: name.to_owned(),
        pass: report.pass,
        reasons: report
            .reasons
            .iter()
            .map(|reason| model::Reason {
                scope: reason.scope.as_str().to_owned(),
                code: reason.code.clone(),
                message: reason.message.clone(),
                counts: reason.counts,
            })
            .collect(),
        checked_unix_ms: report.checked_unix_ms,
    }
}

fn view(peers: &PeerSet) -> model::Peers {
    model::Peers {
        revision: peers.revision,
        start: peers.start.0,
        desired: peers.desired,
        seen: peers.seen(),
        source: peers.source.as_str().to_owned(),
        confirmed_unix_ms: peers.confirmed_unix_ms,
        stale: peers.stale.as_ref().map(|stale| stale.reason.clone()),
        replicas: peers.replicas.values().cloned().collect(),
    }
}

fn related(sets: &RelatedSets) -> BTreeMap<String, model::Related> {
    let told = |set: &RelatedSet| match set {
        RelatedSet::Known(set) => model::Related {
            peers: Some(view(set)),
            unknown: None,
        },
        RelatedSet::Unknown(why) => model::Related {
            peers: None,
            unknown: Some(why.clone()),
        },
    };
    sets.iter()
        .map(|(name, set)| (name.clone(), told(set)))
        .collect()
}

fn cluster(cluster: &Cluster) -> model::Cluster {
    let label = cluster.role_label().borrow().clone();
    let (requests, events) = (cluster.requests(), cluster.events());
    model::Cluster {
        endpoint_slices: cluster.slices().borrow().standing().to_owned(),
        stateful_set: cluster.stateful_set().borrow().standing().to_owned(),
        role_label: label.written.flatten(),
        role_label_problem: label.problem,
        requests: requests.asked,
        answered: requests.answered,
        events_sent: events.sent,
        events_failed: events.failed + events.dropped,
    }
}

fn files(files: &FilesState) -> model::Files {
    model::Files {
        set: files.set,
        committed_unix_ms: (files.stands_unix_ms > 0).then_some(files.stands_unix_ms),
        digests: files.digests.clone(),
        refused: [&files.refusal, &files.rolled_back]
            .into_iter()
            .flat_map(|refusal| refused(refusal.as_ref()))
            .collect(),
        refused_unix_ms: files
            .refusal
            .as_ref()
            .or(files.rolled_back.as_ref())
            .map(|refusal| refusal.at_unix_ms),
    }
}

fn profile(loaded: &Loaded, refusal: Option<&Refusal>) -> model::Profile {
    model::Profile {
        name: loaded.profile.name.clone(),
        revision: loaded.revision,
        digest: loaded.digest.clone(),
        warnings: texts(&loaded.warnings),
        refused: refused(refusal),
        refused_unix_ms: refusal.map(|refusal| refusal.at_unix_ms),
    }
}

fn plugin(plugin: &dyn Derives, refusal: Option<&Refusal>) -> Option<model::Plugin> {
    let info = plugin.info()?;
    Some(model::Plugin {
        name: info.plugin,
        version: info.version,
        summary: info.summary,
        digest: info.digest,
        generation: info.generation,
        exports: info
            .exports
            .iter()
            .map(|interface| interface.as_str().to_owned())
            .collect(),
        calls: info.calls,
        failures: info
            .failures
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect(),
        quarantined_ms: info.quarantined_ms,
        last_error: info.last_error.as_ref().map(|last| last.error.to_string()),
        last_error_unix_ms: info.last_error.as_ref().map(|last| last.unix_ms),
        refused: refused(refusal),
        not_granted: info.not_granted,
    })
}

fn refused(refusal: Option<&Refusal>) -> Vec<String> {
    refusal.map_or_else(Vec::new, |refusal| texts(&refusal.findings))
}

fn texts(findings: &Findings) -> Vec<String> {
    findings.0.iter().map(ToString::to_string).collect()
}
