//! The plugin as the host calls it, against a fake host that answers with what Oxia was captured saying.

use outrigger_plugin_sdk::batch::Builder;
use outrigger_plugin_sdk::endpoint::Target;
use outrigger_plugin_sdk::fake::FakeHost;
use outrigger_plugin_sdk::{
    Artifact, Batch, DrainContext, DrainReason, Health, Lifecycle, Metrics, Next, Plugin, Probe,
    Severity, Status, Templating,
};

use crate::Oxia;
use crate::series::tests::exposition;
use crate::testing::{CLUSTER, METRICS, NO_QUORUM, STEADY, membership};

const ALL: [(&str, bool); 3] = [("oxia-0", true), ("oxia-1", true), ("oxia-2", true)];

/// The captured metrics without two of the servers.
fn two_dead() -> String {
    ["oxia-1", "oxia-2"]
        .iter()
        .fold(METRICS.to_owned(), |text, server| {
            let line = text
                .lines()
                .find(|line| line.contains(&format!("data_server=\"{server}\"")));
            let line = line.unwrap().to_owned();
            text.replace(&line, &format!("{}0", line.trim_end_matches('1')))
        })
}

fn coordinator(status: &str, metrics: &str) -> FakeHost {
    FakeHost::new()
        .setting("role", r#""coordinator""#)
        .setting("client-services", r#"["oxia"]"#)
        .file("metadata", "cluster-status.json", status)
        .endpoint("metrics", Target::Local, "GET /metrics", 200, metrics)
}

/// Beside a server; `ready` is what its sidecar said last, and why not.
fn server(host: FakeHost, coordinator: &str, ready: Option<&str>) -> FakeHost {
    let reasons = ready.map_or(String::new(), |code| {
        format!(r#"{{"scope":"self","code":"{code}","message":"","counts":true}}"#)
    });
    let own = format!(r#"{{"pass":{},"reasons":[{reasons}]}}"#, ready.is_none());
    let status = if ready.is_none() { 200 } else { 503 };
    host.endpoint(
        "coordinator",
        Target::Local,
        "GET /metrics",
        200,
        coordinator,
    )
    .endpoint("sidecar", Target::Local, "GET /ready", status, &own)
    .endpoint(
        "sidecar",
        Target::Local,
        "GET /live",
        200,
        r#"{"pass":true,"reasons":[]}"#,
    )
}

fn readiness() -> (Status, Vec<String>) {
    let verdict = Oxia::evaluate(Probe::Readiness, &membership(0, 3)).unwrap();
    let codes = verdict.reasons.into_iter().map(|reason| reason.code);
    (verdict.status, codes.collect())
}

fn series(batch: &Batch) -> Vec<String> {
    let line = |sample: outrigger_plugin_sdk::batch::Sample<'_>| {
        let labels: Vec<&str> = sample.labels.iter().map(|(_, value)| *value).collect();
        format!("{} {} {}", sample.name, labels.join(","), sample.value)
    };
    batch.samples().map(line).collect()
}

#[test]
fn a_coordinator_of_a_steady_cluster_passes_and_of_a_broken_one_says_what_is_broken() {
    let host = coordinator(STEADY, METRICS);
    assert_eq!(readiness(), (Status::Pass, vec![]));
    drop(host);
    let _host = coordinator(NO_QUORUM, &two_dead());
    let (status, codes) = readiness();
    assert_eq!(status, Status::Degraded);
    assert_eq!(codes, ["no-quorum", "no-leader", "servers-unavailable"]);
}

#[test]
fn a_coordinator_without_a_status_or_with_half_of_one_stays_in_service() {
    let host = FakeHost::new()
        .setting("role", r#""coordinator""#)
        .volume("metadata", false);
    let degraded = |codes: [&str; 2]| (Status::Degraded, codes.map(str::to_owned).to_vec());
    assert_eq!(readiness(), degraded(["no-status", "no-metrics"]));
    let host = host.file("metadata", "cluster-status.json", "namespaces: [");
    assert_eq!(readiness(), degraded(["status-unreadable", "no-metrics"]));
    let batch = Oxia::derive(&membership(0, 1), &Batch::empty()).unwrap();
    assert_eq!(batch.samples().count(), 0);
    drop(host);
}

#[test]
fn elections_are_counted_from_scrape_to_scrape() {
    let host = coordinator(STEADY, METRICS);
    let elections = || {
        let batch = Oxia::derive(&membership(0, 1), &Batch::empty()).unwrap();
        let counted = batch
            .samples()
            .find(|sample| sample.name == "oxia_derived_elections");
        counted.map(|sample| sample.value)
    };
    assert_eq!(elections(), Some(0.0));
    let _host = host.file("metadata", "cluster-status.json", NO_QUORUM);
    assert_eq!(elections(), Some(13.0));
}

#[test]
fn the_scrape_says_which_servers_answer() {
    let _host = coordinator(STEADY, METRICS);
    assert_eq!(Oxia::wants(), ["oxia_coordinator_node_running_count"]);
    let mut scrape = Builder::new();
    let family = scrape.gauge("oxia_coordinator_node_running_count", "");
    for (server, runs) in [("oxia-0", 1.0), ("oxia-1", 1.0), ("oxia-2", 0.0)] {
        scrape.sample(family, &[("data_server", server)], runs);
    }
    let derived = series(&Oxia::derive(&membership(0, 1), &scrape.build()).unwrap());
    for expected in [
        "oxia_derived_shards_steady  2",
        "oxia_derived_shards_without_quorum  0",
        "oxia_derived_server_running oxia-2 0",
        "oxia_derived_server_shards oxia-2 2",
        "oxia_derived_server_shards_needing_it oxia-0 2",
        "oxia_derived_server_leaders oxia-2 1",
    ] {
        assert!(
            derived.iter().any(|line| line == expected),
            "{expected}: {derived:#?}"
        );
    }
}

#[test]
fn only_the_coordinators_list_is_checked() {
    let host = coordinator(STEADY, METRICS);
    let found = |path: &str, content: &str| {
        let item = Artifact {
            path: path.to_owned(),
            content: content.as_bytes().to_vec(),
        };
        let found = Oxia::validate(&membership(0, 1), &[item]).unwrap();
        found
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .count()
    };
    assert_eq!(found("/etc/oxia/cluster.yaml", CLUSTER), 0);
    assert_eq!(found("/etc/oxia/coordinator.yaml", "server: {}"), 0);
    assert_eq!(
        found(
            "/etc/oxia/cluster.yaml",
            &CLUSTER.replace("- oxia.", "- other.")
        ),
        1
    );
    drop(host);
    let _host = FakeHost::new();
    assert_eq!(found("/etc/oxia/cluster.yaml", ""), 0);
}

#[test]
fn a_server_is_ready_by_the_coordinators_word_too() {
    let host = server(FakeHost::new(), &exposition(STEADY, &ALL), None);
    assert_eq!(readiness(), (Status::Pass, vec![]));
    assert_eq!(
        host.request_lines(),
        ["GET local /ready", "GET local /live", "GET local /metrics"]
    );
    host.forget_answers();
    let unreached = [("oxia-0", false), ("oxia-1", true), ("oxia-2", true)];
    let host = server(host, &exposition(STEADY, &unreached), None);
    assert_eq!(readiness(), (Status::Fail, vec!["not-running".to_owned()]));
    // The coordinator goes: what it said last stands, and is not forgotten with the next look.
    host.forget_answers();
    for _ in 0..2 {
        assert_eq!(
            readiness(),
            (Status::Unknown, vec!["coordinator-silent".to_owned()])
        );
    }
    let host = server(host, &exposition(STEADY, &ALL), None);
    assert_eq!(readiness(), (Status::Pass, vec![]));
    host.forget_answers();
    assert_eq!(
        readiness(),
        (Status::Degraded, vec!["coordinator-silent".to_owned()])
    );
}

#[test]
fn a_restarted_server_measures_its_time_and_asks_for_a_restart_after_a_minute() {
    let text = exposition(STEADY, &ALL);
    let host = server(FakeHost::new(), &text, Some("not-serving"));
    let seconds = |name: &str| {
        let batch = Oxia::derive(&membership(0, 3), &Batch::empty()).unwrap();
        batch
            .samples()
            .find(|sample| sample.name == name)
            .map(|sample| sample.value)
    };
    assert_eq!(readiness(), (Status::Pass, vec![]));
    host.advance(15_600.0);
    assert_eq!(readiness(), (Status::Pass, vec![]));
    assert_eq!(seconds("oxia_derived_not_ready_seconds"), Some(15.6));
    host.advance(44_400.0);
    assert_eq!(
        readiness(),
        (Status::Degraded, vec!["assignments-missing".to_owned()])
    );
    host.forget_answers();
    let _host = server(host, &text, None);
    assert_eq!(readiness(), (Status::Pass, vec![]));
    assert_eq!(seconds("oxia_derived_not_ready_seconds"), Some(0.0));
    assert_eq!(seconds("oxia_derived_last_not_ready_seconds"), Some(60.0));
}

#[test]
fn a_server_that_is_unready_for_another_reason_is_not_taken_for_one_without_shards() {
    let host = server(
        FakeHost::new(),
        &exposition(STEADY, &ALL),
        Some("not-running"),
    );
    assert_eq!(readiness(), (Status::Pass, vec![]));
    host.advance(90_000.0);
    assert_eq!(readiness(), (Status::Pass, vec![]));
}

#[test]
fn the_other_probes_are_the_hosts_own() {
    let _host = FakeHost::new();
    for probe in [Probe::Startup, Probe::Liveness] {
        let verdict = Oxia::evaluate(probe, &membership(0, 3)).unwrap();
        assert_eq!(verdict.status, Status::Pass);
    }
}

#[test]
fn a_coordinator_is_not_held_when_it_stops() {
    let _host = coordinator(NO_QUORUM, METRICS);
    let context = DrainContext {
        reason: DrainReason::RollingUpdate,
        remaining: 9_000,
        elapsed: 0,
        attempt: 0,
        now: membership(0, 1),
    };
    assert_eq!(Oxia::drain(&context).next, Next::Done);
}

#[test]
fn the_plugin_names_itself_and_refuses_bad_settings_when_configured() {
    let _host = FakeHost::new().setting("role", "1");
    assert_eq!(Oxia::describe().name, "oxia");
    assert!(
        Oxia::configure()
            .unwrap_err()
            .message
            .starts_with("setting `role`")
    );
}
