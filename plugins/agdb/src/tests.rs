//! The plugin as the host calls it, against a fake host that answers with what agdb was captured saying.

use outrigger_plugin_sdk::endpoint::Target;
use outrigger_plugin_sdk::fake::FakeHost;
use outrigger_plugin_sdk::{
    Artifact, Batch, Discovery, Health, Metrics, Plugin, Probe, Severity, Status, Templating,
};

use crate::Agdb;
use crate::identity::{FILE, Identity};
use crate::testing::membership;

const STATUS: &str = "GET /api/v1/status";
const TABLE: &str = "GET /api/v1/cluster/status";
const HEALTHY: &str = include_str!("../tests/data/healthy.json");
const LEADER_0: &str = include_str!("../tests/data/leader-0.json");
const RESYNCING: &str = include_str!("../tests/data/resyncing.json");
const ZOMBIE: &str = include_str!("../tests/data/zombie-leader.json");
const GOOD: &[u8] = include_bytes!("../tests/data/agdb-0.yaml");

fn answering(host: FakeHost, target: Target, table: &str) -> FakeHost {
    host.endpoint("api", target, STATUS, 200, "")
        .endpoint("api", target, TABLE, 200, table)
}

fn config(content: &[u8]) -> Vec<Artifact> {
    vec![Artifact {
        path: "/agdb/agdb_server.yaml".to_owned(),
        content: content.to_vec(),
    }]
}

fn marker(host: &FakeHost) -> Identity {
    let content = host.content("data", FILE).unwrap();
    outrigger_plugin_sdk::json::parse(std::str::from_utf8(&content).unwrap()).unwrap()
}

fn errors(host: &FakeHost, ordinal: u32, content: &[u8]) -> Vec<(u32, String)> {
    let found = Agdb::validate(&membership(ordinal, 3), &config(content)).unwrap();
    assert!(host.requests().is_empty(), "a check of files asks nobody");
    found
        .into_iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .map(|diagnostic| (diagnostic.line, diagnostic.message))
        .collect()
}

#[test]
fn a_survivor_that_calls_itself_leader_loses_its_role_at_the_second_look() {
    let host = answering(FakeHost::new(), Target::Local, LEADER_0);
    let now = membership(0, 3);
    let first = Agdb::evaluate(Probe::Readiness, &now).unwrap();
    assert_eq!((first.status, first.next_check), (Status::Pass, Some(500)));
    let second = Agdb::evaluate(Probe::Readiness, &now).unwrap();
    assert_eq!((second.status, second.role), (Status::Fail, None));
    assert_eq!(second.reasons[0].code, "no-quorum");
    assert_eq!(
        second.reasons[0].message,
        "1 of 3 replicas are up and 2 are needed: nothing can be written"
    );
    host.forget_answers();
    host.answers("api", Target::Local, STATUS, 200, "");
    host.answers("api", Target::Local, TABLE, 200, ZOMBIE);
    assert_eq!(
        Agdb::evaluate(Probe::Readiness, &now).unwrap().reasons[0].code,
        "no-quorum"
    );
    assert_eq!(
        Agdb::evaluate(Probe::Liveness, &now).unwrap().status,
        Status::Pass
    );
}

#[test]
fn a_follower_asks_its_peers_for_no_table_because_it_would_be_the_leaders() {
    let mut host = answering(FakeHost::new(), Target::Local, RESYNCING);
    for peer in [0, 2] {
        host = answering(host, Target::Peer(peer), RESYNCING);
    }
    let verdict = Agdb::evaluate(Probe::Readiness, &membership(1, 3)).unwrap();
    assert_eq!(
        (verdict.status, verdict.role.as_deref()),
        (Status::Pass, Some("follower"))
    );
    assert_eq!(
        host.request_lines(),
        [
            "GET local /api/v1/status",
            "GET local /api/v1/cluster/status",
            "GET peer(0) /api/v1/status",
            "GET peer(2) /api/v1/status",
        ]
    );
}

#[test]
fn an_answer_that_is_not_understood_is_no_answer_and_is_logged() {
    let host = answering(FakeHost::new(), Target::Local, "<html>");
    let verdict = Agdb::evaluate(Probe::Readiness, &membership(0, 3)).unwrap();
    assert_eq!(verdict.status, Status::Fail);
    assert!(host.log_lines()[0].starts_with("WARN agdb's cluster status is not understood"));
}

#[test]
fn changes_of_the_leader_are_counted_across_probes_and_scrapes() {
    let host = answering(FakeHost::new(), Target::Local, HEALTHY);
    let now = membership(0, 3);
    let changes = || {
        let batch = Agdb::derive(&now, &Batch::empty()).unwrap();
        batch
            .samples()
            .find(|s| s.name == "agdb_leader_changes")
            .map(|s| s.value)
    };
    assert_eq!(changes(), Some(0.0), "the first leader is no change");
    host.forget_answers();
    host.answers("api", Target::Local, STATUS, 200, "");
    host.answers("api", Target::Local, TABLE, 200, LEADER_0);
    Agdb::evaluate(Probe::Readiness, &now).unwrap();
    assert_eq!(changes(), Some(1.0));
    assert_eq!(changes(), Some(1.0));
}

#[test]
fn a_scrape_does_not_make_a_peer_look_dead() {
    let _host = answering(FakeHost::new(), Target::Local, LEADER_0);
    for _ in 0..5 {
        Agdb::derive(&membership(0, 3), &Batch::empty()).unwrap();
    }
    assert_eq!(
        Agdb::evaluate(Probe::Readiness, &membership(0, 3))
            .unwrap()
            .status,
        Status::Pass
    );
}

#[test]
fn a_good_configuration_marks_its_volume_and_one_of_another_ordinal_is_refused() {
    let host = FakeHost::new().volume("data", true);
    assert_eq!(errors(&host, 0, GOOD), []);
    let marker = marker(&host);
    assert_eq!((marker.ordinal, marker.index, marker.joined), (0, 0, false));

    let other = FakeHost::new().file("data", FILE, host.content("data", FILE).unwrap());
    let text = std::str::from_utf8(GOOD)
        .unwrap()
        .replace("address: http://agdb-0", "address: http://agdb-1");
    let message = "the data folder is that of ordinal 0 and this is ordinal 1";
    assert_eq!(
        errors(&other, 1, text.as_bytes()),
        [(0, message.to_owned())]
    );
    let plan = Agdb::resolve(&membership(1, 3)).unwrap();
    assert_eq!((plan.may_start, plan.reason.as_str()), (false, message));
}

#[test]
fn a_replica_that_became_ready_has_joined_and_one_that_has_yet_to_catch_up_has_not() {
    let host = answering(FakeHost::new().volume("data", true), Target::Local, HEALTHY);
    let now = membership(0, 3);
    let behind = Agdb::evaluate(Probe::Readiness, &now).unwrap();
    assert_eq!(behind.reasons[0].code, "never-synced");
    assert_eq!(host.content("data", FILE), None);
    host.forget_answers();
    host.answers("api", Target::Local, STATUS, 200, "");
    host.answers("api", Target::Local, TABLE, 200, LEADER_0);
    for peer in [1, 2] {
        host.answers("api", Target::Peer(peer), STATUS, 200, "");
    }
    let even = Agdb::evaluate(Probe::Readiness, &now).unwrap();
    assert_eq!(even.status, Status::Pass);
    assert!(marker(&host).joined);
}

#[test]
fn a_newcomer_is_held_until_the_running_cluster_knows_it() {
    let mut host = FakeHost::new().volume("data", true);
    for peer in [0, 1, 2] {
        host = answering(host, Target::Peer(peer), LEADER_0);
    }
    let plan = Agdb::resolve(&membership(3, 5)).unwrap();
    assert!(!plan.may_start);
    assert!(
        plan.reason
            .starts_with("agdb-0 still runs with a list of 3 members")
    );
    assert!(
        !host
            .request_lines()
            .contains(&"GET local /api/v1/cluster/status".to_owned())
    );
    host.answers("api", Target::Local, STATUS, 200, "");
    assert!(
        Agdb::resolve(&membership(3, 5)).unwrap().may_start,
        "what runs is past its start"
    );
}

#[test]
fn a_newcomer_lets_a_lower_one_catch_up_first_but_not_for_ever() {
    let row = |ordinal: u32, index: u32| {
        format!(
            r#"{{"address":"http://agdb-{ordinal}.agdb.default.svc.cluster.local:3000","status":true,"leader":{},"executed_index":{index},"resync":false}}"#,
            ordinal == 0
        )
    };
    let rows: Vec<String> = [6, 6, 6, 0, 0]
        .into_iter()
        .zip(0..)
        .map(|(index, ordinal)| row(ordinal, index))
        .collect();
    let table = format!("[{}]", rows.join(","));
    let mut host = FakeHost::new().volume("data", true);
    for peer in [0, 1, 2] {
        host = answering(host, Target::Peer(peer), &table);
    }
    assert!(Agdb::resolve(&membership(3, 5)).unwrap().may_start);
    let held = Agdb::resolve(&membership(4, 5)).unwrap();
    assert!(!held.may_start);
    assert!(held.reason.starts_with("agdb-3 takes its snapshot first"));
    host.advance(30_000.0);
    assert!(Agdb::resolve(&membership(4, 5)).unwrap().may_start);
}

#[test]
fn a_pepper_of_the_wrong_length_is_refused_at_its_line() {
    let pepper = r#"{"volume":"keys","path":"pepper"}"#;
    let with = |content: &str| {
        FakeHost::new()
            .setting("pepper", pepper)
            .file("keys", "pepper", content)
    };
    assert_eq!(errors(&with("0123456789abcdef\n"), 0, GOOD), []);
    let message = "the pepper has 5 bytes and agdb takes exactly 16".to_owned();
    assert_eq!(errors(&with("short"), 0, GOOD), [(7, message)]);
    let missing = FakeHost::new()
        .setting("pepper", pepper)
        .volume("keys", false);
    assert!(
        errors(&missing, 0, GOOD)[0]
            .1
            .starts_with("the pepper cannot be read")
    );
}

#[test]
fn a_pepper_in_a_volume_that_is_not_granted_is_skipped_and_said() {
    let host = FakeHost::new().setting("pepper", r#"{"volume":"keys","path":"pepper"}"#);
    assert_eq!(errors(&host, 0, GOOD), []);
    assert!(
        host.log_lines()
            .iter()
            .any(|line| line.starts_with("INFO The pepper is not checked"))
    );
}

#[test]
fn other_files_of_the_set_are_none_of_its_business() {
    let _host = FakeHost::new();
    let item = Artifact {
        path: "/agdb/other.yaml".to_owned(),
        content: b"foo: bar".to_vec(),
    };
    assert_eq!(Agdb::validate(&membership(0, 3), &[item]).unwrap(), []);
    assert!(Agdb::render(&membership(0, 3), &["/agdb/other.yaml".to_owned()]).is_err());
}

#[test]
fn the_plugin_names_itself_and_refuses_bad_settings_when_configured() {
    let _host = FakeHost::new().setting("port", "0");
    assert_eq!(Agdb::describe().name, "agdb");
    assert_eq!(
        Agdb::configure().unwrap_err().message,
        "setting `port`: 0 is no port"
    );
}
