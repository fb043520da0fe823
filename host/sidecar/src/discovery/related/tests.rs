use std::path::Path;
use std::time::Duration;

use outrigger_api_server::stand_in::StandIn;
use outrigger_shutdown::Tasks;
use serde_json::{Value, json};

use super::*;
use crate::discovery::DnsServers;
use crate::fixture;
use crate::metrics::Recorder;

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";

/// A sidecar that follows the StatefulSet `store` as `servers`.
struct World {
    api: StandIn,
    related: watch::Receiver<Arc<RelatedSets>>,
    loaded: watch::Sender<Arc<Loaded>>,
    timeline: Timeline,
    /// Dropping it ends all of them.
    _tasks: Tasks,
}

fn endpoint(ordinal: u32, serving: bool) -> Value {
    let name = format!("store-{ordinal}");
    json!({
        "addresses": [format!("10.0.1.{ordinal}")],
        "conditions": {"ready": true, "serving": serving, "terminating": false},
        "hostname": name,
        "targetRef": {"kind": "Pod", "namespace": "default", "name": name, "uid": format!("u-{ordinal}")},
    })
}

fn put_slice(api: &StandIn, endpoints: &[Value]) {
    let labels = json!({"kubernetes.io/service-name": "store-nodes"});
    let metadata = json!({"namespace": "default", "name": "store-x", "labels": labels});
    let slice = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints});
    api.put(&format!("{SLICES}/store-x"), slice);
}

fn scale(api: &StandIn, name: &str, replicas: u32, start: u32) {
    let metadata = json!({"namespace": "default", "name": name, "uid": name});
    let spec = json!({"replicas": replicas, "ordinals": {"start": start}});
    let path = format!("{STATEFUL_SETS}/{name}");
    api.put(&path, json!({"metadata": metadata, "spec": spec}));
}

fn named(replicas: Option<u32>) -> Related {
    Related {
        stateful_set: "store".into(),
        service: "store-nodes".into(),
        port: None,
        replicas,
    }
}

fn world(related: Related, local: Option<&Path>, prepare: impl FnOnce(&StandIn)) -> World {
    let api = StandIn::new();
    prepare(&api);
    let local = local.map(|path| path.display().to_string());
    let config = Config::from_env(&|name| match name {
        "POD_NAME" => Some("db-0".to_owned()),
        "OUTRIGGER_REPLICAS" => Some("1".to_owned()),
        "OUTRIGGER_LOCAL" => local.clone(),
        _ => None,
    });
    let config = Arc::new(config.unwrap());
    let mut first = fixture::loaded();
    let profile = Arc::get_mut(&mut first.profile).unwrap();
    profile.related.insert("servers".into(), related);
    profile.discovery.settle = Duration::from_millis(500);
    let recorder = Recorder::new();
    let cluster = Cluster::new(api.api(), &config.identity, recorder.clone());
    let setup = DiscoverySetup {
        config,
        // Nobody answers there.
        servers: DnsServers::Fixed(vec![([127, 0, 0, 1], 9).into()]),
        cluster: Some(cluster),
        recorder,
    };
    let (loaded, profiles) = watch::channel(Arc::new(first));
    let (out, related) = watch::channel(Arc::default());
    let (timeline, shutdown) = (Timeline::in_memory(), Shutdown::new());
    let tasks = Tasks::new(shutdown.clone());
    tasks.spawn(
        "related",
        run(setup, profiles, out, timeline.clone(), shutdown),
    );
    World {
        api,
        related,
        loaded,
        timeline,
        _tasks: tasks,
    }
}

impl World {
    /// The first of what is told of `servers` that is as described, within half an hour.
    async fn until(&mut self, what: &str, mut fits: impl FnMut(&RelatedSet) -> bool) -> RelatedSet {
        let told = |sets: &Arc<RelatedSets>| sets.get("servers").is_some_and(&mut fits);
        let half_an_hour = Duration::from_mins(30);
        let found = tokio::time::timeout(half_an_hour, self.related.wait_for(told)).await;
        let found = found.map(|sets| sets.unwrap()["servers"].clone());
        found.unwrap_or_else(|_| panic!("{what} never came: {:?}", self.related.borrow()))
    }

    async fn replicas(&mut self, wanted: &[(u32, Phase)]) -> Arc<PeerSet> {
        let fits = |set: &RelatedSet| phases(set) == wanted;
        match self.until(&format!("{wanted:?}"), fits).await {
            RelatedSet::Known(set) => set,
            RelatedSet::Unknown(why) => panic!("{why}"),
        }
    }

    async fn unknown(&mut self, why: &str) {
        let fits = |set: &RelatedSet| *set == RelatedSet::Unknown(why.to_owned());
        self.until(why, fits).await;
    }

    fn told(&self, part: &str) -> usize {
        let entries = self.timeline.since(0);
        let has = |entry: &&Arc<crate::timeline::Entry>| entry.message.contains(part);
        entries.iter().filter(has).count()
    }
}

fn phases(set: &RelatedSet) -> Vec<(u32, Phase)> {
    match set {
        RelatedSet::Known(set) => set
            .replicas
            .values()
            .map(|r| (r.ordinal.0, r.phase))
            .collect(),
        RelatedSet::Unknown(_) => Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_replicas_of_another_stateful_set_are_followed_through_a_scale() {
    let mut world = world(named(None), None, |api| {
        put_slice(api, &[endpoint(1, true), endpoint(2, false)]);
        scale(api, "db", 1, 0);
        scale(api, "store", 3, 0);
    });
    let expected = [(0, Phase::Pending), (1, Phase::Ready), (2, Phase::Starting)];
    let set = world.replicas(&expected).await;
    assert_eq!((set.desired, set.source), (3, Source::EndpointSlice));
    assert_eq!(
        set.replicas[&Ordinal(1)].host,
        "store-1.store-nodes.default.svc.cluster.local"
    );
    assert_eq!(
        world.told("related `servers`: 3 replicas are wanted, 0 before"),
        1
    );
    scale(&world.api, "store", 2, 1);
    let set = world.replicas(&expected[1..]).await;
    assert_eq!((set.desired, set.start), (2, Ordinal(1)));
    // Gone is not the same as wanted by nobody.
    world.api.delete(&format!("{STATEFUL_SETS}/store"));
    put_slice(&world.api, &[]);
    let set = world
        .replicas(&[(1, Phase::Pending), (2, Phase::Pending)])
        .await;
    assert_eq!(set.desired, 2);
}

#[tokio::test(start_paused = true)]
async fn how_many_there_should_be_is_never_guessed() {
    let mut world = world(named(None), None, |api| {
        api.forbid(STATEFUL_SETS);
        put_slice(api, &[endpoint(0, true)]);
    });
    let role = "give the pod's service account the Role of `manifests/components/sidecar-access`";
    let say = "or set `spec.related.servers.replicas`";
    world
        .unknown(&format!(
            "this pod may not read the StatefulSet `store`: {role}, {say}"
        ))
        .await;
    // Files wait for it, and with them the workload's start.
    let began = tokio::time::Instant::now();
    world.api.allow(STATEFUL_SETS);
    world.unknown("there is no StatefulSet `store`").await;
    assert!(
        began.elapsed() < Duration::from_mins(1),
        "{:?}",
        began.elapsed()
    );
    scale(&world.api, "store", 2, 0);
    world
        .replicas(&[(0, Phase::Ready), (1, Phase::Pending)])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_number_in_the_profile_needs_no_role_and_dns_tells_who_is_there() {
    let mut world = world(named(Some(2)), None, |api| {
        api.forbid(STATEFUL_SETS);
        api.forbid(SLICES);
    });
    // Nobody answers: both should exist, and nothing is known of either.
    let set = world
        .replicas(&[(0, Phase::Unknown), (1, Phase::Unknown)])
        .await;
    assert_eq!((set.desired, set.source), (2, Source::Dns));
    assert!(set.stale.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_changed_profile_names_others_and_keeps_what_is_known_of_those_that_stay() {
    let mut world = world(named(None), None, |api| {
        put_slice(api, &[endpoint(0, true)]);
        scale(api, "store", 1, 0);
    });
    world.replicas(&[(0, Phase::Ready)]).await;
    world.api.set_away(true);
    world.loaded.send_modify(|loaded| {
        let profile = Arc::make_mut(&mut Arc::make_mut(loaded).profile);
        profile.related.insert("more".into(), named(None));
    });
    let both = |sets: &Arc<RelatedSets>| sets.len() == 2;
    let sets = world.related.wait_for(both).await.unwrap().clone();
    assert_eq!(phases(&sets["servers"]), [(0, Phase::Ready)]);
    assert!(matches!(sets["more"], RelatedSet::Unknown(_)));
    world.loaded.send_modify(|loaded| {
        Arc::make_mut(&mut Arc::make_mut(loaded).profile)
            .related
            .clear();
    });
    world
        .related
        .wait_for(|sets| sets.is_empty())
        .await
        .unwrap();
}

#[tokio::test]
async fn under_up_the_other_sets_file_tells() {
    let root = tempfile::tempdir().unwrap();
    let [own, theirs] = ["db", "store"].map(|set| root.path().join(set).join("run"));
    std::fs::create_dir_all(&own).unwrap();
    std::fs::create_dir_all(&theirs).unwrap();
    let mut world = world(named(None), Some(&own), |_| {});
    let missing = |set: &RelatedSet| matches!(set, RelatedSet::Unknown(why) if why.contains("could not read"));
    world.until("why", missing).await;
    let file = |desired: u32| {
        let text = json!({"revision": 1, "start": 0, "desired": desired, "replicas": [
            {"ordinal": 0, "name": "store-0", "host": "127.0.0.9", "addresses": ["127.0.0.9"], "phase": "ready"},
        ]});
        std::fs::write(theirs.join("cluster.json"), text.to_string()).unwrap();
    };
    file(2);
    let set = world
        .replicas(&[(0, Phase::Ready), (1, Phase::Pending)])
        .await;
    assert_eq!(set.replicas[&Ordinal(0)].host, "127.0.0.9");
    file(1);
    world.replicas(&[(0, Phase::Ready)]).await;
}
