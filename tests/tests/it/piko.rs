//! Piko's example and plugin, with the stand-in for its servers.

use std::time::Duration;

use outrigger_tests::{Example, Up, eventually, throughout};
use serde_json::Value;

use crate::pods::{pods, probe};
use crate::stand_in::{self, all_ready, exposition, get, lines, port, series, wrote};

const SOON: Duration = Duration::from_secs(30);

pub(crate) fn example() -> Example {
    stand_in::example("piko", "ghcr.io/andydunstall/piko")
}

/// The IDs that a server counts as active.
async fn active(up: &Up, pod: &str) -> Result<Vec<String>, String> {
    let nodes: Value = get(up, pod, "admin", "/status/cluster/nodes").await?.json();
    let nodes = nodes.as_array().cloned().unwrap_or_default();
    let active = nodes.iter().filter(|node| node["status"] == "active");
    Ok(active
        .filter_map(|node| node["id"].as_str().map(str::to_owned))
        .collect())
}

async fn one_cluster_of_three(up: &Up) {
    for pod in ["piko-0", "piko-1", "piko-2"] {
        let what = format!("{pod} counts three members");
        eventually(SOON, &what, async || {
            let ids = active(up, pod).await?;
            if ids.len() == 3 {
                Ok(())
            } else {
                Err(format!("{ids:?}"))
            }
        })
        .await;
    }
}

/// What readiness says: whether it passes, and the codes.
async fn ready_with(up: &Up, pod: &str, pass: bool, code: &str) {
    let what = format!(
        "{pod} is {}ready with `{code}`",
        if pass { "" } else { "not " }
    );
    eventually(SOON, &what, async || {
        let (passes, codes) = probe(up, pod, "ready").await?;
        if passes == pass && codes.iter().any(|one| one == code) {
            Ok(())
        } else {
            Err(format!("{passes} {codes:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn one_piko_starts_first_and_the_others_join_it() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    one_cluster_of_three(&up).await;
    for pod in ["piko-1", "piko-2"] {
        let alone = lines(&up, pod, "piko")
            .into_iter()
            .find(|line| line.contains("failed to join cluster"));
        assert_eq!(alone, None, "{pod} found somebody at once");
    }
    for pod in ["piko-0", "piko-1", "piko-2"] {
        assert_eq!(
            series(&up, pod, "piko_members_seen").await,
            Ok(3.0),
            "{pod}"
        );
        assert_eq!(series(&up, pod, "piko_split_brain").await, Ok(0.0), "{pod}");
    }
    // Node IDs are new at each start; the series of a replica go on under its name.
    let text = exposition(&up, "piko-0").await.unwrap();
    let mut labels: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("piko_gossip_entries{"))
        .filter_map(|line| line.split("node_id=\"").nth(1)?.split('"').next())
        .collect();
    labels.sort_unstable();
    assert_eq!(labels, ["piko-0", "piko-1", "piko-2"]);
}

#[tokio::test]
async fn a_first_piko_that_comes_back_joins_those_that_run() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    let before = active(&up, "piko-1").await.unwrap();
    up.command(&["restart", "piko-0"]).await.success();
    all_ready(&up, 3).await;
    one_cluster_of_three(&up).await;
    let after = active(&up, "piko-1").await.unwrap();
    let kept = before.iter().filter(|id| after.contains(id)).count();
    assert_eq!(kept, 2, "its ID alone is new: {before:?} {after:?}");
    assert!(
        after.iter().any(|id| id.starts_with("piko-0-")),
        "{after:?}"
    );
}

#[tokio::test]
async fn a_split_cuts_off_the_smaller_side_alone_and_a_restart_mends_it() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    one_cluster_of_three(&up).await;
    let admin = port(&up, "piko-2", "admin").await.unwrap();
    admin.post_empty("/stand-in/split").await.unwrap();

    ready_with(&up, "piko-2", false, "alone").await;
    for pod in ["piko-0", "piko-1"] {
        ready_with(&up, pod, true, "split-brain").await;
    }
    assert_eq!(series(&up, "piko-0", "piko_split_brain").await, Ok(1.0));
    let two_are_ready = async || {
        let all = pods(&up).await?;
        if all.iter().filter(|pod| pod.ready).count() == 2 {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        }
    };
    eventually(SOON, "the smaller side has left service", two_are_ready).await;
    let what = "the larger side stays in service";
    throughout(Duration::from_secs(5), what, two_are_ready).await;

    up.command(&["restart", "piko-2"]).await.success();
    all_ready(&up, 3).await;
    one_cluster_of_three(&up).await;
}

#[tokio::test]
async fn a_piko_that_was_killed_degrades_the_others_and_they_stay_ready() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    one_cluster_of_three(&up).await;
    up.command(&["kill", "piko-1", "--signal", "STOP"])
        .await
        .success();
    ready_with(&up, "piko-0", true, "unreachable").await;
    up.command(&["kill", "piko-1", "--signal", "CONT"])
        .await
        .success();
    eventually(SOON, "piko-0 has nothing to tell any more", async || {
        let (pass, codes) = probe(&up, "piko-0", "ready").await?;
        if pass && codes.is_empty() {
            Ok(())
        } else {
            Err(format!("{codes:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_in_flight_ends_before_its_piko_stops() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    let proxy = port(&up, "piko-2", "proxy").await.unwrap();
    let long = proxy.within(SOON);
    let request = long.get("/?ms=5000");
    let restart = async {
        eventually(SOON, "the request is in flight", async || {
            let text = get(&up, "piko-2", "admin", "/metrics").await?.text();
            if text.contains("piko_proxy_requests_in_flight 1") {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await;
        up.command(&["restart", "piko-2"]).await.success();
    };
    let (answer, ()) = tokio::join!(request, restart);
    assert_eq!(
        answer.unwrap().expect_status(200).unwrap().text(),
        "hello\n"
    );
    let told = lines(&up, "piko-2", "outrigger");
    for text in [
        "waits for 1 request in flight",
        "no request is in flight any more",
    ] {
        assert!(
            told.iter().any(|line| line.contains(text)),
            "{text}: {told:#?}"
        );
    }
}

#[tokio::test]
async fn a_fixed_node_id_is_refused_while_the_old_file_stands() {
    let example = example();
    let up = Up::start(example.path(), &["--replicas", "2"]).await;
    all_ready(&up, 2).await;
    example.edit(
        "server.yaml",
        "node_id_prefix: \"{{ self.name }}-\"",
        "node_id: \"{{ self.name }}\"",
    );
    wrote(
        &up,
        "piko-0",
        "outrigger",
        "the node ID `piko-0` is fixed",
        SOON,
    )
    .await;
    let all = pods(&up).await.unwrap();
    let unharmed = all.iter().all(|pod| pod.ready && pod.restarts == 0);
    assert!(unharmed, "{all:?}");
    let id = active(&up, "piko-0").await.unwrap().remove(0);
    assert!(id.starts_with("piko-0-"), "{id}");
}

#[tokio::test]
async fn piko_runs_from_the_profile_alone() {
    let example = example();
    let profile = std::fs::read_to_string(example.file("outrigger.yaml")).unwrap();
    let begin = profile.find("  plugin:").unwrap();
    let end = profile.find("  discovery:").unwrap();
    example.write(
        "outrigger.yaml",
        [&profile[..begin], &profile[end..]].concat(),
    );
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    one_cluster_of_three(&up).await;
}
