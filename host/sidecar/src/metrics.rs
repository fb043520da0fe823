//! `/metrics`: our own series, the workload's and the plugin's, in one exposition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outrigger_peers::PeerSet;
use outrigger_plugin_host::{Batch, BoxFuture, CallError, CallErrorKind, Plugin, PluginInfo};
use outrigger_profile::ScrapeTarget;
use outrigger_shutdown::Shutdown;
use outrigger_telemetry::{BuildInfo, OtlpMetrics, names};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::rooms::Rooms;
use crate::timeline::unix_ms;

mod derived;
mod encode;
mod family;
mod own;
mod recorder;
mod relabel;
mod scrape;
mod text;
mod timed;

pub use self::derived::{DERIVED_ROWS_MAX, Problem, derived};
pub use self::encode::{Format, encode, points};
pub use self::family::{Family, Kind, Sample, Value};
pub use self::own::{Seen, View, own};
pub use self::recorder::{BUCKETS, Histogram, Recorded, Recorder, Series};
pub use self::text::{ParseError, SAMPLES_MAX, parse};
pub use self::timed::Timed;

/// For how long what was gathered answers further scrapes: several scrapers cost one look.
const GATHERED_FOR: Duration = Duration::from_secs(1);

/// Between two exports over OTLP.
const EXPORT_EVERY: Duration = Duration::from_secs(30);

/// Derives series: the plugin, or a stand-in in tests.
pub trait Derives: fmt::Debug + Send + Sync + 'static {
    /// The series of this moment.
    fn derive(&self, now: Arc<PeerSet>, scraped: Batch) -> BoxFuture<'_, Result<Batch, CallError>>;
    /// The names of the workload's families that it needs.
    fn wants(&self) -> BoxFuture<'_, Result<Vec<String>, CallError>>;
    /// What is known of the plugin.
    fn info(&self) -> Option<PluginInfo>;
}

impl Derives for Plugin {
    fn derive(&self, now: Arc<PeerSet>, scraped: Batch) -> BoxFuture<'_, Result<Batch, CallError>> {
        Box::pin(async move { Plugin::derive(self, &now, &scraped).await })
    }

    fn wants(&self) -> BoxFuture<'_, Result<Vec<String>, CallError>> {
        Box::pin(async move { Plugin::wants(self).await })
    }

    fn info(&self) -> Option<PluginInfo> {
        Some(Plugin::info(self))
    }
}

/// Where the series come from.
#[derive(Debug)]
pub struct MetricsSetup {
    /// The address or name of this replica's own workload.
    pub workload_host: String,
    /// What every room says.
    pub rooms: Rooms,
    /// What was counted.
    pub recorder: Recorder,
}

/// Everything that `/metrics` tells. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    setup: MetricsSetup,
    seen: Mutex<Seen>,
    /// What is wrong with the plugin's series, so that each new problem is said once.
    said: Mutex<BTreeSet<&'static str>>,
    gathered: tokio::sync::Mutex<Option<Gathered>>,
}

#[derive(Debug, Clone)]
struct Gathered {
    at: Instant,
    families: Arc<Vec<Family>>,
    constant: Vec<(String, String)>,
}

impl Metrics {
    /// Nothing is gathered before somebody asks.
    pub fn new(setup: MetricsSetup) -> Self {
        Self {
            inner: Arc::new(Inner {
                setup,
                seen: Mutex::default(),
                said: Mutex::default(),
                gathered: tokio::sync::Mutex::new(None),
            }),
        }
    }

    /// The exposition in the format that a scraper's `Accept` header asks for.
    ///
    /// # Errors
    /// Never in practice: writing into memory does not fail.
    pub async fn expose(&self, format: Format) -> Result<String, fmt::Error> {
        let gathered = self.gather().await;
        encode(&gathered.families, &gathered.constant, format)
    }

    /// Publishes the same series for export over OTLP until the shutdown.
    pub async fn export(self, otlp: OtlpMetrics, shutdown: Shutdown) {
        loop {
            let gathered = self.gather().await;
            otlp.publish(points(&gathered.families, &gathered.constant));
            tokio::select! {
                () = tokio::time::sleep(EXPORT_EVERY) => {}
                () = shutdown.triggered() => return,
            }
        }
    }

    /// Everything at this moment. One look at a time; who comes during one gets its result.
    async fn gather(&self) -> Gathered {
        let mut gathered = self.inner.gathered.lock().await;
        if let Some(fresh) = gathered
            .as_ref()
            .filter(|gathered| gathered.at.elapsed() < GATHERED_FOR)
        {
            return fresh.clone();
        }
        let next = self.inner.look().await;
        *gathered = Some(next.clone());
        next
    }
}

impl Inner {
    async fn look(&self) -> Gathered {
        let setup = &self.setup;
        let profile = Arc::clone(&setup.rooms.loaded.borrow().profile);
        let constant: Vec<(String, String)> = profile
            .metrics
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut families = self.own();
        let (scraped, ups) = self
            .scrape(&profile.metrics.scrape, &constant, &families)
            .await;
        let wanted = self.wanted(&scraped).await;
        families.extend(ups);
        families.extend(scraped);
        self.derive(&mut families, &wanted, &constant).await;
        // A label of ours has precedence over a constant one of the same name.
        let taken: BTreeSet<&str> = families
            .iter()
            .flat_map(|family| &family.samples)
            .flat_map(|sample| &sample.labels)
            .map(|(name, _)| name.as_str())
            .collect();
        let constant = constant
            .into_iter()
            .filter(|(name, _)| !taken.contains(name.as_str()))
            .collect();
        Gathered {
            at: Instant::now(),
            families: Arc::new(families),
            constant,
        }
    }

    fn own(&self) -> Vec<Family> {
        let setup = &self.setup;
        let health = Arc::clone(&setup.rooms.health.borrow());
        let seen = {
            let mut seen = lock(&self.seen);
            seen.note(&health);
            seen.clone()
        };
        let info = setup.rooms.plugin.as_ref().and_then(|plugin| plugin.info());
        own(&View {
            build: BuildInfo::current(),
            peers: &Arc::clone(&setup.rooms.peers.borrow()),
            files: &Arc::clone(&setup.rooms.files.borrow()),
            requests: setup.rooms.cluster.as_ref().map(Cluster::requests),
            health: &health,
            seen: &seen,
            plugin: info.as_ref(),
            reload: &Arc::clone(&setup.rooms.reload.borrow()),
            phase: *setup.rooms.phase.borrow(),
            timeline_entries: setup.rooms.timeline.newest(),
            timeline_unwritten: setup.rooms.timeline.unwritten(),
            recorded: &setup.recorder.recorded(),
            unix_ms: unix_ms(),
        })
    }

    /// The workload's own families, and for each target whether it could be scraped.
    async fn scrape(
        &self,
        targets: &[ScrapeTarget],
        constant: &[(String, String)],
        own: &[Family],
    ) -> (Vec<Family>, Vec<Family>) {
        if targets.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let scrapes = targets
            .iter()
            .map(|target| scrape::scrape(&self.setup.workload_host, target));
        let results = futures_util::future::join_all(scrapes).await;
        let mut up = Family::new(
            names::UPSTREAM_UP,
            Kind::Gauge,
            "Whether the workload's exposition could be scraped",
        );
        let mut merged = scrape::Merged::new(own, constant);
        for (target, result) in targets.iter().zip(results) {
            let problem = match result {
                Ok(mut families) => {
                    relabel::relabel(&mut families, &target.relabel);
                    merged.add(families).err()
                }
                Err(error) => Some(error.to_string()),
            };
            let port = target.port.to_string();
            let labels = [("port", port.as_str()), ("path", target.path.as_str())];
            up.push(&labels, f64::from(u8::from(problem.is_none())));
            match problem {
                Some(problem) => self.say("scrape", &problem),
                None => self.unsay("scrape"),
            }
        }
        (merged.families(), vec![up])
    }

    /// What the plugin needs of the scraped families.
    async fn wanted(&self, scraped: &[Family]) -> Batch {
        let Some(plugin) = self
            .setup
            .rooms
            .plugin
            .as_ref()
            .filter(|_| !scraped.is_empty())
        else {
            return Batch::default();
        };
        match plugin.wants().await {
            Ok(wants) => scrape::batch(scraped, &wants),
            Err(error) => {
                self.say("wants", &error.to_string());
                Batch::default()
            }
        }
    }

    async fn derive(
        &self,
        families: &mut Vec<Family>,
        scraped: &Batch,
        constant: &[(String, String)],
    ) {
        let Some(plugin) = &self.setup.rooms.plugin else {
            return;
        };
        let peers = Arc::clone(&self.setup.rooms.peers.borrow());
        let result = plugin.derive(peers, scraped.clone()).await;
        let up = match result {
            Err(error) if error.kind == CallErrorKind::NotExported => return,
            Err(error) => {
                self.say("call", &error.to_string());
                self.failed("call");
                0.0
            }
            Ok(batch) => {
                let taken: BTreeSet<String> =
                    families.iter().flat_map(Family::sample_names).collect();
                let (own, problems) = derived(&batch, &taken, constant);
                families.extend(own);
                self.tell(&problems);
                f64::from(u8::from(problems.is_empty()))
            }
        };
        let help = "Whether all of the plugin's own series are in this exposition";
        families.push(Family::new(names::DERIVE_UP, Kind::Gauge, help).with(&[], up));
    }

    fn tell(&self, problems: &BTreeMap<Problem, String>) {
        for (problem, what) in problems {
            self.failed(problem.as_str());
            self.say(problem.as_str(), &format!("{problem}: {what}"));
        }
        lock(&self.said).retain(|said| {
            ["scrape", "wants"].contains(said)
                || problems.keys().any(|problem| problem.as_str() == *said)
        });
    }

    fn failed(&self, problem: &str) {
        self.setup
            .recorder
            .count(names::DERIVE_FAILURES, &[("problem", problem)]);
    }

    /// Says a problem once, until it has gone.
    fn say(&self, kind: &'static str, problem: &str) {
        if lock(&self.said).insert(kind) {
            tracing::warn!(kind, problem, "Some series are missing from /metrics");
        }
    }

    fn unsay(&self, kind: &'static str) {
        lock(&self.said).remove(kind);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that could panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
