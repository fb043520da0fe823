//! A pod as tests see it: its profile (every probe each second, turning at once), its replicas, and the
//! channels between its rooms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outrigger_profile::{
    self as profile, ClusterReasons, Discovery, DiscoverySource, Drain, Findings, Grants, Health,
    Metrics, OnFailure, Plugin, PluginLimits, PluginSource, Profile, Start, WaitFor, Workload,
};

use outrigger_peers::{Identity, Ordinal, PeerSet};
use tokio::sync::watch;

use crate::discovery::RelatedSets;
use crate::health::{self, HealthReport, ProbeReport};
use crate::lifecycle::Phase;
use crate::metrics::Derives;
use crate::reload::{Loaded, ReloadState};
use crate::rooms::Rooms;
use crate::template::{FilesState, Gate};
use crate::timeline::Timeline;

fn probe() -> profile::Probe {
    profile::Probe {
        checks: Vec::new(),
        plugin: true,
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        failure_threshold: 1,
        success_threshold: 1,
    }
}

pub(crate) fn loaded() -> Loaded {
    let profile = Profile {
        name: "db".into(),
        workload: Workload {
            container: "db".into(),
            ports: [("api".to_owned(), 3000)].into(),
        },
        plugin: Some(Plugin {
            source: PluginSource::Builtin("db".into()),
            settings: BTreeMap::new(),
            grants: Grants::default(),
            on_failure: OnFailure::KeepLast,
            limits: PluginLimits {
                memory: "16Mi".parse().unwrap(),
                cpu: Duration::from_secs(1),
                wall: Duration::from_secs(1),
            },
        }),
        discovery: Discovery {
            service: None,
            port: None,
            source: DiscoverySource::Auto,
            settle: Duration::ZERO,
            interval: Duration::from_secs(5),
            replicas: None,
        },
        related: BTreeMap::new(),
        settings: BTreeMap::new(),
        files: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        start: Start {
            cap: Duration::from_mins(1),
            wait_for: WaitFor::All,
        },
        health: Health {
            cluster_reasons: ClusterReasons::Gate,
            startup: probe(),
            readiness: probe(),
            liveness: probe(),
        },
        metrics: Metrics {
            scrape: Vec::new(),
            labels: BTreeMap::new(),
        },
        drain: Drain {
            timeout: Duration::from_secs(20),
            notice: Duration::from_secs(1),
            http: Vec::new(),
            signal: None,
        },
        trial: profile::Trial {
            files: Duration::from_mins(2),
            plugin: Duration::from_secs(30),
        },
    };
    Loaded {
        profile: Arc::new(profile),
        templates: BTreeMap::new(),
        revision: 1,
        digest: String::new(),
        warnings: Findings::default(),
    }
}

pub(crate) fn files(gate: Gate, set: Option<u64>) -> FilesState {
    FilesState {
        set,
        digests: BTreeMap::new(),
        gate,
        refusal: None,
        rolled_back: None,
        warnings: Findings::default(),
        plan: None,
        action: None,
        renders: 0,
        refused: 0,
        commits: 0,
        good_unix_ms: 0,
        stands_unix_ms: 0,
    }
}

/// The replicas as `db-0` knows them before anything was looked up.
pub(crate) fn peers(desired: u32) -> PeerSet {
    peers_of(0, desired)
}

/// The same, as another replica knows them.
pub(crate) fn peers_of(ordinal: u32, desired: u32) -> PeerSet {
    let identity = Identity {
        stateful_set: "db".into(),
        ordinal: Ordinal(ordinal),
        namespace: "default".into(),
        service: "db".into(),
        cluster_domain: "cluster.local".into(),
        ip: None,
        uid: String::new(),
    };
    PeerSet::expected(identity, Ordinal(0), desired)
}

/// A replica that is well.
pub(crate) fn well() -> HealthReport {
    HealthReport {
        start: ProbeReport::passing(),
        startup: ProbeReport::passing(),
        readiness: ProbeReport::passing(),
        liveness: ProbeReport::passing(),
        ..HealthReport::default()
    }
}

/// The channels between a pod's rooms, for a test to speak into.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) loaded: watch::Sender<Arc<Loaded>>,
    pub(crate) peers: watch::Sender<Arc<PeerSet>>,
    pub(crate) related: watch::Sender<Arc<RelatedSets>>,
    pub(crate) files: watch::Sender<Arc<FilesState>>,
    pub(crate) reload: watch::Sender<Arc<ReloadState>>,
    pub(crate) health: watch::Sender<Arc<HealthReport>>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) timeline: Timeline,
}

impl Channels {
    /// As they are when the sidecar starts, in a pod whose files are in place.
    pub(crate) fn new(change: impl FnOnce(&mut Profile)) -> Self {
        let mut loaded = loaded();
        change(Arc::get_mut(&mut loaded.profile).expect("nobody else has it yet"));
        Self {
            loaded: watch::Sender::new(Arc::new(loaded)),
            peers: watch::Sender::new(Arc::new(peers(2))),
            related: watch::Sender::new(Arc::default()),
            files: watch::Sender::new(Arc::new(files(Gate::Ready, Some(2)))),
            reload: watch::Sender::new(Arc::default()),
            health: watch::Sender::new(Arc::new(health::initial())),
            phase: watch::Sender::new(Phase::Running),
            timeline: Timeline::in_memory(),
        }
    }

    /// What the rooms are given.
    pub(crate) fn rooms(&self, plugin: Option<Arc<dyn Derives>>) -> Rooms {
        Rooms {
            loaded: self.loaded.subscribe(),
            peers: self.peers.subscribe(),
            related: self.related.subscribe(),
            files: self.files.subscribe(),
            reload: self.reload.subscribe(),
            health: self.health.subscribe(),
            phase: self.phase.subscribe(),
            plugin,
            cluster: None,
            timeline: self.timeline.clone(),
        }
    }
}
