//! Wrong input is refused before anything runs, all of it at once, with what to do.

use std::time::Duration;

use outrigger_tests::{Example, Up, run};

use crate::pods::told;

#[tokio::test]
async fn everything_wrong_with_a_profile_is_said_at_once_with_its_line() {
    let example = Example::copy("agdb");
    example.edit(
        "outrigger.yaml",
        "cluster-reasons: gate",
        "cluster-raisons: gate",
    );
    example.edit("outrigger.yaml", "container: agdb", "container: 5");
    let output = run(&["up", example.path().to_str().unwrap()]).await;
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains("cluster-raisons"), "{output}");
    assert!(
        output.stderr.contains("did you mean `cluster-reasons`"),
        "{output}"
    );
    assert!(output.stderr.contains("workload.container"), "{output}");
    assert!(output.stderr.contains("outrigger.yaml:"), "{output}");
}

/// Edits the template, starts, and waits until the first replica says why it does not start.
async fn refused_with(old: &str, new: &str, said: &str) {
    let example = Example::copy("agdb");
    example.edit("agdb_server.yaml", old, new);
    let up = Up::start(example.path(), &[]).await;
    outrigger_tests::eventually(Duration::from_secs(30), "the sidecar listens", async || {
        if up.sidecar_sockets().len() >= 3 {
            Ok(())
        } else {
            Err(up.stderr())
        }
    })
    .await;
    told(&up, "agdb-0", said, Duration::from_secs(30)).await;
    let pods = crate::pods::pods(&up).await.expect("up answers");
    assert!(
        pods.iter().all(|pod| !pod.ready),
        "agdb never started: {pods:?}"
    );
}

#[tokio::test]
async fn an_empty_cluster_is_refused_before_agdb_starts_alone() {
    refused_with("cluster: {{ plugin.cluster }}", "cluster: []", "cluster").await;
}

#[tokio::test]
async fn an_address_at_another_ordinals_place_is_refused() {
    refused_with(
        "address: {{ plugin.address }}",
        "address: {{ plugin.address | replace(\"agdb-0\", \"agdb-1\") }}",
        "address",
    )
    .await;
}

#[tokio::test]
async fn a_key_that_agdb_does_not_know_is_refused_with_the_one_that_was_meant() {
    refused_with("log_level: INFO", "log_levle: INFO", "log_level").await;
}
