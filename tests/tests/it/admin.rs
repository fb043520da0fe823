//! What a sidecar does when it is asked to on its own socket.

use outrigger_tests::{Answer, Example, Http, Up, eventually};
use serde_json::{Value, json};

use crate::pods::{READY, all_ready, told};

async fn post(sidecar: &Http, path: &str, body: &Value) -> (u16, Value) {
    let answer: Answer = sidecar.post(path, body).await.unwrap();
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_sidecar_is_swapped_reloaded_told_what_to_log_and_drained_through_its_socket() {
    let example = Example::copy("agdb");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;
    let follower = replicas
        .iter()
        .find(|pod| pod.role.as_deref() == Some("follower"))
        .unwrap();
    let name = &follower.name;
    let sidecar = up.sidecar(name).within(READY);

    // The log's filter, there and back.
    let (status, log) = post(&sidecar, "/log", &json!({"filter": "debug"})).await;
    assert_eq!((status, &log["filter"]), (200, &json!("debug")), "{log}");
    told(&up, name, "the log filter is now `debug`", READY).await;
    let (status, refused) = post(&sidecar, "/log", &json!({"filter": "a=loud"})).await;
    assert_eq!(status, 400, "{refused}");
    assert_eq!(refused["error"], "`a=loud` is no log filter");
    assert!(refused["hint"].is_string(), "{refused}");
    let now: Value = sidecar.get("/log").await.unwrap().json();
    assert_eq!(now, json!({"filter": "debug"}));
    post(&sidecar, "/log", &json!({"filter": log["before"]})).await;

    // The built-in plugin is swapped for itself.
    let (status, swapped) = post(&sidecar, "/swap", &json!({})).await;
    assert_eq!(status, 200, "{swapped}");
    let told_of_swap = swapped["told"].as_str().unwrap();
    assert!(
        told_of_swap.starts_with("generation 2 of the plugin agdb "),
        "{swapped}"
    );

    // An edit is asked for at once, right or wrong.
    let (status, same) = post(&sidecar, "/reload", &json!({})).await;
    assert_eq!((status, &same["set"]), (200, &json!(1)), "{same}");
    example.edit("outrigger.yaml", "lag-limit: 100", "lag-limit: many");
    let refused = eventually(READY, "the edit is refused", async || {
        let (status, body) = post(&sidecar, "/reload", &json!({})).await;
        if status == 422 { Ok(body) } else { Err(body) }
    })
    .await;
    assert_eq!(
        refused,
        json!({"error": "error: outrigger.yaml:15: spec.plugin.settings.lag-limit: must be integer, not string"})
    );
    example.edit("outrigger.yaml", "lag-limit: many", "lag-limit: 100");

    // A drain takes the replica out of service and stops its workload, which `up` starts again.
    let (status, drained) = post(&sidecar, "/drain", &json!({"reason": "boredom"})).await;
    assert_eq!(status, 400, "{drained}");
    let (status, drained) = post(&sidecar, "/drain", &json!({"reason": "manual"})).await;
    assert_eq!(status, 200, "{drained}");
    assert_eq!(drained["reason"], "manual", "{drained}");
    assert_eq!(drained["complete"], true, "{drained}");
    told(&up, name, "the drained workload has ended", READY).await;
    let back = all_ready(&up, 3).await;
    let again = back.iter().find(|pod| pod.name == *name).unwrap();
    assert_eq!(again.restarts, 1, "{back:?}");
    told(&up, name, "this replica may serve again", READY).await;
}
