//! TAG's example and plugin, with the stand-in for the gateway: its variables are rendered.

use std::time::Duration;

use outrigger_tests::{Example, Up, eventually};

use crate::pods::{pods, probe};
use crate::stand_in::{self, all_ready, get, lines, port, series, wrote};

const SOON: Duration = Duration::from_secs(30);

/// TAG notices a death after 23 to 31 s.
const NOTICED: Duration = Duration::from_mins(1);

pub(crate) fn example() -> Example {
    stand_in::example("tag", "tigrisdata/tag")
}

async fn members(up: &Up, pod: &str, count: f64) {
    let what = format!("{pod} counts {count} members");
    eventually(SOON, &what, async || {
        let seen = series(up, pod, "tag_members_seen").await?;
        if (seen - count).abs() < 0.5 {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn tag_gets_its_variables_and_becomes_one_cluster() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    for pod in ["tag-0", "tag-1", "tag-2"] {
        members(&up, pod, 3.0).await;
        let cap = series(&up, pod, "tag_disk_cap_bytes").await.unwrap();
        let size = series(&up, pod, "tag_disk_size_bytes").await.unwrap();
        assert!(cap <= size && cap > 0.8 * size, "{cap} of {size}");
        // Of the disk or of the claim of 400Gi, whichever is less; never TAG's default, no cap at all.
        let used = cap.min(0.9 * 400.0 * 1024.0 * 1024.0 * 1024.0).floor();
        let told = format!("\"max_disk_usage\":\"{used}\"");
        wrote(&up, pod, "tag", &told, SOON).await;
    }
    for pod in ["tag-1", "tag-2"] {
        let alone = lines(&up, pod, "tag")
            .into_iter()
            .find(|line| line.contains("\"reached_nodes\":\"1\""));
        assert_eq!(alone, None, "{pod} found more than itself");
    }

    let so_far = series(&up, "tag-0", "go_memstats_alloc_bytes_total").await;
    assert_eq!(so_far, Ok(55_856_936.0), "beside the gauge of that name");

    get(&up, "tag-0", "http", "/bucket/key").await.unwrap();
    get(&up, "tag-0", "http", "/bucket/key").await.unwrap();
    eventually(SOON, "half of the look-ups were hits", async || {
        let ratio = series(&up, "tag-0", "tag_hit_ratio").await?;
        if (ratio - 0.5).abs() < 0.01 {
            Ok(())
        } else {
            Err(ratio.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn a_crashed_tag_stays_in_the_ring_which_is_told_until_it_returns() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    members(&up, "tag-0", 3.0).await;
    up.command(&["kill", "tag-2", "--signal", "STOP"])
        .await
        .success();
    let disagrees = "ring-disagrees".to_owned();
    eventually(NOTICED, "the ring disagrees", async || {
        let (pass, codes) = probe(&up, "tag-0", "ready").await?;
        if pass && codes.contains(&disagrees) {
            Ok(())
        } else {
            Err(format!("{pass} {codes:?}"))
        }
    })
    .await;
    assert_eq!(
        series(&up, "tag-0", "tag_ring_without_members").await,
        Ok(1.0)
    );
    up.command(&["kill", "tag-2", "--signal", "CONT"])
        .await
        .success();
    eventually(SOON, "all agree again", async || {
        let (pass, codes) = probe(&up, "tag-0", "ready").await?;
        if pass && !codes.contains(&disagrees) {
            Ok(())
        } else {
            Err(format!("{pass} {codes:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_number_that_is_raised_and_lowered_takes_no_tag_out() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    let unready = async || {
        let all = pods(&up).await?;
        let old = all
            .iter()
            .filter(|pod| ["tag-0", "tag-1", "tag-2"].contains(&&*pod.name));
        Ok::<_, String>(
            old.filter(|pod| !pod.ready)
                .map(|pod| pod.name.clone())
                .collect::<Vec<_>>(),
        )
    };
    up.command(&["scale", "5"]).await.success();
    eventually(stand_in::READY, "five are ready", async || {
        assert_eq!(unready().await?, Vec::<String>::new());
        let all = pods(&up).await?;
        let ready = all.iter().filter(|pod| pod.ready).count();
        if ready == 5 {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        }
    })
    .await;
    members(&up, "tag-0", 5.0).await;
    up.command(&["scale", "3"]).await.success();
    eventually(stand_in::READY, "three are left", async || {
        assert_eq!(unready().await?, Vec::<String>::new());
        let all = pods(&up).await?;
        if all.len() == 3 {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        }
    })
    .await;
    members(&up, "tag-0", 3.0).await;
}

#[tokio::test]
async fn a_restarted_tag_finds_its_disk_unlocked_and_drops_no_request() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    let http = port(&up, "tag-2", "http").await.unwrap().within(SOON);
    let request = http.get("/bucket/slow?ms=4000");
    let restart = async {
        eventually(SOON, "the request is in flight", async || {
            let text = get(&up, "tag-2", "http", "/metrics").await?.text();
            if text.contains("tag_inflight_requests 1") {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await;
        up.command(&["restart", "tag-2"]).await.success();
    };
    let (answer, ()) = tokio::join!(request, restart);
    answer.unwrap().expect_status(200).unwrap();
    let back = all_ready(&up, 3).await;
    assert!(back.iter().all(|pod| pod.restarts == 0), "{back:?}");
    members(&up, "tag-0", 3.0).await;
    let told = lines(&up, "tag-2", "outrigger");
    let waited = told
        .iter()
        .any(|line| line.contains("waits for 1 request in flight"));
    assert!(waited, "{told:#?}");
}

#[tokio::test]
async fn a_cap_beyond_the_disk_is_refused_and_no_tag_starts_with_it() {
    let example = example();
    example.edit(
        "outrigger.yaml",
        "      disk-share: 90",
        "      disk-share: 90\n      disk-cap: 900Ti",
    );
    let up = Up::start(example.path(), &["--replicas", "1"]).await;
    wrote(
        &up,
        "tag-0",
        "outrigger",
        "`900Ti` is more than",
        stand_in::READY,
    )
    .await;
    assert_eq!(lines(&up, "tag-0", "tag"), Vec::<String>::new());
    example.edit("outrigger.yaml", "disk-cap: 900Ti", "disk-cap: 1Gi");
    all_ready(&up, 1).await;
    wrote(
        &up,
        "tag-0",
        "tag",
        "\"max_disk_usage\":\"1073741824\"",
        SOON,
    )
    .await;
}

#[tokio::test]
async fn a_variable_that_tag_would_misread_is_refused_by_its_name_and_what_runs_stands() {
    let example = example();
    let up = Up::start(example.path(), &["--replicas", "1"]).await;
    all_ready(&up, 1).await;
    example.edit(
        "outrigger.yaml",
        "TAG_CACHE_NODE_ID: \"{{ self.name }}\"",
        "TAG_CACHE_NODE_ID: \"\"",
    );
    let refused = [
        "spec.env.TAG_CACHE_NODE_ID: the node ID is empty beside TAG_CACHE_SEED_NODES",
        "spec.env.TAG_CACHE_MAX_DISK_USAGE: `400Gi` is no number of bytes",
    ];
    wrote(&up, "tag-0", "outrigger", refused[0], SOON).await;
    let cap = "{{- [most, plugin[\"disk-cap\"] | default(most) | int] | min -}}";
    example.edit("outrigger.yaml", cap, "400Gi");
    wrote(&up, "tag-0", "outrigger", refused[1], SOON).await;
    let pods = all_ready(&up, 1).await;
    assert_eq!(pods[0].restarts, 0);
    let starts = lines(&up, "tag-0", "tag");
    let starts = starts.iter().filter(|line| line.contains("max_disk_usage"));
    assert_eq!(starts.count(), 1, "nobody was restarted with it");
}
