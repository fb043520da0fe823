//! What is edited while replicas run takes effect without a new pod, or is refused and said so.

use std::time::Duration;

use outrigger_tests::{Example, Up, eventually};
use serde_json::Value;

use crate::pods::{all_ready, told};

const SOON: Duration = Duration::from_secs(20);

async fn rendered(up: &Up, pod: &str) -> Result<String, String> {
    let answer = up
        .sidecar(pod)
        .get("/status")
        .await
        .map_err(|error| error.to_string())?;
    let status: Value = answer.json();
    Ok(status["files"].to_string())
}

#[tokio::test]
async fn an_edited_template_is_rendered_and_the_workload_restarted_one_after_the_other() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    let before = rendered(&up, "agdb-0").await.unwrap();

    example.edit("agdb_server.yaml", "log_level: INFO", "log_level: DEBUG");

    eventually(SOON, "agdb-0 has a new set of files", async || {
        let now = rendered(&up, "agdb-0").await?;
        if now == before { Err(now) } else { Ok(()) }
    })
    .await;
    eventually(
        Duration::from_secs(90),
        "every workload was restarted once",
        async || {
            let pods = crate::pods::pods(&up).await?;
            if pods.iter().all(|pod| pod.restarts == 1 && pod.ready) {
                Ok(())
            } else {
                Err(format!("{pods:?}"))
            }
        },
    )
    .await;
    all_ready(&up, 3).await;
}

#[tokio::test]
async fn a_broken_edit_is_refused_and_the_old_file_stands() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, 3).await;
    let before = rendered(&up, "agdb-0").await.unwrap();

    example.edit(
        "agdb_server.yaml",
        "log_level: INFO",
        "log_level: {{ self.nonsense }}",
    );
    told(&up, "agdb-0", "nonsense", SOON).await;
    let status = up.sidecar("agdb-0").get("/status").await.unwrap().text();
    assert!(status.contains("nonsense"), "{status}");
    let now = rendered(&up, "agdb-0").await.unwrap();
    let current = |text: &str| serde_json::from_str::<Value>(text).unwrap()["set"].clone();
    assert_eq!(current(&now), current(&before), "{now}");
    let pods = crate::pods::pods(&up).await.unwrap();
    assert!(
        pods.iter().all(|pod| pod.ready && pod.restarts == 0),
        "{pods:?}"
    );

    // A broken profile likewise.
    example.edit(
        "outrigger.yaml",
        "cluster-reasons: gate",
        "cluster-raisons: gate",
    );
    told(&up, "agdb-1", "cluster-raisons", SOON).await;
    assert!(
        crate::pods::pods(&up)
            .await
            .unwrap()
            .iter()
            .all(|pod| pod.ready)
    );
}
