//! Finds the other replicas and publishes who is there: one snapshot after the other, each with the
//! reason of its coming on the timeline.

mod answers;
mod count;
mod dns;
mod fixed;
mod followed;
mod local;
mod names;
mod related;
mod settle;
mod slices;

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrigger_peers::{Change, Identity, PeerSet, Staleness};
use outrigger_profile::{Discovery, DiscoverySource, Profile};
use outrigger_shutdown::Shutdown;
use outrigger_telemetry::names as metric_names;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::count::Count;
pub use self::dns::DnsServers;
use self::followed::Looks;
use self::related::seen_from_outside;
pub use self::related::{RelatedFor, RelatedSet, RelatedSets, run as run_related};
use self::settle::Settle;
use crate::cluster::{Cluster, Known, ROLE_HINT};
use crate::config::Config;
use crate::metrics::Recorder;
use crate::reload::{FolderWatch, Loaded};
use crate::timeline::{Timeline, unix_ms};

/// Between two looks at DNS while somebody who should be there is not. Short enough that a cluster
/// forms without noticeable waiting, and never longer than the profile's own interval.
const INTERVAL_UNTIL_COMPLETE: Duration = Duration::from_secs(1);

/// Between two looks at `cluster.json` when no event tells of a change.
const LOCAL_INTERVAL: Duration = Duration::from_secs(2);

/// What discovery needs to know of a pod.
#[derive(Debug, Clone)]
pub struct DiscoverySetup {
    /// The environment.
    pub config: Arc<Config>,
    /// Which DNS servers are asked.
    pub servers: DnsServers,
    /// The API of the pod's cluster, where the pod has a service account's token.
    pub cluster: Option<Cluster>,
    /// Where look-ups that fail are counted.
    pub recorder: Recorder,
}

/// The set that is known before anything was learnt; what the channel of [`run`] starts with.
pub fn initial(config: &Config, profile: &Profile) -> PeerSet {
    let identity = config.identity_under(profile);
    let desired = fixed_count(&profile.discovery)
        .or(config.desired)
        .unwrap_or(0);
    PeerSet::expected(identity, config.start, desired)
}

/// The number of replicas that the profile itself tells.
fn fixed_count(settings: &Discovery) -> Option<u32> {
    match &settings.source {
        DiscoverySource::Fixed(peers) => u32::try_from(peers.len()).ok(),
        _ => settings.replicas,
    }
}

/// Looks for the replicas until the shutdown. Publishes each settled snapshot into `out` and writes
/// its changes on the timeline. A newer profile's settings take effect with the next look.
pub async fn run(
    setup: DiscoverySetup,
    mut loaded: watch::Receiver<Arc<Loaded>>,
    out: watch::Sender<Arc<PeerSet>>,
    timeline: Timeline,
    shutdown: Shutdown,
) {
    let first = PeerSet::clone(&out.borrow());
    let hold = loaded.borrow().profile.discovery.settle;
    let mut publisher = Publisher {
        settle: Settle::new(first, hold),
        out: Out::Own(out),
        timeline,
        whose: None,
    };
    loop {
        let profile = Arc::clone(&loaded.borrow_and_update().profile);
        publisher.settle.set_hold(profile.discovery.settle);
        publisher.warn_of_unknown_count(&setup, &profile.discovery);
        let (observed, observations) = mpsc::channel(1);
        let observer = Observer {
            observed,
            memory: publisher.settle.standing().clone(),
            timeline: publisher.timeline.clone(),
            whose: None,
        };
        tokio::select! {
            () = observe(&setup, &profile, observer) => {}
            () = publisher.follow(observations) => {}
            () = other_settings(&mut loaded, &profile.discovery) => {}
            () = shutdown.triggered() => return,
        }
    }
}

/// Waits for a profile whose discovery differs.
async fn other_settings(loaded: &mut watch::Receiver<Arc<Loaded>>, present: &Discovery) {
    let changed = loaded.wait_for(|loaded| loaded.profile.discovery != *present);
    if changed.await.is_err() {
        // Nobody can change the profile any more.
        pending::<()>().await;
    }
}

/// Looks again and again, at whatever source the settings name.
async fn observe(setup: &DiscoverySetup, profile: &Profile, mut observer: Observer) {
    let settings = &profile.discovery;
    let identity = setup.config.identity_under(profile);
    match (&settings.source, &setup.config.local) {
        (DiscoverySource::Fixed(peers), _) => {
            fixed::observe(setup, settings, identity, peers, &mut observer).await;
        }
        // The local mode's file is to it what slices are to a cluster.
        (DiscoverySource::Auto | DiscoverySource::EndpointSlices, Some(folder)) => {
            let desired = settings.replicas;
            observe_local(folder, identity, desired, &mut observer, &setup.recorder).await;
        }
        (source, _) => {
            if let Some(cluster) = &setup.cluster {
                cluster.forget();
            }
            let count = Count::new(setup, settings);
            let name = identity.stateful_set.clone();
            let timeline = observer.timeline.clone();
            let looked = async {
                match (source, &setup.cluster) {
                    (DiscoverySource::Dns, _) | (DiscoverySource::Auto, None) => {
                        names::observe(setup, settings, identity, count, &mut observer).await;
                    }
                    (_, Some(cluster)) => {
                        let looks = Looks {
                            setup,
                            settings,
                            identity,
                            cluster,
                        };
                        looks.observe(count, &mut observer).await;
                    }
                    (_, None) => observer.without_a_token().await,
                }
            };
            let followed = async {
                match &setup.cluster {
                    Some(cluster) => {
                        tokio::join!(
                            cluster.follow_stateful_set(&name),
                            tell_of_count(cluster, settings, &timeline),
                        );
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                () = looked => {}
                () = followed => {}
            }
        }
    }
}

/// Says once that nobody tells this pod of a scale.
async fn tell_of_count(cluster: &Cluster, settings: &Discovery, timeline: &Timeline) {
    let mut stateful_set = cluster.stateful_set();
    let forbidden = stateful_set.wait_for(Known::is_forbidden).await.is_ok();
    if forbidden && settings.replicas.is_none() {
        let message = format!(
            "this pod may not read its StatefulSet, how many replicas there should be is what its environment says: {ROLE_HINT}"
        );
        timeline.record("discovery", message, []);
    }
}

/// Where observations go, and what was known before each.
#[derive(Debug)]
struct Observer {
    observed: mpsc::Sender<PeerSet>,
    memory: PeerSet,
    timeline: Timeline,
    /// Whose replicas these are, where they are not the own peers.
    whose: Option<String>,
}

impl Observer {
    /// Writes on the timeline.
    fn record(&self, message: &str) {
        let message = told_of(self.whose.as_deref(), message);
        self.timeline.record("discovery", message, []);
    }

    /// Hands one observation over. False when nobody takes any more.
    async fn tell(&mut self, set: PeerSet) -> bool {
        self.memory.clone_from(&set);
        self.observed.send(set).await.is_ok()
    }

    /// Slices are demanded of a pod that cannot ask for them.
    async fn without_a_token(&mut self) {
        const WHY: &str = "`source: endpoint-slices` needs the token of a service account, and this pod has none: set `automountServiceAccountToken: true`, or `source: auto`";
        self.record(WHY);
        let set = stale(&self.memory, WHY.to_owned());
        if self.tell(set).await {
            pending::<()>().await;
        }
    }
}

async fn observe_local(
    folder: &Path,
    identity: Identity,
    desired: Option<u32>,
    observer: &mut Observer,
    recorder: &Recorder,
) {
    let mut watch = FolderWatch::new();
    loop {
        watch.set([folder]);
        let set = match local::read(folder).await {
            Ok(file) => local::view(&file, identity.clone(), desired, unix_ms()),
            Err(error) => {
                let labels = [("source", "local"), ("kind", "unreadable")];
                recorder.count(metric_names::DISCOVERY_FAILURES, &labels);
                stale(&observer.memory, chain(&error))
            }
        };
        if !observer.tell(set).await {
            return;
        }
        // Either way it is read again; which of the two it was does not matter.
        drop(tokio::time::timeout(LOCAL_INTERVAL, watch.moved()).await);
    }
}

/// What is known when a look failed as a whole: what was known before, and why it may be old.
fn stale(memory: &PeerSet, reason: String) -> PeerSet {
    let mut set = memory.clone();
    set.stale = Some(Staleness {
        since_unix_ms: memory.confirmed_unix_ms,
        reason,
    });
    set
}

/// The time until the next look, give or take a tenth, so that the replicas of a cluster do not ask
/// in step.
fn pause(interval: Duration, complete: bool) -> Duration {
    let base = if complete {
        interval
    } else {
        interval.min(INTERVAL_UNTIL_COMPLETE)
    };
    let mut random = [0_u8; 1];
    // Without randomness the replicas may ask in step, which harms nobody.
    getrandom::fill(&mut random).unwrap_or_default();
    base.mul_f64(0.9 + 0.2 * f64::from(random[0]) / 255.0)
}

/// A message about replicas, with whose they are.
fn told_of(whose: Option<&str>, message: &str) -> String {
    match whose {
        Some(whose) => format!("{whose}: {message}"),
        None => message.to_owned(),
    }
}

/// Where snapshots go.
#[derive(Debug, Clone)]
enum Out {
    /// Those of this pod's own StatefulSet.
    Own(watch::Sender<Arc<PeerSet>>),
    /// Those of a related one, by its name in the profile.
    Related(String, watch::Sender<Arc<RelatedSets>>),
}

impl Out {
    /// Puts a snapshot in place; whoever waits is woken where it is `news`.
    fn put(&self, set: PeerSet, news: bool) {
        match self {
            Self::Own(sender) => {
                sender.send_if_modified(|present| {
                    *present = Arc::new(set);
                    news
                });
            }
            Self::Related(name, sender) => {
                sender.send_if_modified(|present| {
                    Arc::make_mut(present).insert(name.clone(), seen_from_outside(set));
                    news
                });
            }
        }
    }
}

/// Settles what is observed and publishes it.
#[derive(Debug)]
struct Publisher {
    settle: Settle,
    out: Out,
    timeline: Timeline,
    whose: Option<String>,
}

impl Publisher {
    /// Takes observations until there are no more.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken from the channel without being settled.
    async fn follow(&mut self, mut observations: mpsc::Receiver<PeerSet>) {
        loop {
            let due = self.settle.due();
            let before = self.settle.standing().clone();
            let next = tokio::select! {
                observed = observations.recv() => match observed {
                    Some(observed) => self.settle.offer(observed, Instant::now()),
                    None => return,
                },
                () = at(due) => self.settle.tick(Instant::now()),
            };
            match next {
                Some(next) => self.publish(next, &before),
                None if before.confirmed_unix_ms != self.settle.standing().confirmed_unix_ms => {
                    self.out.put(self.settle.standing().clone(), false);
                }
                None => {}
            }
        }
    }

    /// A count that nobody tells is guessed from who is seen, which is too small while replicas start.
    fn warn_of_unknown_count(&self, setup: &DiscoverySetup, settings: &Discovery) {
        let config = &setup.config;
        let told = fixed_count(settings).or(config.desired).is_some();
        let by_file = settings.source != DiscoverySource::Dns && config.local.is_some();
        // Where there is a cluster to ask, what it says about the StatefulSet is told.
        if !told && !by_file && setup.cluster.is_none() {
            let message = "nobody tells how many replicas there should be, those that are seen count: set `spec.discovery.replicas`, or OUTRIGGER_REPLICAS for the sidecar";
            self.timeline.record("discovery", message, []);
        }
    }

    fn publish(&self, next: PeerSet, before: &PeerSet) {
        for change in next.changes(before) {
            let mut fields = vec![("revision", Value::from(next.revision))];
            if let (Change::Stale(true), Some(stale)) = (&change, &next.stale) {
                fields.push(("reason", Value::from(stale.reason.as_str())));
            }
            let message = told_of(self.whose.as_deref(), &change.to_string());
            match change {
                Change::Appeared(_)
                | Change::Left(_)
                | Change::Desired { .. }
                | Change::Stale(_) => {
                    self.timeline.record("discovery", message, fields);
                }
                // How the others are, their own sidecars say.
                Change::Phase { .. } | Change::Address(_) | Change::Role { .. } => {
                    self.timeline.note("discovery", message, fields);
                }
            }
        }
        self.out.put(next, true);
    }
}

/// Waits until an instant; for ever without one.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
