//! From three replicas to five and back: configuration follows, restarts come in order, data stays.

use std::fs;
use std::time::Duration;

use outrigger_tests::{Example, Up, eventually};
use serde_json::Value;

use crate::pods::{READY, agdb, all_ready, told};

#[tokio::test]
async fn three_replicas_become_five_and_three_again_and_keep_their_data() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;
    let client = agdb(&replicas[0]).login().await.unwrap();
    client.create("films").await.unwrap();
    client.insert("films", "alien", "1979").await.unwrap();

    up.command(&["scale", "5"]).await.success();
    let five = all_ready(&up, 5).await;
    told(
        &up,
        "agdb-0",
        "5 replicas are wanted",
        Duration::from_secs(5),
    )
    .await;
    // The second restart ends the quorum of three, says so, and waits for nobody: those who could bring it
    // back wait for this very restart.
    let steps = drains(&up, &["agdb-0", "agdb-1", "agdb-2"]).await;
    let told = |text: &str| steps.iter().filter(|step| step.contains(text)).count();
    // One that runs again before its plugin has looked is told by its sidecar.
    let ended = told("has stopped") + told("has ended, and runs again");
    assert_eq!(ended, 3, "{steps:#?}");
    assert_eq!(told("waits: "), 0, "{steps:#?}");
    assert_eq!(
        told("stops although the 3 members that agdb still runs with change to 5"),
        1,
        "{steps:#?}"
    );
    for replica in &five {
        let reader = client.moved_to(&replica.address);
        eventually(
            Duration::from_mins(1),
            &format!("{} knows five members", replica.name),
            async || {
                let members = reader.cluster().await.map_err(|error| error.to_string())?;
                if members.len() == 5 && members.iter().all(|member| member.status) {
                    Ok(())
                } else {
                    Err(format!("{members:?}"))
                }
            },
        )
        .await;
    }
    // Tokens of before the newcomer joined are not known to it.
    eventually(
        READY,
        "the newcomer gives what was written before it came",
        async || {
            let newcomer = agdb(&five[4])
                .login()
                .await
                .map_err(|error| error.to_string())?;
            newcomer
                .select("films", "alien")
                .await
                .map_err(|error| error.to_string())
        },
    )
    .await;

    up.command(&["scale", "3"]).await.success();
    let three = all_ready(&up, 3).await;
    for replica in &three {
        let reader = client.moved_to(&replica.address);
        eventually(
            Duration::from_mins(1),
            &format!("{} knows three members", replica.name),
            async || {
                let members = reader.cluster().await.map_err(|error| error.to_string())?;
                if members.len() == 3 {
                    Ok(())
                } else {
                    Err(format!("{members:?}"))
                }
            },
        )
        .await;
    }
    // The last one to restart finds its leader within a heartbeat.
    let film = eventually(READY, "three replicas give what five had", async || {
        let server = agdb(&three[0])
            .login()
            .await
            .map_err(|error| error.to_string())?;
        server
            .select("films", "alien")
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(film, "1979");

    // The claims of the replicas that went are kept, as a StatefulSet keeps them.
    let mut claims = Vec::new();
    collect(up.state(), &mut claims);
    assert!(
        claims.iter().any(|name| name.contains("data-agdb-4")),
        "{claims:?}"
    );
}

/// What the drains of these replicas did, from their timelines.
async fn drains(up: &Up, pods: &[&str]) -> Vec<String> {
    let mut steps = Vec::new();
    for pod in pods {
        let answer = up.sidecar(pod).get("/timeline").await.unwrap();
        let timeline: Value = answer.json();
        let entries = timeline["entries"].as_array().unwrap();
        let drains = entries.iter().filter(|entry| entry["kind"] == "drain");
        steps.extend(drains.map(|entry| format!("{pod}: {}", entry["message"])));
    }
    steps
}

fn collect(folder: &std::path::Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), names);
        }
    }
}
