use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_api_server::stand_in::StandIn;
use outrigger_peers::{Ordinal, Phase, Source};
use outrigger_shutdown::{Shutdown, Tasks};
use serde_json::{Value, json};

use super::super::{DnsServers, initial, run};
use super::*;
use crate::config::Config;
use crate::fixture;
use crate::metrics::Recorder;
use crate::timeline::Timeline;

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const MINUTE: Duration = Duration::from_mins(1);

/// A sidecar's discovery in a cluster, with a clock that moves when all wait.
struct World {
    api: StandIn,
    peers: watch::Receiver<Arc<PeerSet>>,
    timeline: Timeline,
    /// Dropping it ends all of them.
    _tasks: Tasks,
}

fn slice(endpoints: &[Value]) -> Value {
    labelled("db", endpoints)
}

fn labelled(service: &str, endpoints: &[Value]) -> Value {
    let labels = json!({"kubernetes.io/service-name": service});
    json!({"metadata": {"namespace": "default", "name": "db-x", "labels": labels}, "addressType": "IPv4", "endpoints": endpoints})
}

fn endpoint(ordinal: u32, serving: bool) -> Value {
    json!({
        "addresses": [format!("10.0.0.{ordinal}")],
        "conditions": {"ready": true, "serving": serving, "terminating": false},
        "hostname": format!("db-{ordinal}"),
        "targetRef": {"kind": "Pod", "namespace": "default", "name": format!("db-{ordinal}"), "uid": format!("u-{ordinal}")},
    })
}

fn stateful_set(replicas: u32, start: u32) -> Value {
    json!({"metadata": {"namespace": "default", "name": "db", "uid": "s"}, "spec": {"replicas": replicas, "ordinals": {"start": start}}})
}

impl World {
    fn put(&self, endpoints: &[Value]) {
        self.api.put(&format!("{SLICES}/db-x"), slice(endpoints));
    }

    fn scale(&self, replicas: u32, start: u32) {
        let path = format!("{STATEFUL_SETS}/db");
        self.api.put(&path, stateful_set(replicas, start));
    }

    /// The first snapshot that is as described, within half an hour of the test's clock.
    async fn until(&mut self, what: &str, fits: impl FnMut(&Arc<PeerSet>) -> bool) -> Arc<PeerSet> {
        let found = tokio::time::timeout(30 * MINUTE, self.peers.wait_for(fits)).await;
        let found = found.map(|found| Arc::clone(&found.unwrap()));
        found.unwrap_or_else(|_| panic!("{what} never came: {:?}", self.peers.borrow()))
    }

    fn told(&self, part: &str) -> usize {
        let entries = self.timeline.since(0);
        let has = |entry: &&Arc<crate::timeline::Entry>| entry.message.contains(part);
        entries.iter().filter(has).count()
    }

    /// Lets time pass, with a word from the API server each minute.
    async fn pass(&self, minutes: u32) {
        for _ in 0..minutes {
            self.api.bookmark();
            let mut peers = self.peers.clone();
            drop(tokio::time::timeout(MINUTE, peers.wait_for(|_| false)).await);
        }
    }
}

/// With an API server that `prepare` has filled.
fn world(source: DiscoverySource, prepare: impl FnOnce(&StandIn)) -> World {
    let api = StandIn::new();
    prepare(&api);
    let config = Config::from_env(&|name| match name {
        "POD_NAME" => Some("db-0".to_owned()),
        "OUTRIGGER_REPLICAS" => Some("2".to_owned()),
        _ => None,
    });
    let config = Arc::new(config.unwrap());
    let mut loaded = fixture::loaded();
    Arc::get_mut(&mut loaded.profile).unwrap().discovery.source = source;
    let (out, peers) = watch::channel(Arc::new(initial(&config, &loaded.profile)));
    let (timeline, shutdown) = (Timeline::in_memory(), Shutdown::new());
    let recorder = Recorder::new();
    let cluster = Cluster::new(api.api(), &config.identity, recorder.clone());
    let setup = DiscoverySetup {
        config,
        // Nobody answers there.
        servers: DnsServers::Fixed(vec![([127, 0, 0, 1], 9).into()]),
        cluster: Some(cluster),
        recorder,
    };
    let (sender, loaded) = watch::channel(Arc::new(loaded));
    let tasks = Tasks::new(shutdown.clone());
    let discovery = run(setup, loaded, out, timeline.clone(), shutdown);
    tasks.spawn("discovery", async move {
        discovery.await;
        drop(sender);
    });
    World {
        api,
        peers,
        timeline,
        _tasks: tasks,
    }
}

fn followed() -> World {
    world(DiscoverySource::Auto, |api| {
        api.put(
            &format!("{SLICES}/db-x"),
            slice(&[endpoint(0, true), endpoint(1, false)]),
        );
        let foreign = labelled("other", &[endpoint(7, true)]);
        api.put(&format!("{SLICES}/other-x"), foreign);
        api.put(&format!("{STATEFUL_SETS}/db"), stateful_set(3, 0));
    })
}

fn phases(set: &PeerSet) -> BTreeMap<u32, Phase> {
    let replicas = set.replicas.values();
    replicas.map(|r| (r.ordinal.0, r.phase)).collect()
}

fn is_followed(set: &Arc<PeerSet>) -> bool {
    set.source == Source::EndpointSlice && set.stale.is_none()
}

#[tokio::test(start_paused = true)]
async fn slices_tell_who_is_there_and_the_stateful_set_how_many_there_should_be() {
    let mut world = followed();
    let set = world
        .until("all that is known", |set| {
            is_followed(set) && set.desired == 3
        })
        .await;
    let expected = [(0, Phase::Ready), (1, Phase::Starting), (2, Phase::Pending)];
    assert_eq!(phases(&set), BTreeMap::from(expected));
    world.put(&[endpoint(0, true), endpoint(1, true)]);
    let ready = |set: &Arc<PeerSet>| phases(set)[&1] == Phase::Ready;
    world.until("the change", ready).await;
    assert_eq!(world.told("known from the EndpointSlices"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_scale_is_seen_by_the_replicas_that_run() {
    let mut world = followed();
    world.until("three", |set| set.desired == 3).await;
    world.scale(5, 0);
    let set = world.until("five", |set| set.desired == 5).await;
    assert_eq!(set.replicas.len(), 5);
    world.scale(2, 1);
    let set = world
        .until("another start", |set| set.start == Ordinal(1))
        .await;
    assert_eq!(set.desired, 2);
    // That the object is gone says nothing about how many there should be.
    world.api.delete(&format!("{STATEFUL_SETS}/db"));
    world.pass(3).await;
    assert_eq!(world.peers.borrow().desired, 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_dies_without_a_word_is_noticed_and_begun_anew() {
    let mut world = followed();
    world
        .until("three", |set| is_followed(set) && set.desired == 3)
        .await;
    world.pass(10).await;
    assert_eq!(world.told("fail"), 0, "a watch that is only quiet is alive");
    world.api.deafen();
    let began = Instant::now();
    world.put(&[endpoint(0, true), endpoint(1, true)]);
    let ready = |set: &Arc<PeerSet>| phases(set)[&1] == Phase::Ready;
    world.until("what was missed", ready).await;
    assert!(
        began.elapsed() <= Duration::from_secs(150),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_is_away_the_last_knowledge_stands_and_says_how_old_it_is() {
    let mut world = followed();
    let known = world
        .until("three", |set| is_followed(set) && set.desired == 3)
        .await;
    world.api.set_away(true);
    let stale = world.until("the news", |set| set.stale.is_some()).await;
    assert_eq!(phases(&stale), phases(&known));
    assert_eq!(stale.source, Source::EndpointSlice);
    let why = stale.stale.clone().unwrap();
    assert_eq!(why.since_unix_ms, stale.confirmed_unix_ms);
    assert!(why.reason.contains("did not answer"), "{}", why.reason);
    world.pass(60).await;
    assert_eq!(phases(&world.peers.borrow()), phases(&known));
    world.api.set_away(false);
    world.until("it comes back", is_followed).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_role_dns_is_asked_and_slices_once_the_role_is_there() {
    let mut world = world(DiscoverySource::Auto, |api| {
        api.forbid(SLICES);
        api.forbid(STATEFUL_SETS);
        api.put(&format!("{SLICES}/db-x"), slice(&[endpoint(0, true)]));
    });
    let set = world.until("DNS", |set| set.source == Source::Dns).await;
    assert_eq!(set.desired, 2, "what the environment says");
    world.pass(25).await;
    assert_eq!(
        world.told("may not follow EndpointSlices, DNS is asked instead"),
        1
    );
    assert_eq!(world.told("may not read its StatefulSet"), 1);
    assert_eq!(world.told("manifests/components/sidecar-access"), 2);
    world.api.asked();
    world.api.allow(SLICES);
    world.until("slices", is_followed).await;
    assert!(world.api.asked().len() < 6, "it does not ask all the time");
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_api_server_takes_dns_within_seconds() {
    let began = Instant::now();
    let mut world = world(DiscoverySource::Auto, |api| {
        api.set_away(true);
        api.put(&format!("{SLICES}/db-x"), slice(&[endpoint(0, true)]));
    });
    world.until("DNS", |set| set.source == Source::Dns).await;
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    world.api.set_away(false);
    world.until("slices", is_followed).await;
    assert_eq!(world.told("cannot be had, DNS is asked instead"), 1);
}

#[tokio::test(start_paused = true)]
async fn slices_that_are_demanded_are_waited_for() {
    let mut world = world(DiscoverySource::EndpointSlices, |api| {
        api.forbid(SLICES);
        api.put(&format!("{SLICES}/db-x"), slice(&[endpoint(0, true)]));
    });
    let set = world.until("why", |set| set.stale.is_some()).await;
    assert_eq!(set.source, Source::None);
    assert_eq!(
        set.replicas[&Ordinal(1)].phase,
        Phase::Unknown,
        "never absent"
    );
    assert_eq!(world.told("the profile demands them"), 1);
    world.api.allow(SLICES);
    world.until("slices", is_followed).await;
}
