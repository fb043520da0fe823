//! Oxia's example and plugin, with stand-ins for its servers and the coordinator: two sets that know of
//! each other.

use std::time::Duration;

use outrigger_tests::{Example, Up, eventually, stand_in as program};

use crate::stand_in::{all_ready, series, wrote};

/// Servers and the coordinator.
const PODS: usize = 4;

/// Processes that look at each other every two to five seconds.
const SOON: Duration = Duration::from_secs(40);

pub(crate) fn example() -> Example {
    let example = Example::copy("oxia");
    let program = program().display();
    example.write(
        "local.yaml",
        format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: Local\nmetadata: {{name: oxia}}\nspec:\n  programs:\n    \
             - image: oxia/oxia\n      command: [{program}, oxia]\n"
        ),
    );
    for part in ["server", "coordinator"] {
        let set = format!("{part}/statefulset.yaml");
        example.edit(&set, "command: [oxia, ", "args: [");
    }
    example.edit("server/outrigger.yaml", "notice: 5s", "notice: 1s");
    example
}

async fn is(up: &Up, name: &str, expected: f64) {
    eventually(SOON, &format!("{name} is {expected}"), async || {
        let seen = series(up, "oxia-coordinator-0", name).await?;
        if (seen - expected).abs() < 0.5 {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    })
    .await;
}

async fn says(up: &Up, pod: &str, pass: bool, code: &str) {
    let what = format!("the readiness of {pod} is {pass} with {code}");
    eventually(SOON, &what, async || {
        let answer = up.sidecar(pod).get("/ready").await;
        let answer = answer.map_err(|error| error.to_string())?;
        let told = answer.text();
        if told.contains(&format!("\"pass\":{pass}")) && told.contains(code) {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await;
}

async fn send(up: &Up, signal: &str) {
    for pod in ["oxia-1", "oxia-2"] {
        let sent = up.command(&["kill", "--signal", signal, pod]).await;
        sent.success();
    }
}

#[tokio::test]
async fn without_a_quorum_the_server_that_is_left_stays_in_service_and_says_why() {
    let example = example();
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, PODS).await;
    is(&up, "oxia_derived_shards_steady", 2.0).await;
    is(&up, "oxia_derived_server_shards{server=\"oxia-2\"}", 2.0).await;
    // Held still rather than killed: nobody starts them again before their liveness fails.
    send(&up, "STOP").await;
    is(&up, "oxia_derived_shards_without_quorum", 2.0).await;
    says(&up, "oxia-0", true, "no-quorum").await;
    says(&up, "oxia-coordinator-0", true, "servers-unavailable").await;
    send(&up, "CONT").await;
    is(&up, "oxia_derived_shards_without_quorum", 0.0).await;
    all_ready(&up, PODS).await;
}

#[tokio::test]
async fn a_server_that_is_scaled_away_goes_when_no_ensemble_names_it() {
    let example = example();
    example.edit("server/statefulset.yaml", "replicas: 3", "replicas: 4");
    let up = Up::start(example.path(), &[]).await;
    all_ready(&up, PODS + 1).await;
    is(&up, "oxia_derived_server_shards{server=\"oxia-3\"}", 1.0).await;
    up.command(&["scale", "--statefulset", "oxia", "3"])
        .await
        .success();
    wrote(
        &up,
        "oxia-3",
        "outrigger",
        "no ensemble names this server any more",
        SOON,
    )
    .await;
    all_ready(&up, PODS).await;
    is(&up, "oxia_derived_shards_steady", 2.0).await;
}
