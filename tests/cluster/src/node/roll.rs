//! `outrigger roll --cluster`, by somebody who may do that and nothing else.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::Instant;

use super::READY;
use super::client::Client;
use super::replicas::{all_ready, replicas, start};
use super::stops::Stops;
use crate::cluster::root;
use crate::scene::Scene;

/// Who rolls.
const USER: &str = "roller";

pub(super) async fn through_evictions(scene: Scene) {
    let before = start(&scene).await;
    let mut client = Client::start(&scene).await;
    let roller = Roller::new(&scene).await;
    let mut watch = Watch {
        stops: Stops::of(&before, 2),
        leaders: Vec::new(),
    };
    let rolled = tokio::select! {
        rolled = interrupted_twice(&scene, &roller) => rolled,
        () = client.write() => unreachable!("it writes on"),
        () = watch.run(&scene) => unreachable!("it looks on"),
    };
    let now = all_ready(&scene, 3).await;
    let Watch { mut stops, leaders } = watch;
    stops.look(&now);
    assert!(stops.are_over(&now), "{stops:?}");
    eprintln!(
        "stops: {:?}; {} writes, {} failed; leaders: {leaders:?}",
        stops.took,
        client.written,
        client.failed.len(),
    );
    stops.were_drained();
    // One election at most, and the one that led went last: nothing failed before.
    assert!(leaders.len() <= 2, "{leaders:?}");
    let (names, until): (Vec<_>, Vec<_>) = rolled.into_iter().unzip();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[2], leaders[0], "{names:?}");
    let early = client.failed.iter().find(|failed| failed.at < until[2]);
    assert!(early.is_none(), "{early:?}");
    assert!(client.written > 20, "{}", client.written);
    let set = scene
        .get(&["statefulset/agdb", "-n", &scene.namespace])
        .await;
    let note = &set["metadata"]["annotations"]["outrigger.dev/roll"];
    assert!(note.is_null(), "{note}");
    scene.end_namespace().await;
}

/// Rolls: the first run is killed as soon as it has evicted one, the second is interrupted after the next,
/// and the rest is done by two at once. Gives who was evicted, and when.
async fn interrupted_twice(scene: &Scene, roller: &Roller) -> Vec<(String, Instant)> {
    let mut first = roller.start(scene);
    let mut evicted = vec![first.until_evicted().await];
    first.child.kill().await.unwrap();

    let mut second = roller.start(scene);
    second.until("goes on with what began").await;
    evicted.push(second.until_evicted().await);
    let id = second.child.id().unwrap().to_string();
    let kill = tokio::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(kill.await.unwrap().success());
    let ended = second.child.wait().await.unwrap();
    assert_eq!(ended.code(), Some(130));

    let (mut third, mut fourth) = (roller.start(scene), roller.start(scene));
    let (one, other) = tokio::join!(third.until_the_end(), fourth.until_the_end());
    evicted.extend(one.into_iter().chain(other));
    evicted
}

/// What is seen while they are replaced.
struct Watch {
    stops: Stops,
    /// Who led, one after the other.
    leaders: Vec<String>,
}

impl Watch {
    async fn run(&mut self, scene: &Scene) {
        loop {
            let now = replicas(scene).await;
            self.stops.look(&now);
            let leading = now.iter().filter(|it| it.role == "leader" && !it.leaving);
            let leading: Vec<_> = leading.collect();
            // Two labels at once are a moment between two.
            if let [leader] = leading[..]
                && self.leaders.last() != Some(&leader.name)
            {
                self.leaders.push(leader.name.clone());
            }
        }
    }
}

/// Somebody with the rights that `manifests/README.md` names, and no others.
struct Roller {
    folder: TempDir,
}

impl Roller {
    async fn new(scene: &Scene) -> Self {
        let readme = std::fs::read_to_string(root().join("manifests/README.md")).unwrap();
        let (_, after) = readme.split_once("## Who may roll").unwrap();
        let (_, role) = after.split_once("```yaml\n").unwrap();
        let (role, _) = role.split_once("```").unwrap();
        scene.apply(role).await;
        let args = [
            "create",
            "rolebinding",
            "roller",
            "--role=outrigger-roll",
            &format!("--user={USER}"),
            "-n",
            &scene.namespace,
        ];
        scene.kubectl(&args).await.ok();
        let config = scene
            .kubectl(&["config", "view", "--raw", "-o", "json"])
            .await
            .ok();
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["users"][0]["user"]["as"] = USER.into();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), config.to_string()).unwrap();
        Self { folder }
    }

    fn start(&self, scene: &Scene) -> Rolling {
        let program = outrigger_tests::outrigger().to_str().unwrap();
        let mut child = scene
            .cluster
            .program(program)
            .args(["roll", "statefulset/agdb", "--cluster", "-n"])
            .arg(&scene.namespace)
            .env("KUBECONFIG", self.folder.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Rolling { child, lines }
    }
}

/// A run.
struct Rolling {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Rolling {
    /// Its next line; none at its end.
    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(READY, self.lines.next_line()).await;
        let line = line.expect("it tells something").unwrap();
        if let Some(line) = &line {
            eprintln!("  {line}");
        }
        line
    }

    async fn until(&mut self, what: &str) -> String {
        while let Some(line) = self.line().await {
            if line.contains(what) {
                return line;
            }
        }
        panic!("it ended before it told: {what}");
    }

    /// The pod that it evicts next, and when.
    async fn until_evicted(&mut self) -> (String, Instant) {
        let line = self.until(": evicted").await;
        (pod(&line), Instant::now())
    }

    /// Those that it still evicts; it succeeds.
    async fn until_the_end(&mut self) -> Vec<(String, Instant)> {
        let mut evicted = Vec::new();
        while let Some(line) = self.line().await {
            if line.contains(": evicted") {
                evicted.push((pod(&line), Instant::now()));
            }
        }
        assert!(self.child.wait().await.unwrap().success());
        evicted
    }
}

/// The pod that a line of progress is about.
fn pod(line: &str) -> String {
    let (_, about) = line.split_once(" s  ").unwrap();
    about.split(':').next().unwrap().to_owned()
}

/// A node is drained of the replicas on it: the budget lets one go, which is drained in order; the others
/// stay until it is back.
pub(super) async fn drained_node(scene: Scene) {
    let before = start(&scene).await;
    let mut stops = Stops::of(&before, 2);
    let guard = Cordoned(scene.clone());
    let refused = during(
        &scene,
        &mut stops,
        drain(&scene, "app=agdb", Duration::from_secs(40)),
    )
    .await
    .refused();
    assert!(
        refused.contains("would violate the pod's disruption budget"),
        "{refused}"
    );
    assert!(refused.contains("global timeout reached"), "{refused}");
    assert_eq!(stops.took.len(), 1, "{stops:?}");
    let now = replicas(&scene).await;
    assert_eq!(now.iter().filter(|replica| replica.serves()).count(), 2);
    uncordon(&scene).await;
    all_ready(&scene, 3).await;
    // The others can go now, each while two serve.
    let left: Vec<String> = stops.left().map(str::to_owned).collect();
    for pod in left {
        let selector = format!("statefulset.kubernetes.io/pod-name={pod}");
        during(&scene, &mut stops, drain(&scene, &selector, READY))
            .await
            .ok();
        uncordon(&scene).await;
        all_ready(&scene, 3).await;
    }
    drop(guard);
    eprintln!("stops: {:?}", stops.took);
    let now = replicas(&scene).await;
    stops.look(&now);
    assert!(stops.are_over(&now), "{stops:?}");
    stops.were_drained();
    scene.end_namespace().await;
}

/// Looks at the replicas while something is done.
async fn during<T>(scene: &Scene, stops: &mut Stops, done: impl Future<Output = T>) -> T {
    let look = async {
        loop {
            let now = replicas(scene).await;
            stops.look(&now);
        }
    };
    tokio::select! {
        value = done => value,
        () = look => unreachable!("it looks on"),
    }
}

async fn drain(scene: &Scene, selector: &str, within: Duration) -> crate::kubectl::Said {
    let selector = format!("--pod-selector={selector}");
    let timeout = format!("--timeout={}s", within.as_secs());
    let args = [
        "drain",
        "node1",
        "--delete-emptydir-data",
        &selector,
        &timeout,
    ];
    scene.kubectl(&args).await
}

async fn uncordon(scene: &Scene) {
    scene.kubectl(&["uncordon", "node1"]).await.ok();
}

/// The next test finds the node as this one did, however this one ends.
struct Cordoned(Scene);

impl Drop for Cordoned {
    fn drop(&mut self) {
        let mut kubectl = self.0.cluster.program("kubectl");
        let kubectl = kubectl.args(["uncordon", "node1"]).as_std_mut();
        if let Err(error) = kubectl.stdout(Stdio::null()).status() {
            eprintln!("the node stays cordoned: {error}");
        }
    }
}
