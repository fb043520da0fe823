//! Finds the other replicas and publishes who is there: one snapshot after the other, each with the
//! reason of its coming on the timeline.

mod answers;
mod dns;
mod local;
mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrigger_peers::{Change, Identity, Ordinal, PeerSet, ReplicaName, Source, Staleness};
use outrigger_profile::{Discovery, DiscoverySource, FixedPeer, Profile};
use outrigger_shutdown::Shutdown;
use outrigger_telemetry::names;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::answers::{Answer, Frontier, Reply};
use self::dns::Dns;
pub use self::dns::DnsServers;
use self::settle::{Settle, is_complete};
use crate::config::{Config, PodManagement};
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
        out,
        timeline,
    };
    loop {
        let profile = Arc::clone(&loaded.borrow_and_update().profile);
        publisher.settle.set_hold(profile.discovery.settle);
        publisher.warn_of_unknown_count(&setup.config, &profile.discovery);
        let (observed, observations) = mpsc::channel(1);
        let memory = publisher.settle.standing().clone();
        tokio::select! {
            () = observe(&setup, &profile, memory, observed) => {}
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
async fn observe(
    setup: &DiscoverySetup,
    profile: &Profile,
    memory: PeerSet,
    observed: mpsc::Sender<PeerSet>,
) {
    let settings = &profile.discovery;
    let identity = setup.config.identity_under(profile);
    match (&settings.source, &setup.config.local) {
        (DiscoverySource::Fixed(peers), _) => {
            observe_fixed(setup, settings, identity, peers, memory, observed).await;
        }
        (DiscoverySource::Auto, Some(folder)) => {
            let desired = settings.replicas;
            observe_local(folder, identity, desired, memory, observed, &setup.recorder).await;
        }
        (DiscoverySource::Auto | DiscoverySource::Dns, _) => {
            observe_dns(setup, settings, identity, memory, observed).await;
        }
    }
}

async fn observe_dns(
    setup: &DiscoverySetup,
    settings: &Discovery,
    identity: Identity,
    mut memory: PeerSet,
    observed: mpsc::Sender<PeerSet>,
) {
    let mut client = Dns::new(setup.servers.clone(), false, setup.recorder.clone());
    let mut look = DnsLook {
        identity,
        start: setup.config.start,
        desired: settings.replicas.or(setup.config.desired),
        pod_management: setup.config.pod_management,
        port: settings.port.clone(),
        seen: BTreeSet::new(),
    };
    loop {
        let set = match client.refresh().await {
            Ok(()) => look.round(&client, &memory).await,
            Err(reason) => {
                let labels = [("source", "dns"), ("kind", "no-server")];
                setup.recorder.count(names::DISCOVERY_FAILURES, &labels);
                stale(&memory, reason)
            }
        };
        memory.clone_from(&set);
        let complete = is_complete(&set) && set.stale.is_none();
        if observed.send(set).await.is_err() {
            return;
        }
        tokio::time::sleep(pause(settings.interval, complete)).await;
    }
}

/// The questions of DNS discovery and who has been seen by them.
#[derive(Debug)]
struct DnsLook {
    identity: Identity,
    start: Ordinal,
    desired: Option<u32>,
    pod_management: PodManagement,
    port: Option<String>,
    seen: BTreeSet<Ordinal>,
}

impl DnsLook {
    /// One round: the Service's records, then each ordinal that can exist; where replicas come in
    /// order, the next one as soon as the one before it is seen.
    async fn round(&mut self, client: &Dns, memory: &PeerSet) -> PeerSet {
        let mut named = BTreeSet::new();
        if let Some(port) = &self.port {
            let service = format!("_{port}._tcp.{}.", self.identity.service_host());
            let targets = client.targets(&service).await;
            named.extend(targets.iter().filter_map(|target| self.ordinal_of(target)));
        }
        let service = client
            .addresses([((), format!("{}.", self.identity.service_host()))])
            .await;
        let members: BTreeSet<IpAddr> = service
            .iter()
            .flat_map(|((), answer)| answer.addresses())
            .collect();
        let mut answers: BTreeMap<Ordinal, Answer> = BTreeMap::new();
        let mut strangers = 0;
        loop {
            let frontier = Frontier {
                start: self.start,
                own: self.identity.ordinal,
                desired: self.desired,
                pod_management: self.pod_management,
                seen: self.seen.clone(),
                named: named.clone(),
                strangers,
            };
            let next: Vec<_> = frontier
                .ordinals()
                .into_iter()
                .filter(|ordinal| !answers.contains_key(ordinal))
                .map(|ordinal| (ordinal, format!("{}.", self.identity.host_of(ordinal))))
                .collect();
            if next.is_empty() {
                // Addresses of the Service that nobody so far has: somebody beyond may have them.
                let found = unclaimed(&members, &answers);
                if found <= strangers {
                    break;
                }
                strangers = found;
                continue;
            }
            for (ordinal, answer) in client.addresses(next).await {
                if answer.is_present() {
                    self.seen.insert(ordinal);
                }
                answers.insert(ordinal, answer);
            }
        }
        let gone: Vec<Ordinal> = answers
            .iter()
            .filter(|(ordinal, answer)| !answer.is_present() && !self.is_wanted(**ordinal))
            .map(|(ordinal, _)| *ordinal)
            .collect();
        let set = answers::fold(self.expected(), memory, &answers, Source::Dns, unix_ms());
        // A replica beyond the wanted ones whose name is gone is not asked for again.
        for ordinal in gone {
            if !set.replicas.contains_key(&ordinal) {
                self.seen.remove(&ordinal);
            }
        }
        set
    }

    /// Those who should exist: as many as wanted, or as far as anybody was seen.
    fn expected(&self) -> PeerSet {
        let desired = self.desired.unwrap_or_else(|| {
            let last = self.seen.iter().next_back().map_or(0, |ordinal| ordinal.0);
            let last = last.max(self.identity.ordinal.0);
            last.saturating_sub(self.start.0).saturating_add(1)
        });
        PeerSet::expected(self.identity.clone(), self.start, desired)
    }

    fn is_wanted(&self, ordinal: Ordinal) -> bool {
        self.desired.is_none_or(|desired| {
            ordinal >= self.start && ordinal.0 < self.start.0.saturating_add(desired)
        })
    }

    /// The ordinal of an SRV record's target, where it is one of this StatefulSet's pods.
    fn ordinal_of(&self, target: &str) -> Option<Ordinal> {
        let pod = target.strip_suffix(&format!(".{}", self.identity.service_host()))?;
        let name: ReplicaName = pod.parse().ok()?;
        (name.stateful_set == self.identity.stateful_set).then_some(name.ordinal)
    }
}

/// How many replicas the addresses may stand for that no answer holds. A replica has at most one
/// address of each family in a Service's records, so the larger family counts.
fn unclaimed(members: &BTreeSet<IpAddr>, answers: &BTreeMap<Ordinal, Answer>) -> u32 {
    let claimed: BTreeSet<IpAddr> = answers.values().flat_map(Answer::addresses).collect();
    let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = members
        .difference(&claimed)
        .partition(|address| address.is_ipv4());
    u32::try_from(v4.len().max(v6.len())).unwrap_or(u32::MAX)
}

async fn observe_fixed(
    setup: &DiscoverySetup,
    settings: &Discovery,
    identity: Identity,
    peers: &[FixedPeer],
    mut memory: PeerSet,
    observed: mpsc::Sender<PeerSet>,
) {
    let mut client = Dns::new(setup.servers.clone(), true, setup.recorder.clone());
    let expected = fixed_set(&identity, setup.config.start, peers);
    let by_ordinal = || {
        peers
            .iter()
            .zip(setup.config.start.0..)
            .map(|(peer, n)| (Ordinal(n), peer))
    };
    let names: Vec<(Ordinal, String)> = by_ordinal()
        .filter(|(_, peer)| peer.address.is_none())
        .map(|(ordinal, peer)| (ordinal, absolute(&peer.host)))
        .collect();
    loop {
        let failed = if names.is_empty() {
            None
        } else {
            client.refresh().await.err()
        };
        let mut answers: BTreeMap<Ordinal, Answer> = client
            .addresses(names.iter().cloned())
            .await
            .into_iter()
            .collect();
        answers.extend(by_ordinal().filter_map(|(ordinal, peer)| {
            let address = peer.address?;
            let v4 = Reply::Addresses(vec![address]);
            let v6 = Reply::Nothing;
            Some((ordinal, Answer { v4, v6 }))
        }));
        let mut set = answers::fold(
            expected.clone(),
            &memory,
            &answers,
            Source::Fixed,
            unix_ms(),
        );
        if let (Some(reason), Some(stale)) = (failed, &mut set.stale) {
            stale.reason = reason;
        }
        memory.clone_from(&set);
        let complete = is_complete(&set) && set.stale.is_none();
        if observed.send(set).await.is_err() {
            return;
        }
        if names.is_empty() {
            // Addresses never change without a new profile.
            pending::<()>().await;
        }
        tokio::time::sleep(pause(settings.interval, complete)).await;
    }
}

/// The set of a fixed list: its hosts in the place of the names that a cluster would give.
fn fixed_set(identity: &Identity, start: Ordinal, peers: &[FixedPeer]) -> PeerSet {
    let desired = u32::try_from(peers.len()).unwrap_or(u32::MAX);
    let mut set = PeerSet::expected(identity.clone(), start, desired);
    for (peer, ordinal) in peers.iter().zip(start.0..) {
        if let Some(replica) = set.replicas.get_mut(&Ordinal(ordinal)) {
            replica.host.clone_from(&peer.host);
        }
    }
    set
}

/// A name with dots is asked for as it stands; one without through the search list.
fn absolute(host: &str) -> String {
    if host.contains('.') && !host.ends_with('.') {
        format!("{host}.")
    } else {
        host.to_owned()
    }
}

async fn observe_local(
    folder: &Path,
    identity: Identity,
    desired: Option<u32>,
    mut memory: PeerSet,
    observed: mpsc::Sender<PeerSet>,
    recorder: &Recorder,
) {
    let mut watch = FolderWatch::new();
    loop {
        watch.set([folder]);
        let set = match local::read(folder).await {
            Ok(file) => local::view(&file, identity.clone(), desired, unix_ms()),
            Err(error) => {
                let labels = [("source", "local"), ("kind", "unreadable")];
                recorder.count(names::DISCOVERY_FAILURES, &labels);
                stale(&memory, chain(&error))
            }
        };
        memory.clone_from(&set);
        if observed.send(set).await.is_err() {
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

/// Settles what is observed and publishes it.
#[derive(Debug)]
struct Publisher {
    settle: Settle,
    out: watch::Sender<Arc<PeerSet>>,
    timeline: Timeline,
}

impl Publisher {
    /// Takes observations until there are no more.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken from the channel without being settled.
    async fn follow(&mut self, mut observations: mpsc::Receiver<PeerSet>) {
        loop {
            let due = self.settle.due();
            let next = tokio::select! {
                observed = observations.recv() => match observed {
                    Some(observed) => self.settle.offer(observed, Instant::now()),
                    None => return,
                },
                () = at(due) => self.settle.tick(Instant::now()),
            };
            match next {
                Some(next) => self.publish(next),
                None => self.confirm(),
            }
        }
    }

    /// A count that nobody tells is guessed from who is seen, which is too small while replicas start.
    fn warn_of_unknown_count(&self, config: &Config, settings: &Discovery) {
        let told = fixed_count(settings).or(config.desired).is_some();
        let by_file = settings.source == DiscoverySource::Auto && config.local.is_some();
        if !told && !by_file {
            let message = "nobody tells how many replicas there should be, those that are seen count: set `spec.discovery.replicas`, or OUTRIGGER_REPLICAS for the sidecar";
            self.timeline.record("discovery", message, []);
        }
    }

    fn publish(&self, next: PeerSet) {
        let before = Arc::clone(&self.out.borrow());
        for change in next.changes(&before) {
            let mut fields = vec![("revision", Value::from(next.revision))];
            if let (Change::Stale(true), Some(stale)) = (&change, &next.stale) {
                fields.push(("reason", Value::from(stale.reason.as_str())));
            }
            let message = change.to_string();
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
        self.out.send_replace(Arc::new(next));
    }

    /// Renews the time of confirmation without waking anybody.
    fn confirm(&self) {
        let standing = self.settle.standing();
        self.out.send_if_modified(|set| {
            if set.confirmed_unix_ms != standing.confirmed_unix_ms {
                *set = Arc::new(standing.clone());
            }
            false
        });
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
