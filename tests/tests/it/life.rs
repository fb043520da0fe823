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

impl<'a> Steps<'a> {
    /// Three replicas, and five for a while.
    fn of(set: &'a str) -> Self {
        Self {
            set,
            replicas: 3,
            more: 5,
            others: 0,
            restart: false,
        }
    }
}

/// A `StatefulSet` is called as its example is.
async fn is_as_told(example: &Example, steps: Steps<'_>) {
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
    Life::read(steps.set).is_lived(&up).await;
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
        restart: true,
        ..Steps::of("agdb")
    };
    is_as_told(&Example::copy("agdb"), steps).await;
}

#[tokio::test]
async fn a_life_of_piko() {
    is_as_told(&piko::example(), Steps::of("piko")).await;
}

#[tokio::test]
async fn a_life_of_oxia() {
    let steps = Steps {
        more: 4,
        others: 1,
        ..Steps::of("oxia")
    };
    is_as_told(&oxia::example(), steps).await;
}

#[tokio::test]
async fn a_life_of_tag() {
    is_as_told(&tag::example(), Steps::of("tag")).await;
}
