//! Our own series, from the snapshots of one moment. Pure.

use std::collections::BTreeSet;

use outrigger_api_server::RequestCounts;
use outrigger_peers::{PeerSet, Phase as PeerPhase};
use outrigger_plugin_host::PluginInfo;
use outrigger_telemetry::{BuildInfo, names};

use super::encode::as_f64;
use super::family::{Family, Kind, Sample, Value};
use super::recorder::{Recorded, Series};
use crate::health::{HealthReport, ProbeReport};
use crate::lifecycle::Phase;
use crate::reload::ReloadState;
use crate::template::FilesState;

/// Everything that our own series tell of, at one moment.
#[derive(Debug)]
pub struct View<'a> {
    /// Which build this is.
    pub build: BuildInfo,
    /// Who is there.
    pub peers: &'a PeerSet,
    /// The rendered files.
    pub files: &'a FilesState,
    /// Requests to the API server; none where there is none.
    pub requests: Option<RequestCounts>,
    /// How the replica is.
    pub health: &'a HealthReport,
    /// Reasons and roles that were there before.
    pub seen: &'a Seen,
    /// The plugin.
    pub plugin: Option<&'a PluginInfo>,
    /// How reloading goes.
    pub reload: &'a ReloadState,
    /// Where in its life the replica is.
    pub phase: Phase,
    /// The newest entry of the timeline.
    pub timeline_entries: u64,
    /// Entries of the timeline that did not reach the disk.
    pub timeline_unwritten: u64,
    /// What was counted.
    pub recorded: &'a Recorded,
    /// Now, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// Reasons and roles that were there at some time: their series stay at 0, so that an alert sees
/// them end. Bounded, as plugins name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Probe, scope and code.
    pub reasons: BTreeSet<(&'static str, &'static str, String)>,
    /// Roles.
    pub roles: BTreeSet<String>,
}

/// How many reasons and how many roles are remembered, each.
const SEEN_MAX: usize = 64;

impl Seen {
    /// Remembers what is there now. What is there now is always shown, remembered or not.
    pub fn note(&mut self, health: &HealthReport) {
        for (probe, report) in probes(health) {
            for reason in &report.reasons {
                if self.reasons.len() < SEEN_MAX {
                    let scope = reason.scope.as_str();
                    self.reasons.insert((probe, scope, reason.code.clone()));
                }
            }
        }
        if let Some(role) = &health.role
            && self.roles.len() < SEEN_MAX
        {
            self.roles.insert(role.clone());
        }
    }
}

fn probes(health: &HealthReport) -> [(&'static str, &ProbeReport); 4] {
    [
        ("start", &health.start),
        ("startup", &health.startup),
        ("readiness", &health.readiness),
        ("liveness", &health.liveness),
    ]
}

/// The families of our own, in the order in which they are shown.
pub fn own(view: &View<'_>) -> Vec<Family> {
    let mut families = vec![
        Family::new(names::BUILD_INFO, Kind::Gauge, "The build that runs").with(
            &[
                ("version", view.build.version),
                ("revision", view.build.revision),
            ],
            1.0,
        ),
    ];
    families.extend(discovery(view));
    families.extend(files(view));
    families.extend(health(view));
    if let Some(info) = view.plugin {
        families.extend(plugin(info));
    }
    families.extend(rest(view));
    families.extend(recorded(view.recorded));
    families
}

fn gauge(name: &str, help: &str, value: f64) -> Family {
    Family::new(name, Kind::Gauge, help).with(&[], value)
}

fn counter(name: &str, help: &str, value: u64) -> Family {
    Family::new(name, Kind::Counter, help).with(&[], as_f64(value))
}

fn seconds(millis: u64) -> f64 {
    as_f64(millis) / 1000.0
}

fn discovery(view: &View<'_>) -> Vec<Family> {
    let set = view.peers;
    let mut phases = Family::new(names::PEERS, Kind::Gauge, "Replicas by phase");
    for phase in [
        PeerPhase::Unknown,
        PeerPhase::Pending,
        PeerPhase::Starting,
        PeerPhase::Ready,
        PeerPhase::NotReady,
        PeerPhase::Terminating,
        PeerPhase::Gone,
    ] {
        let count = set.replicas.values().filter(|r| r.phase == phase).count();
        phases.push(&[("phase", phase.as_str())], as_f64(count as u64));
    }
    let stale = set.stale.as_ref().map_or(0.0, |stale| {
        seconds(view.unix_ms.saturating_sub(stale.since_unix_ms))
    });
    let mut families = vec![
        phases,
        gauge(
            names::PEERS_DESIRED,
            "How many replicas there should be",
            f64::from(set.desired),
        ),
        gauge(
            names::DISCOVERY_REVISION,
            "Grows with each change of the replicas",
            f64::from(set.revision),
        ),
        gauge(
            names::DISCOVERY_STALE_SECONDS,
            "For how long look-ups have failed, 0 while they work",
            stale,
        ),
        Family::new(
            names::DISCOVERY_SOURCE,
            Kind::Gauge,
            "Where the replicas are known from",
        )
        .with(&[("source", set.source.as_str())], 1.0),
    ];
    if let Some(requests) = view.requests {
        let mut family = Family::new(
            names::API_REQUESTS,
            Kind::Counter,
            "Requests to the API server, watches included",
        );
        let unanswered = requests.asked.saturating_sub(requests.answered);
        family.push(&[("result", "answered")], as_f64(requests.answered));
        family.push(&[("result", "unanswered")], as_f64(unanswered));
        families.push(family);
    }
    families
}

fn files(view: &View<'_>) -> Vec<Family> {
    let files = view.files;
    let unchanged = files
        .renders
        .saturating_sub(files.refused)
        .saturating_sub(files.commits);
    let mut renders = Family::new(names::RENDERS, Kind::Counter, "Renders by result");
    for (result, count) in [
        ("committed", files.commits),
        ("unchanged", unchanged),
        ("refused", files.refused),
    ] {
        renders.push(&[("result", result)], as_f64(count));
    }
    let mut families = vec![renders];
    if files.good_unix_ms > 0 {
        families.push(gauge(
            names::RENDER_LAST_SUCCESS,
            "When a render was last good, in seconds since the Unix epoch",
            seconds(files.good_unix_ms),
        ));
    }
    if let Some(set) = files.set {
        families.push(gauge(
            names::FILES_SET,
            "The number of the set of files in place",
            as_f64(set),
        ));
    }
    let mut reloads = Family::new(
        names::RELOADS,
        Kind::Counter,
        "Changes of profile and component by result",
    );
    reloads.push(&[("result", "taken")], as_f64(view.reload.taken));
    reloads.push(&[("result", "refused")], as_f64(view.reload.refused));
    families.push(reloads);
    families
}

fn health(view: &View<'_>) -> Vec<Family> {
    let health = view.health;
    let mut pass = Family::new(names::PROBE_PASS, Kind::Gauge, "Whether the probe passes");
    let mut now = BTreeSet::new();
    for (probe, report) in probes(health) {
        pass.push(&[("probe", probe)], f64::from(u8::from(report.pass)));
        for reason in &report.reasons {
            now.insert((probe, reason.scope.as_str(), reason.code.clone()));
        }
    }
    let mut reasons = Family::new(
        names::REASON,
        Kind::Gauge,
        "Whether the reason holds now, whether it counts or not",
    );
    for reason in view.seen.reasons.union(&now) {
        let (probe, scope, code) = reason;
        reasons.push(
            &[("probe", probe), ("scope", scope), ("code", code)],
            f64::from(u8::from(now.contains(reason))),
        );
    }
    let mut roles = Family::new(
        names::ROLE,
        Kind::Gauge,
        "Whether the replica has the role now",
    );
    let role: BTreeSet<String> = health.role.iter().cloned().collect();
    for name in view.seen.roles.union(&role) {
        roles.push(&[("role", name)], f64::from(u8::from(role.contains(name))));
    }
    let mut families = vec![pass, reasons, roles];
    if let Some(given) = health.verdict_unix_ms {
        families.push(gauge(
            names::VERDICT_AGE_SECONDS,
            "How long ago the plugin gave its last verdict",
            seconds(view.unix_ms.saturating_sub(given)),
        ));
    }
    families
}

fn plugin(info: &PluginInfo) -> Vec<Family> {
    let mut failures = Family::new(
        names::PLUGIN_FAILURES,
        Kind::Counter,
        "Calls of the plugin without an answer, by kind",
    );
    for (kind, count) in &info.failures {
        failures.push(&[("kind", kind)], as_f64(*count));
    }
    let mut calls = Family::new(
        names::PLUGIN_CALLS,
        Kind::Counter,
        "Calls of the plugin by function",
    );
    for (function, known) in &info.functions {
        calls.push(&[("function", function)], as_f64(known.calls));
    }
    vec![
        Family::new(names::PLUGIN_INFO, Kind::Gauge, "The plugin in use").with(
            &[
                ("name", &info.plugin),
                ("version", &info.version),
                ("digest", &info.digest),
            ],
            1.0,
        ),
        gauge(
            names::PLUGIN_GENERATION,
            "Counts the plugin's generations from 1",
            f64::from(info.generation),
        ),
        calls,
        failures,
        gauge(
            names::PLUGIN_QUARANTINED,
            "Whether the plugin is left alone because it failed too often",
            f64::from(u8::from(info.quarantined_ms.is_some())),
        ),
        counter(
            names::PLUGIN_LOG_DROPPED,
            "Log lines of the plugin that were dropped because there were too many",
            info.log_lines_dropped,
        ),
    ]
}

fn rest(view: &View<'_>) -> Vec<Family> {
    vec![
        gauge(
            names::DRAINING,
            "Whether the replica is being drained or is drained",
            f64::from(u8::from(matches!(
                view.phase,
                Phase::Draining { .. } | Phase::Drained { .. }
            ))),
        ),
        counter(
            names::TIMELINE_ENTRIES,
            "Entries of the timeline, over restarts of the sidecar too",
            view.timeline_entries,
        ),
        counter(
            names::TIMELINE_UNWRITTEN,
            "Entries of the timeline that did not reach the disk",
            view.timeline_unwritten,
        ),
    ]
}

/// What was counted as it happened, each name with its help.
fn recorded(recorded: &Recorded) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let mut add = |series: &Series, kind: Kind, value: Value| {
        let (name, labels) = series;
        let labels = labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), value.clone()))
            .collect();
        let sample = Sample { labels, value };
        if let Some(family) = families.iter_mut().find(|family| family.name == *name) {
            family.samples.push(sample);
        } else {
            let mut family = Family::new(name, kind, names::help(name));
            family.samples.push(sample);
            families.push(family);
        }
    };
    for (series, count) in &recorded.counters {
        add(series, Kind::Counter, Value::Number(as_f64(*count)));
    }
    for (name, value) in &recorded.gauges {
        add(&(name, Vec::new()), Kind::Gauge, Value::Number(*value));
    }
    for (series, histogram) in &recorded.histograms {
        add(series, Kind::Histogram, Value::Histogram(histogram.clone()));
    }
    families
}
