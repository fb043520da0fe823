//! The plugin as the host calls it, against a fake host that answers with what AIStore was captured saying.

use outrigger_plugin_sdk::endpoint::Target;
use outrigger_plugin_sdk::fake::FakeHost;
use outrigger_plugin_sdk::{
    Artifact, Batch, Discovery, Health, Metrics, Plugin, Probe, Status, Templating,
};

use crate::Aistore;
use crate::drain::MARKER;
use crate::testing::{SMAP, at_rest, map_with, membership};
use crate::vmd::tests::written;

const READINESS: &str = "GET /v1/health?readiness=true";

fn set(role: &str) -> FakeHost {
    let host = FakeHost::new().setting("role", &format!("\"{role}\""));
    match role {
        "target" => host.setting("mountpaths", r#"["ais-data-0","ais-data-1"]"#),
        _ => host,
    }
}

fn answering(host: FakeHost, ready: u16, map: &str) -> FakeHost {
    host.endpoint("http", Target::Local, "GET /v1/health", 200, "")
        .endpoint("http", Target::Local, READINESS, ready, "")
        .endpoint(
            "http",
            Target::Local,
            "GET /v1/daemon?what=node_status",
            200,
            &at_rest(),
        )
        .endpoint("http", Target::Local, "GET /v1/daemon?what=smap", 200, map)
}

fn ready(kind: &str, own: u32) -> (Status, Vec<String>) {
    let verdict = Aistore::evaluate(Probe::Readiness, &membership(kind, own, 2)).unwrap();
    let codes = verdict.reasons.into_iter().map(|reason| reason.code);
    (verdict.status, codes.collect())
}

#[test]
fn a_target_is_ready_in_the_cluster_alone_and_alive_outside_of_it() {
    let host = answering(set("target"), 200, SMAP);
    // The machine of the captures has little CPU to spare.
    assert_eq!(
        ready("target", 1),
        (Status::Degraded, vec!["low-cpu".to_owned()])
    );
    host.forget_answers();
    let _host = answering(host, 503, "");
    let (status, codes) = ready("target", 1);
    assert_eq!((status, codes[0].as_str()), (Status::Fail, "not-joined"));
    let alive = Aistore::evaluate(Probe::Liveness, &membership("target", 1, 2)).unwrap();
    assert_eq!(alive.status, Status::Pass);
}

#[test]
fn a_proxy_asks_the_primary_whether_the_cluster_has_started() {
    let map = SMAP.replace(
        "\"daemon_id\":\"ais-proxy-0\",\"flags\":2",
        "\"daemon_id\":\"ais-proxy-1\",\"flags\":2",
    );
    let map = map.replacen("ais-proxy-1\",\"flags\":2", "ais-proxy-0\",\"flags\":2", 1);
    let host = answering(set("proxy"), 200, &map)
        .endpoint("http", Target::Peer(1), "GET /v1/health?prr=true", 503, "")
        .endpoint("http", Target::Peer(1), "GET /v1/health?prr=true", 200, "");
    let (status, codes) = ready("proxy", 0);
    assert_eq!(
        (status, codes[0].as_str()),
        (Status::Fail, "cluster-not-started")
    );
    assert_eq!(
        host.request_lines().last().unwrap(),
        "GET peer(1) /v1/health?prr=true"
    );
    assert_eq!(ready("proxy", 0).0, Status::Degraded);
}

#[test]
fn a_start_on_another_targets_disk_is_held_with_the_reason() {
    let _host = set("target")
        .denying("proxies")
        .file(
            "ais-data-0",
            ".ais.vmd",
            written("ais-target-9", &["/data/0"]),
        )
        .volume("ais-data-1", false);
    let plan = Aistore::resolve(&membership("target", 1, 2)).unwrap();
    assert!(!plan.may_start);
    assert!(
        plan.reason
            .starts_with("the disk `ais-data-0` is the target ais-target-9's"),
        "{}",
        plan.reason
    );
}

#[test]
fn a_start_without_the_identity_of_a_decommissioned_target_is_held() {
    let host = set("target")
        .denying("proxies")
        .file("ais-data-0", "@ais/bucket/object", "x")
        .volume("ais-data-1", false);
    let now = membership("target", 1, 2);
    assert!(!Aistore::resolve(&now).unwrap().may_start);
    let _host = host.setting("accept-leftovers", "true");
    assert!(Aistore::resolve(&now).unwrap().may_start);
}

#[test]
fn a_first_start_waits_for_a_proxy_and_a_later_one_does_not() {
    let now = membership("target", 1, 2);
    let host = set("target")
        .volume("ais-data-0", false)
        .volume("ais-data-1", false);
    let held = Aistore::resolve(&now).unwrap();
    assert!(
        held.reason
            .starts_with("the first start of a target waits for a proxy"),
        "{}",
        held.reason
    );
    host.answers("proxies", Target::Local, "GET /v1/health", 200, "");
    assert!(Aistore::resolve(&now).unwrap().may_start);
    host.forget_answers();
    let _host = host.file(
        "ais-data-0",
        ".ais.vmd",
        written("ais-target-1", &["/data/0"]),
    );
    assert!(Aistore::resolve(&now).unwrap().may_start);
}

#[test]
fn a_maintenance_of_a_stop_ends_at_the_return_and_no_other_does() {
    let resting = map_with(Some(4));
    let host = answering(set("target").setting("maintenance", "true"), 503, &resting)
        .volume("state", true)
        .endpoint("proxies", Target::Local, "PUT /v1/cluster", 200, "");
    let puts = |host: &FakeHost| {
        let lines = host.request_lines().into_iter();
        lines.filter(|line| line.starts_with("PUT")).count()
    };
    assert_eq!(ready("target", 1).1[0], "in-maintenance");
    assert_eq!(puts(&host), 0);
    let host = host.file("state", MARKER, "ais-target-1");
    ready("target", 1);
    ready("target", 1);
    assert_eq!(puts(&host), 1);
    host.forget_answers();
    let host = answering(host, 200, SMAP);
    ready("target", 1);
    assert_eq!(host.content("state", MARKER), Some(Vec::new()));
}

#[test]
fn files_are_checked_by_their_names() {
    let _host = set("target");
    let item = |path: &str| Artifact {
        path: path.to_owned(),
        content: b"{}".to_vec(),
    };
    let items = [
        item("/x/ais_local.json"),
        item("/x/ais.json"),
        item("/x/other.json"),
    ];
    let found = Aistore::validate(&membership("target", 1, 2), &items).unwrap();
    assert!(found.iter().any(|one| one.artifact == "/x/ais.json"));
    assert!(found.iter().any(|one| one.artifact == "/x/ais_local.json"));
    assert!(!found.iter().any(|one| one.artifact == "/x/other.json"));
}

#[test]
fn series_are_derived_from_the_own_nodes_answers() {
    let host = answering(set("target"), 200, SMAP);
    let batch = Aistore::derive(&membership("target", 1, 3), &Batch::empty()).unwrap();
    let out = batch
        .samples()
        .find(|one| one.name == "aistore_replicas_out_of_map");
    assert!((out.unwrap().value - 1.0).abs() < f64::EPSILON);
    assert_eq!(host.requests().len(), 2);
}

#[test]
fn it_describes_itself_before_it_has_settings() {
    let _host = FakeHost::new();
    assert_eq!(Aistore::describe().name, "aistore");
    assert!(Aistore::configure().is_err());
}
