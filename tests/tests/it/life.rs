//! A life of each workload: started, scaled, one killed, rolled, stopped; and what its sidecars say of it, as the
//! examples' `LIFE.md` tell.

use std::time::Duration;

use outrigger_tests::{Example, Life, Up, all_ready, eventually, lines, wrote};

use crate::{oxia, piko, tag};

/// For anything that replicas come to.
const SOON: Duration = Duration::from_mins(2);

/// What is done in a life.
struct Steps<'a> {
    /// The StatefulSet that is scaled and rolled.
    set: &'a str,
    /// How many replicas it has.
    replicas: usize,
    /// To how many it is scaled, before it is scaled back.
    more: usize,
    /// Replicas of other `StatefulSet`s.
    others: usize,
    /// Whether those that run restart, one after the other, when their number changes.
    restart: bool,
}

async fn is_as_told(name: &str, example: &Example, steps: Steps<'_>) {
    let mut up = Up::start(example.path(), &[]).await;
    let set = format!("--statefulset={}", steps.set);
    all_ready(&up, steps.replicas + steps.others, SOON).await;
    for (times, count) in [(1, steps.more), (2, steps.replicas)] {
        let scaled = up.command(&["scale", &set, &count.to_string()]).await;
        scaled.success();
        if steps.restart {
            restarted(&up, &steps, times).await;
        }
        all_ready(&up, count + steps.others, SOON).await;
    }
    let killed = format!("{}-1", steps.set);
    up.command(&["kill", &killed]).await.success();
    wrote(&up, &killed, "outrigger", "another process", SOON).await;
    all_ready(&up, steps.replicas + steps.others, SOON).await;
    up.command(&["roll", &set]).await.success();
    up.interrupt();
    assert!(up.ended(SOON).await.success());
    Life::read(name).is_lived(&up).await;
}

/// Waits until each of those that run has restarted so often.
async fn restarted(up: &Up, steps: &Steps<'_>, times: usize) {
    for ordinal in 0..steps.replicas {
        let pod = format!("{}-{ordinal}", steps.set);
        let what = format!("{pod} has restarted {times} times");
        eventually(SOON, &what, async || {
            let lines = lines(up, &pod, "outrigger");
            let is_end = |line: &&String| line.contains("runs with its new configuration");
            if lines.iter().filter(is_end).count() >= times {
                Ok(())
            } else {
                Err(lines.join("\n"))
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_life_of_agdb() {
    let steps = Steps {
        set: "agdb",
        replicas: 3,
        more: 5,
        others: 0,
        restart: true,
    };
    is_as_told("agdb", &Example::copy("agdb"), steps).await;
}

#[tokio::test]
async fn a_life_of_piko() {
    let steps = Steps {
        set: "piko",
        replicas: 3,
        more: 5,
        others: 0,
        restart: false,
    };
    is_as_told("piko", &piko::example(), steps).await;
}

#[tokio::test]
async fn a_life_of_oxia() {
    let steps = Steps {
        set: "oxia",
        replicas: 3,
        more: 4,
        others: 1,
        restart: false,
    };
    is_as_told("oxia", &oxia::example(), steps).await;
}

#[tokio::test]
async fn a_life_of_tag() {
    let steps = Steps {
        set: "tag",
        replicas: 3,
        more: 5,
        others: 0,
        restart: false,
    };
    is_as_told("tag", &tag::example(), steps).await;
}
