//! The profile of the tests of health and lifecycle: every probe each second, turning at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outrigger_profile::{
    self as profile, ClusterReasons, Discovery, DiscoverySource, Drain, Findings, Grants, Health,
    Metrics, OnFailure, Plugin, PluginLimits, PluginSource, Profile, Start, WaitFor, Workload,
};

use crate::reload::Loaded;
use crate::template::{FilesState, Gate};

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
    }
}
