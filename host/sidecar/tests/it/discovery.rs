//! Discovery against a real DNS server, a file of the local mode and a fixed list.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrigger_peers::{Ordinal, PeerSet, Phase, Source};
use outrigger_profile::{Discovery, DiscoverySource, Findings, FixedPeer};
use outrigger_shutdown::Shutdown;
use outrigger_sidecar::config::Config;
use outrigger_sidecar::discovery::{DiscoverySetup, DnsServers, initial, run};
use outrigger_sidecar::metrics::Recorder;
use outrigger_sidecar::reload::Loaded;
use outrigger_sidecar::timeline::Timeline;
use outrigger_telemetry::names;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fake_dns::FakeDns;

const PROFILE: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: Profile
metadata: {name: db}
spec:
  workload: {container: db, ports: {api: 3000}}
";

fn loaded(settings: impl FnOnce(&mut Discovery)) -> Arc<Loaded> {
    let (profile, findings) = outrigger_profile::parse(PROFILE, "outrigger.yaml");
    let mut profile = profile.unwrap_or_else(|| panic!("{findings}"));
    profile.discovery.interval = Duration::from_millis(50);
    profile.discovery.settle = Duration::from_millis(20);
    settings(&mut profile.discovery);
    Arc::new(Loaded {
        profile: Arc::new(profile),
        templates: BTreeMap::new(),
        revision: 1,
        digest: String::new(),
        warnings: Findings::default(),
    })
}

/// A sidecar's discovery that runs.
struct Running {
    peers: watch::Receiver<Arc<PeerSet>>,
    loaded: watch::Sender<Arc<Loaded>>,
    timeline: Timeline,
    recorder: Recorder,
    shutdown: Shutdown,
    tasks: JoinSet<()>,
}

fn start(variables: &[(&str, &str)], servers: DnsServers, loaded: Arc<Loaded>) -> Running {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let config = Config::from_env(&|name| match (variables.get(name), name) {
        (Some(value), _) => Some((*value).to_owned()),
        (None, "POD_NAME") => Some("db-0".to_owned()),
        _ => None,
    });
    let config = Arc::new(config.unwrap());
    let (out, peers) = watch::channel(Arc::new(initial(&config, &loaded.profile)));
    let (loaded, profiles) = watch::channel(loaded);
    let (timeline, shutdown) = (Timeline::in_memory(), Shutdown::new());
    let recorder = Recorder::new();
    let setup = DiscoverySetup {
        config,
        servers,
        cluster: None,
        recorder: recorder.clone(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(run(
        setup,
        profiles,
        out,
        timeline.clone(),
        shutdown.clone(),
    ));
    Running {
        peers,
        loaded,
        timeline,
        recorder,
        shutdown,
        tasks,
    }
}

fn dns(server: &FakeDns, variables: &[(&str, &str)]) -> Running {
    let servers = DnsServers::Fixed(vec![server.address]);
    start(variables, servers, loaded(|_| {}))
}

impl Running {
    /// How many look-ups failed like this.
    fn failures(&self, source: &str, kind: &str) -> u64 {
        let labels = vec![("source", source.to_owned()), ("kind", kind.to_owned())];
        let counted = self.recorder.recorded().counters;
        counted
            .get(&(names::DISCOVERY_FAILURES, labels))
            .copied()
            .unwrap_or_default()
    }

    /// The first snapshot that is as described.
    async fn until(&mut self, what: &str, fits: impl FnMut(&Arc<PeerSet>) -> bool) -> Arc<PeerSet> {
        let found = tokio::time::timeout(Duration::from_secs(20), self.peers.wait_for(fits))
            .await
            .map(|found| Arc::clone(&found.expect("discovery runs")));
        found.unwrap_or_else(|_| panic!("{what} never came: {:?}", self.peers.borrow()))
    }

    fn told(&self) -> Vec<String> {
        let entries = self.timeline.since(0);
        entries.iter().map(|entry| entry.message.clone()).collect()
    }

    async fn end(mut self) {
        self.shutdown.trigger("the test is over");
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

fn name(ordinal: u32) -> String {
    format!("db-{ordinal}.db.default.svc.cluster.local.")
}

const SERVICE: &str = "db.default.svc.cluster.local.";

fn phase(set: &PeerSet, ordinal: u32) -> Option<Phase> {
    let replica = set.replicas.get(&Ordinal(ordinal));
    replica.map(|replica| replica.phase)
}

fn address(set: &PeerSet, ordinal: u32) -> String {
    let replica = &set.replicas[&Ordinal(ordinal)];
    let texts: Vec<String> = replica.addresses.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

const TWO: [(&str, &str); 2] = [
    ("OUTRIGGER_REPLICAS", "2"),
    ("OUTRIGGER_POD_MANAGEMENT", "Parallel"),
];

#[tokio::test]
async fn a_name_that_appears_later_goes_from_pending_to_ready() {
    let server = FakeDns::start().await;
    server.addresses(&name(0), &["10.0.0.1", "fd00::1"]);
    let mut running = dns(&server, &TWO);
    let set = running
        .until("the own name", |set| phase(set, 0) == Some(Phase::Ready))
        .await;
    assert_eq!(phase(&set, 1), Some(Phase::Pending));
    assert_eq!(address(&set, 0), "10.0.0.1 fd00::1");
    assert_eq!(set.source, Source::Dns);
    server.addresses(&name(1), &["10.0.0.2"]);
    running
        .until("the peer", |set| phase(set, 1) == Some(Phase::Ready))
        .await;
    assert!(
        running
            .told()
            .contains(&"replica 1 went from pending to ready".to_owned())
    );
    running.end().await;
}

#[tokio::test]
async fn a_server_that_fails_never_shrinks_the_set_and_is_told() {
    let server = FakeDns::start().await;
    server.addresses(&name(0), &["10.0.0.1"]);
    server.addresses(&name(1), &["10.0.0.2"]);
    let mut running = dns(&server, &TWO);
    running.until("both", |set| set.seen() == 2).await;
    server.fail(&name(1), true);
    let set = running
        .until("the failure", |set| set.stale.is_some())
        .await;
    assert_eq!((set.seen(), address(&set, 1)), (2, "10.0.0.2".to_owned()));
    let stale = set.stale.as_ref().unwrap();
    assert!(stale.since_unix_ms > 0);
    assert!(stale.reason.contains("db-1."), "{}", stale.reason);
    assert!(running.failures("dns", "server-failure") > 0);
    server.fail(&name(1), false);
    running
        .until("the recovery", |set| set.stale.is_none())
        .await;
    running.end().await;
}

#[tokio::test]
async fn a_server_that_is_silent_counts_as_unknown() {
    let server = FakeDns::start().await;
    server.addresses(&name(0), &["10.0.0.1"]);
    server.silence(&name(1));
    let mut running = dns(&server, &TWO);
    let set = running
        .until("the silence", |set| set.stale.is_some())
        .await;
    assert!(matches!(
        phase(&set, 1),
        Some(Phase::Unknown | Phase::Pending)
    ));
    assert!(set.replicas.contains_key(&Ordinal(1)));
    assert!(running.failures("dns", "timeout") > 0);
    running.end().await;
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp() {
    let server = FakeDns::start().await;
    server.truncate();
    server.addresses(&name(0), &["10.0.0.1"]);
    server.addresses(&name(1), &["10.0.0.2"]);
    let mut running = dns(&server, &TWO);
    running.until("both", |set| set.seen() == 2).await;
    assert!(server.over_tcp() > 0);
    running.end().await;
}

#[tokio::test]
async fn a_new_address_and_a_name_that_went_away_are_followed() {
    let server = FakeDns::start().await;
    server.addresses(&name(0), &["10.0.0.1"]);
    server.addresses(&name(1), &["10.0.0.2"]);
    let mut running = dns(&server, &TWO);
    running.until("both", |set| set.seen() == 2).await;
    server.addresses(&name(1), &["10.0.0.9"]);
    running
        .until("the new address", |set| address(set, 1) == "10.0.0.9")
        .await;
    server.remove(&name(1));
    let set = running
        .until("its end", |set| phase(set, 1) == Some(Phase::Pending))
        .await;
    assert_eq!(address(&set, 1), "");
    running.end().await;
}

#[tokio::test]
async fn in_order_nobody_is_asked_for_who_cannot_exist_yet() {
    let server = FakeDns::start().await;
    let mut running = dns(&server, &[("OUTRIGGER_REPLICAS", "3")]);
    running
        .until("a first look", |set| phase(set, 0) == Some(Phase::Starting))
        .await;
    assert!(!server.asked().contains(&name(1)));
    server.addresses(&name(0), &["10.0.0.1"]);
    running
        .until("the first", |set| phase(set, 0) == Some(Phase::Ready))
        .await;
    assert!(!server.asked().contains(&name(2)));
    server.addresses(&name(1), &["10.0.0.2"]);
    server.addresses(&name(2), &["10.0.0.3"]);
    running.until("all", |set| set.seen() == 3).await;
    // Absolute names only: no search list multiplies the questions.
    let allowed = [name(0), name(1), name(2), SERVICE.to_owned()];
    let asked = server.asked();
    assert!(asked.iter().all(|name| allowed.contains(name)), "{asked:?}");
    running.end().await;
}

#[tokio::test]
async fn the_services_records_tell_of_a_scale_up_that_the_environment_does_not_know() {
    let server = FakeDns::start().await;
    for ordinal in 0..4 {
        server.addresses(&name(ordinal), &[&format!("10.0.0.{}", ordinal + 1)]);
    }
    server.addresses(SERVICE, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    server.targets(&format!("_api._tcp.{SERVICE}"), &[&name(3)]);
    let servers = DnsServers::Fixed(vec![server.address]);
    let with_port = loaded(|settings| settings.port = Some("api".to_owned()));
    let mut running = start(&TWO, servers, with_port);
    let set = running
        .until("those beyond", |set| set.replicas.len() == 4)
        .await;
    assert_eq!(set.desired, 2);
    assert!(!set.is_wanted(Ordinal(2)) && !set.is_wanted(Ordinal(3)));
    running.end().await;
}

#[tokio::test]
async fn without_a_count_the_service_tells_who_is_there() {
    let server = FakeDns::start().await;
    for ordinal in 0..3 {
        server.addresses(&name(ordinal), &[&format!("10.0.0.{}", ordinal + 1)]);
    }
    server.addresses(SERVICE, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let mut running = dns(&server, &[("OUTRIGGER_POD_MANAGEMENT", "Parallel")]);
    let set = running.until("all", |set| set.seen() == 3).await;
    assert_eq!(set.desired, 3);
    running.end().await;
}

#[tokio::test]
async fn a_changed_resolv_conf_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    let servers = DnsServers::ResolvConf(path.clone());
    let mut running = start(&TWO, servers, loaded(|_| {}));
    let set = running
        .until("the missing file", |set| set.stale.is_some())
        .await;
    assert!(set.stale.as_ref().unwrap().reason.contains("resolv.conf"));
    assert_eq!(set.replicas.len(), 2);
    // Nobody listens there: look-ups fail another way.
    std::fs::write(&path, "nameserver 127.0.0.254\n").unwrap();
    running
        .until("the new server", |set| {
            let stale = set.stale.as_ref();
            stale.is_some_and(|stale| !stale.reason.contains("resolv.conf"))
        })
        .await;
    running.end().await;
}

fn write_cluster(folder: &Path, text: &str) {
    let temporary = folder.join("cluster.json.new");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(temporary, folder.join("cluster.json")).unwrap();
}

#[tokio::test]
async fn the_local_modes_file_is_followed_and_a_broken_one_keeps_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let ready = |ordinal: u32| {
        format!(
            r#"{{"ordinal":{ordinal},"name":"db-{ordinal}","host":"db-{ordinal}.db","addresses":["10.77.0.1{ordinal}"],"phase":"ready"}}"#
        )
    };
    let cluster = |desired: u32| {
        let replicas: Vec<String> = (0..desired).map(ready).collect();
        format!(
            r#"{{"revision":1,"start":0,"desired":{desired},"replicas":[{}]}}"#,
            replicas.join(",")
        )
    };
    write_cluster(folder.path(), &cluster(3));
    let local = [("OUTRIGGER_LOCAL", folder.path().to_str().unwrap())];
    let mut running = start(&local, DnsServers::default(), loaded(|_| {}));
    let set = running.until("all", |set| set.seen() == 3).await;
    assert_eq!((set.source, set.desired), (Source::Local, 3));
    write_cluster(folder.path(), "{");
    let set = running
        .until("the broken file", |set| set.stale.is_some())
        .await;
    assert_eq!(set.seen(), 3);
    assert!(running.failures("local", "unreadable") > 0);
    write_cluster(folder.path(), &cluster(5));
    let set = running.until("the scale-up", |set| set.seen() == 5).await;
    assert!(set.stale.is_none());
    running.end().await;
}

#[tokio::test]
async fn a_fixed_list_needs_no_service_and_a_newer_profile_replaces_it() {
    let peer = |text: &str| FixedPeer {
        host: text.to_owned(),
        address: text.parse().ok(),
    };
    let list =
        |hosts: &[&str]| DiscoverySource::Fixed(hosts.iter().map(|host| peer(host)).collect());
    let server = FakeDns::start().await;
    server.addresses("db.example.", &["10.9.0.1"]);
    let servers = DnsServers::Fixed(vec![server.address]);
    let first = loaded(|settings| settings.source = list(&["db.example", "10.9.0.2"]));
    let mut running = start(&[], servers, first);
    let set = running.until("both", |set| set.seen() == 2).await;
    assert_eq!((set.source, set.desired), (Source::Fixed, 2));
    assert_eq!(set.replicas[&Ordinal(0)].host, "db.example");
    assert_eq!(address(&set, 0), "10.9.0.1");
    let longer = list(&["db.example", "10.9.0.2", "10.9.0.3"]);
    running
        .loaded
        .send_replace(loaded(|settings| settings.source = longer));
    running.until("the third", |set| set.desired == 3).await;
    assert!(server.asked().iter().all(|name| name == "db.example."));
    running.end().await;
}
