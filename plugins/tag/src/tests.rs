//! The plugin as the host calls it, against a fake host that answers with what TAG was captured saying.

use outrigger_plugin_sdk::endpoint::Target;
use outrigger_plugin_sdk::fake::FakeHost;
use outrigger_plugin_sdk::{
    Artifact, Batch, Discovery, Health, Metrics, Plugin, Probe, Status, Templating,
};

use crate::Tag;
use crate::testing::membership;

const JOINED: &str = include_str!("../tests/data/joined.prom");

/// The metrics with so many members, and so many in the ring.
fn counting(members: u32, ring: u32) -> String {
    JOINED
        .replace("members_count 3", &format!("members_count {members}"))
        .replace("state=\"ACTIVE\"} 3", &format!("state=\"ACTIVE\"}} {ring}"))
}

fn answering(host: FakeHost, target: Target, metrics: &str) -> FakeHost {
    host.endpoint("http", target, "GET /health", 200, "OK")
        .endpoint("http", target, "GET /metrics", 200, metrics)
}

fn cluster(metrics: &str) -> FakeHost {
    let host = FakeHost::new().denying("upstream");
    let host = answering(host, Target::Local, metrics);
    [1, 2].into_iter().fold(host, |host, peer| {
        answering(host, Target::Peer(peer), metrics)
    })
}

fn readiness() -> (Status, Vec<String>) {
    let verdict = Tag::evaluate(Probe::Readiness, &membership(0, 3)).unwrap();
    let codes = verdict.reasons.into_iter().map(|reason| reason.code);
    (verdict.status, codes.collect())
}

#[test]
fn a_member_passes_and_asks_its_peers_for_no_more_than_their_health() {
    let host = cluster(JOINED);
    assert_eq!(readiness(), (Status::Pass, vec![]));
    assert_eq!(
        host.request_lines(),
        [
            "GET local /health",
            "GET local /metrics",
            "GET peer(1) /health",
            "GET peer(2) /health",
            "HEAD local /",
        ]
    );
}

#[test]
fn a_crashed_peer_degrades_once_the_gossip_has_noticed() {
    let host = cluster(JOINED);
    assert_eq!(readiness().0, Status::Pass);
    host.forget_answers();
    let host = answering(host, Target::Local, &counting(2, 3));
    let _host = answering(host, Target::Peer(1), &counting(2, 3));
    assert_eq!(
        readiness(),
        (Status::Degraded, vec!["ring-disagrees".to_owned()])
    );
}

#[test]
fn a_node_id_that_two_replicas_have_is_told_after_a_while_and_takes_nobody_out() {
    let host = cluster(&counting(2, 2));
    // This one joined before the other came.
    host.forget_answers();
    let host = answering(host, Target::Local, &counting(2, 2));
    let host = answering(host, Target::Peer(1), &counting(2, 2));
    assert_eq!(readiness().0, Status::Pass);
    let host = answering(host, Target::Peer(2), &counting(2, 2));
    assert_eq!(readiness().0, Status::Pass, "it may be about to join");
    host.advance(60_000.0);
    assert_eq!(
        readiness(),
        (Status::Degraded, vec!["same-node-id".to_owned()])
    );
}

#[test]
fn a_starting_replica_waits_for_its_membership() {
    let host = FakeHost::new().denying("upstream");
    let host = answering(host, Target::Local, &counting(1, 1));
    let host = answering(host, Target::Peer(1), &counting(2, 2));
    let host = answering(host, Target::Peer(2), &counting(2, 2));
    assert_eq!(readiness(), (Status::Fail, vec!["alone".to_owned()]));
    host.forget_answers();
    let host = answering(host, Target::Local, JOINED);
    let _host = answering(host, Target::Peer(1), JOINED);
    assert_eq!(readiness().0, Status::Pass);
}

#[test]
fn an_upstream_is_asked_every_ten_seconds_where_it_is_granted() {
    let with_upstream = |host: FakeHost, status| {
        let host = host.endpoint("upstream", Target::Local, "HEAD /", status, "");
        let host = answering(host, Target::Local, JOINED);
        [1, 2].into_iter().fold(host, |host, peer| {
            answering(host, Target::Peer(peer), JOINED)
        })
    };
    let host = with_upstream(FakeHost::new(), 403);
    assert_eq!(
        readiness().0,
        Status::Pass,
        "who refuses a request is there"
    );
    host.forget_answers();
    let host = with_upstream(host, 503);
    host.advance(9_000.0);
    assert_eq!(readiness().0, Status::Pass);
    host.advance(1_000.0);
    assert_eq!(
        readiness(),
        (Status::Degraded, vec!["upstream-unreachable".to_owned()])
    );
    let batch = Tag::derive(&membership(0, 3), &Batch::empty()).unwrap();
    let up = batch
        .samples()
        .find(|sample| sample.name == "tag_upstream_up");
    assert_eq!(up.map(|sample| sample.value), Some(0.0));
}

#[test]
fn a_full_disk_is_told_and_takes_nobody_out() {
    let _host = cluster(JOINED).usage("cache-data", 100e9, 1e9);
    let (status, codes) = readiness();
    assert_eq!(status, Status::Degraded);
    assert!(codes.contains(&"disk-low".to_owned()), "{codes:?}");
}

#[test]
fn the_cap_is_of_the_real_disk_and_one_beyond_it_refuses_the_render() {
    let host = FakeHost::new().usage("cache-data", 1e12, 9e11);
    let cap = |host: &FakeHost| {
        assert!(host.log_lines().is_empty());
        let plan = Tag::resolve(&membership(0, 3))?;
        let found = plan.outputs.into_iter().find(|(key, _)| key == "disk-cap");
        Ok::<_, outrigger_plugin_sdk::Failure>(found.map(|(_, value)| value))
    };
    assert_eq!(cap(&host).unwrap().as_deref(), Some("900000000000"));
    let host = host.setting("disk-share", "50");
    assert_eq!(cap(&host).unwrap().as_deref(), Some("500000000000"));
    let host = host.setting("disk-cap", r#""400Gi""#);
    assert_eq!(cap(&host).unwrap().as_deref(), Some("429496729600"));
    let host = host.usage("cache-data", 1e11, 9e10);
    let failure = cap(&host).unwrap_err();
    assert!(
        failure.message.contains("more than the 93.1Gi"),
        "{}",
        failure.message
    );
}

#[test]
fn the_start_waits_for_one_that_runs_and_a_cache_of_its_own_does_not() {
    let host = FakeHost::new();
    assert!(Tag::resolve(&membership(0, 3)).unwrap().may_start);
    let held = Tag::resolve(&membership(1, 3)).unwrap();
    assert!(!held.may_start);
    assert!(
        held.reason.contains("tag-0 starts first"),
        "{}",
        held.reason
    );
    host.answers("http", Target::Peer(2), "GET /health", 200, "OK");
    assert!(Tag::resolve(&membership(1, 3)).unwrap().may_start);
    host.forget_answers();
    let _host = host.setting("cluster", "false");
    assert!(Tag::resolve(&membership(1, 3)).unwrap().may_start);
}

#[test]
fn only_tags_own_file_is_checked() {
    let _host = FakeHost::new();
    let item = |path: &str| Artifact {
        path: path.to_owned(),
        content: b"cache: {max_disk_usage_bytes: 400Gi}\n".to_vec(),
    };
    let found = |path: &str| {
        Tag::validate(&membership(0, 3), &[item(path)])
            .unwrap()
            .len()
    };
    assert_eq!(found("/etc/tag/config.yaml"), 1);
    assert_eq!(found("/etc/tag/other.yaml"), 0);
}

#[test]
fn a_server_that_does_not_answer_fails_every_probe() {
    let _host = FakeHost::new();
    for probe in [Probe::Startup, Probe::Readiness, Probe::Liveness] {
        let verdict = Tag::evaluate(probe, &membership(0, 3)).unwrap();
        assert_eq!(verdict.reasons[0].code, "not-answering");
    }
}

#[test]
fn the_plugin_names_itself_and_refuses_bad_settings_when_configured() {
    let _host = FakeHost::new().setting("disk-share", "0");
    assert_eq!(Tag::describe().name, "tag");
    assert_eq!(
        Tag::configure().unwrap_err().message,
        "setting `disk-share`: 0 is no share of a hundred"
    );
}
