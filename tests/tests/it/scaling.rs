//! From three replicas to five and back: configuration follows, restarts come in order, data stays.

use std::fs;
use std::time::Duration;

use outrigger_tests::{Example, Up, eventually};

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
    let server = agdb(&three[0]).login().await.unwrap();
    assert_eq!(server.select("films", "alien").await.unwrap(), "1979");

    // The claims of the replicas that went are kept, as a StatefulSet keeps them.
    let mut claims = Vec::new();
    collect(up.state(), &mut claims);
    assert!(
        claims.iter().any(|name| name.contains("data-agdb-4")),
        "{claims:?}"
    );
}

fn collect(folder: &std::path::Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), names);
        }
    }
}
