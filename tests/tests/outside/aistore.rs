//! AIStore with its example and plugin: one cluster, a target that hangs, stops and scale-downs while
//! objects are there to lose.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_tests::{
    Answer, Example, Http, Life, Up, all_ready, eventually, lines, pods, port, probe, series, wrote,
};
use serde_json::Value;

/// Proxies and targets.
const NODES: usize = 6;

/// From nothing to one cluster.
const START: Duration = Duration::from_secs(90);

/// Until AIStore misses a node that does not answer, or has one back.
const SOON: Duration = Duration::from_mins(1);

/// A rebalance of a few objects is mostly waiting for silence; a decommission is one, after another that
/// may run.
const REBALANCE: Duration = Duration::from_mins(3);

const OBJECTS: u32 = 24;

/// The example as it is on one machine, where volumes share a file system that may be fuller than AIStore
/// likes, with the shortest times that AIStore takes.
fn example() -> Example {
    let example = Example::copy("aistore");
    for role in ["proxy", "target"] {
        let defaults = format!("{role}/ais.json");
        for (old, new) in [
            ("\"quiescent\": \"10s\"", "\"quiescent\": \"8s\""),
            ("\"num_retries\": 3", "\"num_retries\": 1"),
            (
                "\"proxy\": {\"factor\": 3, \"interval\": \"10s\"",
                "\"proxy\": {\"factor\": 2, \"interval\": \"5s\"",
            ),
            (
                "\"target\": {\"factor\": 3, \"interval\": \"10s\"",
                "\"target\": {\"factor\": 2, \"interval\": \"5s\"",
            ),
            (
                "\"highwm\": 90, \"lowwm\": 75, \"out_of_space\": 95",
                "\"highwm\": 99, \"lowwm\": 98, \"out_of_space\": 100",
            ),
        ] {
            example.edit(&defaults, old, new);
        }
        example.edit(
            &format!("{role}/outrigger.yaml"),
            "notice: 5s",
            "notice: 1s",
        );
    }
    example.edit("target/outrigger.yaml", "label: \"\"", "label: test");
    example
}

/// A running cluster, and where its nodes are reached.
struct Cluster {
    up: Up,
    nodes: BTreeMap<String, Http>,
    _example: Example,
}

impl Cluster {
    async fn of(example: Example) -> Self {
        let up = Up::start(example.path(), &["--no-install"]).await;
        let mut nodes = BTreeMap::new();
        for pod in all_ready(&up, NODES, START).await {
            let node = port(&up, &pod.name, "public").await.unwrap();
            nodes.insert(pod.name, node);
        }
        Self {
            up,
            nodes,
            _example: example,
        }
    }

    /// The cluster map, as the first proxy has it.
    async fn map(&self) -> Value {
        let answer = self.nodes["ais-proxy-0"].get("/v1/daemon?what=smap").await;
        answer.unwrap().json()
    }

    /// Puts objects into a new bucket.
    async fn fill(&self) {
        let proxy = &self.nodes["ais-proxy-0"];
        let create = serde_json::json!({"action": "create-bck"});
        let created = proxy.post("/v1/buckets/films", &create).await.unwrap();
        created.expect_status(200).unwrap();
        for number in 0..OBJECTS {
            let path = object(number);
            let redirect = proxy.put(&path, "").await.unwrap();
            let (target, path) = self.redirected(&redirect);
            let put = target.put(&path, &content(number)).await.unwrap();
            put.expect_status(200).unwrap();
        }
    }

    /// The objects that cannot be read as they were put.
    async fn lost(&self) -> Vec<String> {
        let mut lost = Vec::new();
        for number in 0..OBJECTS {
            let path = object(number);
            let redirect = self.nodes["ais-proxy-0"].get(&path).await.unwrap();
            let (target, path) = self.redirected(&redirect);
            let read = target.get(&path).await;
            let whole =
                read.is_ok_and(|answer| answer.status == 200 && answer.text() == content(number));
            if !whole {
                lost.push(object(number));
            }
        }
        lost
    }

    /// The target that a proxy names, by its pod's name, and the path there.
    fn redirected(&self, answer: &Answer) -> (&Http, String) {
        let found = answer.location.as_deref().and_then(|location| {
            let (host, path) = location.strip_prefix("http://")?.split_once('/')?;
            let target = self.nodes.get(host.split('.').next()?)?;
            Some((target, format!("/{path}")))
        });
        assert!(found.is_some(), "no redirect to a target: {answer:?}");
        found.unwrap()
    }

    /// Waits until a replica's sidecar gives a series this value.
    async fn is(&self, pod: &str, name: &str, expected: f64) {
        eventually(
            SOON,
            &format!("{name} of {pod} is {expected}"),
            async || {
                let seen = series(&self.up, pod, name).await?;
                if (seen - expected).abs() < 0.5 {
                    Ok(())
                } else {
                    Err(seen.to_string())
                }
            },
        )
        .await;
    }
}

fn object(number: u32) -> String {
    format!("/v1/objects/films/{number}")
}

fn content(number: u32) -> String {
    format!("film {number}")
}

#[tokio::test]
async fn a_target_that_hangs_is_told_by_its_sidecar_and_missed_by_the_others() {
    let cluster = Cluster::of(example()).await;
    let up = &cluster.up;
    let map = cluster.map().await;
    for (kind, name) in [("pmap", "ais-proxy"), ("tmap", "ais-target")] {
        let nodes: Vec<&String> = map[kind].as_object().unwrap().keys().collect();
        let pods = [0, 1, 2].map(|ordinal| format!("{name}-{ordinal}"));
        assert_eq!(nodes, pods.iter().collect::<Vec<_>>(), "{map}");
    }
    assert_eq!(map["proxy_si"]["daemon_id"], "ais-proxy-0", "{map}");
    cluster.fill().await;

    let hangs = ["kill", "ais-target-2", "--signal"];
    up.command(&[&hangs[..], &["STOP"]].concat())
        .await
        .success();
    eventually(
        SOON,
        "the target leaves service, and says why",
        async || {
            let (pass, codes) = probe(up, "ais-target-2", "ready").await?;
            if !pass && codes.iter().any(|code| code == "not-answering") {
                Ok(())
            } else {
                Err(format!("{pass} {codes:?}"))
            }
        },
    )
    .await;
    cluster
        .is("ais-target-0", "aistore_replicas_out_of_map", 1.0)
        .await;
    cluster
        .is("ais-proxy-1", "aistore_targets_in_map", 2.0)
        .await;
    up.command(&[&hangs[..], &["CONT"]].concat())
        .await
        .success();
    cluster
        .is("ais-target-0", "aistore_rebalance_running", 1.0)
        .await;
    cluster
        .is("ais-target-0", "aistore_replicas_out_of_map", 0.0)
        .await;
    assert_eq!(cluster.lost().await, [""; 0]);
    cluster.up.cut_off();
}

#[tokio::test]
async fn objects_outlive_a_scale_down_and_no_target_stops_while_they_move() {
    let example = example();
    let profile = "target/outrigger.yaml";
    example.edit(profile, "# decommission: true", "decommission: true");
    example.edit(
        profile,
        "port: 51081\n          paths: [/v1/health, /v1/daemon]",
        "port: 51081\n          methods: [GET, PUT]\n          paths: [/v1/health, /v1/daemon, /v1/cluster]",
    );
    let cluster = Cluster::of(example).await;
    cluster.fill().await;
    let up = &cluster.up;
    let down = ["scale", "--statefulset", "ais-target", "2"];
    up.command(&down).await.success();
    eventually(REBALANCE, "the third target is gone", async || {
        let pods = pods(up).await?;
        if pods.iter().all(|pod| pod.name != "ais-target-2") {
            Ok(())
        } else {
            Err(format!("{pods:?}"))
        }
    })
    .await;
    let told = lines(up, "ais-target-2", "outrigger");
    let in_order = [
        "asked for its decommission",
        "does not have ais-target-2 any more: nothing is lost with it",
    ];
    let mut left = told.iter();
    let all = in_order
        .iter()
        .all(|text| left.any(|line| line.contains(text)));
    assert!(all, "{told:#?}");
    all_ready(up, NODES - 1, SOON).await;
    assert_eq!(cluster.lost().await, [""; 0]);

    // One that was killed comes back, and objects move.
    let moves = "aistore_rebalance_running";
    cluster.is("ais-target-0", moves, 0.0).await;
    up.command(&["kill", "ais-target-1"]).await.success();
    cluster.is("ais-target-0", moves, 1.0).await;
    let restarted = tokio::time::timeout(REBALANCE, up.command(&["restart", "ais-target-0"]));
    let waits = wrote(
        up,
        "ais-target-0",
        "outrigger",
        "waits: the rebalance",
        SOON,
    );
    let (restarted, ()) = tokio::join!(restarted, waits);
    restarted.unwrap().success();
    let told = lines(up, "ais-target-0", "outrigger");
    let step = |text: &str| told.iter().position(|line| line.contains(text));
    let waited = step("waits: the rebalance");
    let stopped = step("the target unregisters at its stop");
    assert!(waited.is_some() && waited < stopped, "{told:#?}");
    all_ready(up, NODES - 1, SOON).await;
    assert_eq!(cluster.lost().await, [""; 0]);
    Life::read("aistore").is_lived(up).await;
    cluster.up.cut_off();
}
