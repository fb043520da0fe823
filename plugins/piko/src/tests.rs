//! The plugin as the host calls it, against a fake host that answers with what Piko was captured saying.

use outrigger_plugin_sdk::endpoint::Target;
use outrigger_plugin_sdk::fake::FakeHost;
use outrigger_plugin_sdk::{
    Artifact, Batch, Discovery, Health, Membership, Metrics, Plugin, Probe, Status, Templating,
};

use crate::Piko;
use crate::testing::{membership, with_addresses};

const NODES: &str = "GET /status/cluster/nodes";
const JOINED: &str = include_str!("../tests/data/joined.json");
const LOCAL: &str = include_str!("../tests/data/local.json");
const RESTARTED: &str = include_str!("../tests/data/restarted.json");

fn three(own: u32) -> Membership {
    with_addresses(membership(own, 3))
}

/// `piko-0`'s own server answers with this list.
fn own(host: FakeHost, nodes: &str) -> FakeHost {
    host.endpoint("admin", Target::Local, "GET /health", 200, "")
        .endpoint("admin", Target::Local, "GET /ready", 200, "")
        .endpoint(
            "admin",
            Target::Local,
            "GET /status/cluster/nodes/local",
            200,
            LOCAL,
        )
        .endpoint("admin", Target::Local, NODES, 200, nodes)
}

fn peers(host: FakeHost, nodes: &str) -> FakeHost {
    [1, 2].into_iter().fold(host, |host, peer| {
        host.endpoint("admin", Target::Peer(peer), NODES, 200, nodes)
    })
}

fn alone(ordinal: u32) -> String {
    format!(
        r#"[{{"id":"piko-{ordinal}-os93i6n","status":"active","proxy_addr":"127.10.0.{}:8000","endpoints":0,"upstreams":0}}]"#,
        ordinal + 1
    )
}

fn readiness(own: u32) -> (Status, Vec<String>) {
    let verdict = Piko::evaluate(Probe::Readiness, &three(own)).unwrap();
    let codes = verdict.reasons.into_iter().map(|reason| reason.code);
    (verdict.status, codes.collect())
}

#[test]
fn once_all_agree_the_peers_are_asked_again_only_after_ten_seconds() {
    let host = peers(own(FakeHost::new(), JOINED), JOINED);
    let asked = || {
        let lines = host.request_lines();
        lines.iter().filter(|line| line.contains("peer(")).count()
    };
    assert_eq!(readiness(0), (Status::Pass, vec![]));
    assert_eq!(asked(), 2);
    for _ in 0..9 {
        host.advance(1_000.0);
        assert_eq!(readiness(0).0, Status::Pass);
    }
    assert_eq!(asked(), 2);
    host.advance(1_000.0);
    assert_eq!(readiness(0).0, Status::Pass);
    assert_eq!(asked(), 4);
}

#[test]
fn a_split_is_counted_once_it_has_lasted_and_told_at_once() {
    let host = peers(own(FakeHost::new(), JOINED), JOINED);
    assert_eq!(readiness(0).0, Status::Pass);
    host.forget_answers();
    let host = own(host, &alone(0));
    for peer in [1, 2] {
        host.answers("admin", Target::Peer(peer), NODES, 200, JOINED);
    }
    assert_eq!(readiness(0), (Status::Degraded, vec!["alone".to_owned()]));
    host.advance(9_000.0);
    assert_eq!(readiness(0).0, Status::Degraded);
    host.advance(1_000.0);
    assert_eq!(readiness(0), (Status::Fail, vec!["alone".to_owned()]));
    assert_eq!(
        Piko::evaluate(Probe::Liveness, &three(0)).unwrap().status,
        Status::Pass,
        "nobody is restarted for it"
    );
    host.forget_answers();
    let host = peers(own(host, RESTARTED), RESTARTED);
    assert_eq!(readiness(0), (Status::Pass, vec![]));
    assert!(host.state(super::SPLIT).is_none());
}

#[test]
fn a_server_that_was_started_anew_is_no_member_until_the_others_see_it() {
    let host = peers(own(FakeHost::new(), JOINED), JOINED);
    assert_eq!(readiness(0).0, Status::Pass);
    host.forget_answers();
    for (path, body) in [
        ("GET /ready", String::new()),
        (
            "GET /status/cluster/nodes/local",
            LOCAL.replace("sa45o2x", "os93i6n"),
        ),
        (NODES, alone(0)),
    ] {
        host.answers("admin", Target::Local, path, 200, &body);
    }
    for peer in [1, 2] {
        host.answers("admin", Target::Peer(peer), NODES, 200, JOINED);
    }
    assert_eq!(readiness(0), (Status::Fail, vec!["alone".to_owned()]));
}

#[test]
fn the_start_waits_for_one_that_runs_and_not_for_ever() {
    let host = FakeHost::new();
    assert!(
        Piko::resolve(&three(0)).unwrap().may_start,
        "the first starts alone"
    );
    let held = Piko::resolve(&three(1)).unwrap();
    assert!(!held.may_start);
    assert!(
        held.reason
            .starts_with("no other replica runs yet, and piko-0 starts first")
    );
    host.answers("admin", Target::Peer(0), NODES, 200, &alone(0));
    let plan = Piko::resolve(&three(1)).unwrap();
    assert!(plan.may_start);
    assert!(
        plan.seeds
            .contains(&"piko-0.piko.default.svc.cluster.local:8003".to_owned())
    );

    host.forget_answers();
    assert!(!Piko::resolve(&three(1)).unwrap().may_start);
    host.advance(30_000.0);
    assert!(
        Piko::resolve(&three(1)).unwrap().may_start,
        "one that never comes keeps nobody down"
    );
}

#[test]
fn a_server_that_runs_is_past_its_start() {
    let _host = own(FakeHost::new(), JOINED);
    assert!(Piko::resolve(&three(2)).unwrap().may_start);
}

#[test]
fn a_server_that_does_not_answer_fails_every_probe() {
    let _host = FakeHost::new();
    assert_eq!(readiness(0), (Status::Fail, vec!["not-ready".to_owned()]));
    for probe in [Probe::Startup, Probe::Liveness] {
        let verdict = Piko::evaluate(probe, &three(0)).unwrap();
        assert_eq!(verdict.reasons[0].code, "not-answering");
    }
}

#[test]
fn an_answer_that_is_not_understood_is_logged_and_is_no_list() {
    let host = own(FakeHost::new(), "<html>");
    assert_eq!(readiness(0), (Status::Fail, vec!["no-status".to_owned()]));
    assert!(host.log_lines()[0].starts_with("WARN Piko's list of nodes is not understood"));
}

#[test]
fn a_scrape_tells_members_and_does_not_touch_what_readiness_remembers() {
    let host = peers(own(FakeHost::new(), &alone(0)), JOINED);
    let batch = Piko::derive(&three(0), &Batch::empty()).unwrap();
    let value = |name: &str| batch.samples().find(|s| s.name == name).map(|s| s.value);
    assert_eq!(value("piko_members_expected"), Some(3.0));
    assert_eq!(value("piko_members_seen"), Some(1.0));
    assert_eq!(value("piko_split_brain"), Some(1.0));
    assert_eq!(value("piko_drain_requests_in_flight"), None);
    assert!(host.state(super::SPLIT).is_none());
}

#[test]
fn only_pikos_own_file_is_checked() {
    let host = FakeHost::new();
    let items = |path: &str| {
        vec![Artifact {
            path: path.to_owned(),
            content: b"cluster: {node_id: piko-0}\n".to_vec(),
        }]
    };
    let errors = |path: &str| Piko::validate(&three(0), &items(path)).unwrap().len();
    assert!(errors("/config/server.yaml") > 0);
    assert_eq!(errors("/config/other.yaml"), 0);
    let _host = host.setting("config-file", r#""other.yaml""#);
    assert!(errors("/config/other.yaml") > 0);
}

#[test]
fn the_plugin_names_itself_and_what_it_asks_for() {
    let _host = FakeHost::new().setting("gossip-port", "0");
    let descriptor = Piko::describe();
    assert_eq!(descriptor.name, "piko");
    let requests: serde_json::Value = serde_json::from_str(&descriptor.requests).unwrap();
    assert_eq!(requests["endpoints"]["admin"].as_array().unwrap().len(), 5);
    assert!(Piko::configure().is_err());
}
