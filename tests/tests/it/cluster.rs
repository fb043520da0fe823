//! Three replicas become one cluster, survive what happens to clusters, and stop.

use std::time::Duration;

use outrigger_tests::{Agdb, Example, Up, eventually, throughout};
use tokio::time::Instant;

use crate::pods::{READY, agdb, all_ready, leader, pods, probe, told};

/// Waits until a replica gives what was written: the film `alien` of 1979.
async fn gives_alien(reader: &Agdb, replica: &str) {
    eventually(
        READY,
        &format!("{replica} gives what was written"),
        async || match reader.select("films", "alien").await {
            Ok(value) if value == "1979" => Ok(()),
            Ok(other) => Err(other),
            Err(error) => Err(error.to_string()),
        },
    )
    .await;
}

#[tokio::test]
async fn three_replicas_become_one_cluster_and_what_one_takes_all_give() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;

    let writer = agdb(&replicas[0]).login().await.unwrap();
    writer.create("films").await.unwrap();
    writer.insert("films", "alien", "1979").await.unwrap();

    for replica in &replicas {
        gives_alien(&writer.moved_to(&replica.address), &replica.name).await;
    }
}

#[tokio::test]
async fn a_killed_leader_is_missed_replaced_and_comes_back() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;
    let old = leader(&replicas).name.clone();
    let other = replicas
        .iter()
        .find(|pod| pod.name != old)
        .unwrap()
        .name
        .clone();

    up.command(&["kill", &old]).await.success();

    eventually(
        Duration::from_secs(10),
        "the killed leader was told not ready",
        async || {
            let events = up.events();
            let unready = events.iter().any(|event| {
                event["event"] == "pod"
                    && event["pod"] == old.as_str()
                    && event["phase"] == "not-ready"
            });
            if unready {
                Ok(())
            } else {
                Err(format!("{} events", events.len()))
            }
        },
    )
    .await;
    told(&up, &other, "no-leader", Duration::from_secs(15)).await;
    let after = all_ready(&up, 3).await;
    let restarted = after.iter().find(|pod| pod.name == old).unwrap();
    assert_eq!(restarted.restarts, 1, "{after:?}");
}

#[tokio::test]
async fn a_survivor_without_a_majority_says_so_and_leads_nothing() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;
    let survivor = leader(&replicas).clone();
    let others: Vec<&str> = replicas
        .iter()
        .map(|pod| pod.name.as_str())
        .filter(|name| *name != survivor.name)
        .collect();

    // Stopped, not killed: a killed one would be started again at once.
    for other in &others {
        up.command(&["kill", other, "--signal", "STOP"])
            .await
            .success();
    }

    eventually(
        Duration::from_secs(5),
        "the survivor's status says no-quorum",
        async || {
            let status = up
                .sidecar(&survivor.name)
                .get("/status")
                .await
                .map_err(|e| e.to_string())?;
            let text = status.text();
            let role = status.json::<serde_json::Value>()["role"].clone();
            if text.contains("no-quorum") && role.is_null() {
                Ok(())
            } else {
                Err(text)
            }
        },
    )
    .await;
    told(&up, &survivor.name, "no-quorum", Duration::from_secs(5)).await;
    let metrics = up
        .sidecar(&survivor.name)
        .get("/metrics")
        .await
        .unwrap()
        .text();
    let quorum = metrics
        .lines()
        .find(|line| line.starts_with("agdb_quorum"))
        .unwrap_or_default();
    assert!(
        quorum.ends_with(" 0") || quorum.ends_with(" 0.0"),
        "{quorum}\n{metrics}"
    );

    // agdb itself sees nothing wrong, and neither does the gate take a ready replica out.
    let server = agdb(&survivor);
    assert!(server.is_up().await);
    let members = server.cluster().await.unwrap();
    assert!(members.iter().any(|member| member.leader), "{members:?}");
    let (pass, codes) = probe(&up, &survivor.name, "ready").await.unwrap();
    assert!(
        pass,
        "cluster-reasons: gate leaves ready replicas in service, but {codes:?}"
    );

    for other in &others {
        up.command(&["kill", other, "--signal", "CONT"])
            .await
            .success();
    }
    all_ready(&up, 3).await;
}

#[tokio::test]
async fn with_cluster_reasons_always_a_survivor_turns_unready_and_no_starter_gets_ready() {
    let example = Example::copy("agdb");
    example.edit(
        "outrigger.yaml",
        "cluster-reasons: gate",
        "cluster-reasons: always",
    );
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;
    let survivor = leader(&replicas).name.clone();
    let others: Vec<String> = replicas
        .iter()
        .map(|pod| pod.name.clone())
        .filter(|name| *name != survivor)
        .collect();

    up.command(&["kill", &others[0], "--signal", "STOP"])
        .await
        .success();
    up.command(&["kill", &others[1], "--signal", "STOP"])
        .await
        .success();
    eventually(
        Duration::from_secs(10),
        "the survivor is not ready",
        async || {
            let (pass, codes) = probe(&up, &survivor, "ready").await?;
            if pass {
                Err(format!("{codes:?}"))
            } else {
                Ok(())
            }
        },
    )
    .await;

    // The survivor is restarted while nobody else is there: it must not get ready alone.
    up.command(&["kill", &survivor]).await.success();
    throughout(
        Duration::from_secs(5),
        "the restarted survivor is not ready alone",
        async || {
            let (pass, codes) = probe(&up, &survivor, "ready").await?;
            if pass {
                Err(format!("ready: {codes:?}"))
            } else {
                Ok(())
            }
        },
    )
    .await;

    for other in &others {
        up.command(&["kill", other, "--signal", "CONT"])
            .await
            .success();
    }
    all_ready(&up, 3).await;
}

#[tokio::test]
async fn a_stopped_replica_is_gone_within_two_seconds() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;
    let follower = replicas
        .iter()
        .find(|pod| pod.role.as_deref() == Some("follower"))
        .unwrap();

    up.command(&["restart", &follower.name]).await.success();
    let back = all_ready(&up, 3).await;
    assert_eq!(back.len(), 3);
    let stopped = up
        .events()
        .into_iter()
        .find(|event| event["event"] == "pod-stopped" && event["pod"] == follower.name.as_str())
        .unwrap_or_else(|| panic!("no stop of {} among {:#?}", follower.name, up.events()));
    let took = stopped["took-ms"].as_u64().unwrap();
    assert!(
        took < 2_000,
        "its grace period is 30 s and it took {took} ms"
    );
}

#[tokio::test]
async fn a_roll_restarts_all_with_the_leader_last_and_no_request_fails() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;
    let first_leader = leader(&replicas).name.clone();
    let client = agdb(&replicas[0]).login().await.unwrap();
    client.create("kept").await.unwrap();

    let roll = up.command(&["roll"]);
    let requests = async {
        // One election is the longest outage that a retry must bridge.
        const PATIENCE: Duration = Duration::from_secs(5);
        let mut written = 0_u32;
        loop {
            let begun = Instant::now();
            let mut last = String::new();
            loop {
                assert!(
                    begun.elapsed() < PATIENCE,
                    "write {written} failed for {PATIENCE:?}: {last}"
                );
                let ready: Vec<_> = match pods(&up).await {
                    Ok(pods) => pods.into_iter().filter(|pod| pod.ready).collect(),
                    Err(error) => {
                        last = error;
                        continue;
                    }
                };
                assert!(ready.len() >= 2, "only {ready:?} are ready");
                let Some(target) = ready.get(written as usize % ready.len()) else {
                    continue;
                };
                let server = client
                    .moved_to(&target.address)
                    .within(Duration::from_secs(2));
                let alias = format!("n{written}");
                match server.insert("kept", &alias, "1").await {
                    Ok(()) => break,
                    Err(error) => last = format!("{}: {error}", target.name),
                }
            }
            written += 1;
            if up
                .events()
                .iter()
                .any(|event| event["event"] == "roll-done")
            {
                return written;
            }
        }
    };
    let (output, written) = tokio::join!(roll, requests);
    output.success();
    assert!(written > 0);

    let after = all_ready(&up, 3).await;
    let order: Vec<String> = up
        .events()
        .iter()
        .filter(|event| event["event"] == "pod-stopped")
        .map(|event| event["pod"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(order.len(), 3, "each was restarted once: {order:?}");
    assert_eq!(order.last(), Some(&first_leader), "{order:?}");
    let reader = client.moved_to(&after[0].address);
    for number in 0..written {
        reader.select("kept", &format!("n{number}")).await.unwrap();
    }
}

#[tokio::test]
async fn ctrl_c_drains_and_the_next_run_finds_its_data() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;
    let writer = agdb(&replicas[0]).login().await.unwrap();
    writer.create("films").await.unwrap();
    writer.insert("films", "alien", "1979").await.unwrap();

    let (status, state) = up.stop().await;
    assert!(status.code().is_some(), "{status}");

    let up = Up::start_with(example.path(), state, &[]).await;
    let replicas = all_ready(&up, 3).await;
    let reader = agdb(&replicas[1]).login().await.unwrap();
    gives_alien(&reader, &replicas[1].name).await;
}

#[tokio::test]
async fn exec_runs_when_all_are_ready_and_gives_its_status() {
    let example = Example::copy("agdb");
    let mut up = Up::start(example.path(), &["--exec", "exit 7"]).await;
    let status = up.ended(READY * 2).await;
    assert_eq!(status.code(), Some(7), "{}", up.stderr());
}

#[tokio::test]
async fn plain_mode_forms_the_same_cluster_on_loopback_addresses() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &["--plain"]).await;
    let replicas = all_ready(&up, 3).await;
    let writer = agdb(&replicas[0]).login().await.unwrap();
    writer.create("films").await.unwrap();
    let others = writer.moved_to(&replicas[2].address);
    eventually(READY, "the database is on another replica", async || {
        let seen = others
            .databases()
            .await
            .map_err(|error| error.to_string())?;
        if seen.iter().any(|name| name.contains("films")) {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await;
}
