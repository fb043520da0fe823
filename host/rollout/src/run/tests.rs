use std::cell::{Cell, RefCell};

use outrigger_api_server::stand_in::StandIn;

use super::*;

const SET: &str = "/apis/apps/v1/namespaces/demo/statefulsets/db";
const PODS: &str = "/api/v1/namespaces/demo/pods";
const OPTIONS: Options = Options {
    timeout: Duration::from_mins(5),
    anew: false,
};

fn target() -> Target {
    Target {
        namespace: "demo".to_owned(),
        name: "db".to_owned(),
    }
}

/// Three replicas in the stand-in, and what the StatefulSet controller and a kubelet do about them.
struct Scene {
    stand_in: StandIn,
    fresh: Cell<u32>,
    /// The pods in the order in which they stopped.
    stopped: RefCell<Vec<String>>,
    leader: Cell<u32>,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            stand_in: StandIn::new(),
            fresh: Cell::new(0),
            stopped: RefCell::default(),
            leader: Cell::new(1),
        };
        scene.stand_in.put(
            SET,
            json!({
                "metadata": {"name": "db", "uid": "set", "generation": 1},
                "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "db"}}},
                "status": {"observedGeneration": 1, "updateRevision": "one"},
            }),
        );
        for ordinal in 0..3 {
            scene.create(ordinal);
            scene.make_ready(ordinal);
        }
        scene
    }

    fn path(ordinal: u32) -> String {
        format!("{PODS}/db-{ordinal}")
    }

    fn create(&self, ordinal: u32) {
        self.fresh.set(self.fresh.get() + 1);
        let role = if ordinal == self.leader.get() {
            "leader"
        } else {
            "follower"
        };
        let labels = json!({
            "app": "db", "controller-revision-hash": "one", "outrigger.dev/role": role,
        });
        let pod = json!({
            "metadata": {
                "name": format!("db-{ordinal}"),
                "uid": format!("uid{}", self.fresh.get()),
                "labels": labels,
                "ownerReferences": [{"controller": true, "uid": "set"}],
            },
            "status": {"conditions": [
                {"type": "Ready", "status": "False", "message": "containers with unready status: [db]"},
            ]},
        });
        self.stand_in.put(&Self::path(ordinal), pod);
    }

    fn make_ready(&self, ordinal: u32) {
        let mut pod = self.stand_in.get(&Self::path(ordinal)).unwrap();
        pod["status"]["conditions"][0]["status"] = json!("True");
        self.stand_in.put(&Self::path(ordinal), pod);
    }

    fn is_ready(&self, ordinal: u32) -> bool {
        let pod = self.stand_in.get(&Self::path(ordinal));
        pod.is_some_and(|pod| {
            pod["status"]["conditions"][0]["status"] == "True"
                && pod["metadata"]["deletionTimestamp"].is_null()
        })
    }

    /// Replaces what was evicted, three seconds to stop and four to start, and looks that never more than
    /// one is down.
    async fn controller(&self) {
        loop {
            pass(Duration::from_millis(100)).await;
            let down: Vec<u32> = (0..3).filter(|ordinal| !self.is_ready(*ordinal)).collect();
            assert!(down.len() <= 1, "{down:?}");
            if let [ordinal] = down[..] {
                pass(Duration::from_secs(3)).await;
                self.stopped.borrow_mut().push(format!("db-{ordinal}"));
                self.stand_in.delete(&Self::path(ordinal));
                if ordinal == self.leader.get() {
                    self.leader.set(0);
                }
                pass(Duration::from_secs(1)).await;
                self.create(ordinal);
                pass(Duration::from_secs(3)).await;
                self.make_ready(ordinal);
            }
        }
    }

    /// A run, and what it told.
    async fn run(&self, options: Options) -> (Result<Summary, RollError>, Vec<String>) {
        let mut told = Vec::new();
        let mut tell = |progress: Progress| told.push(progress.to_string());
        let ended = run(&self.stand_in.api(), &target(), &options, &mut tell).await;
        (ended, told)
    }

    /// The same while the controller does its work.
    async fn with_controller<T>(&self, runs: impl Future<Output = T>) -> T {
        tokio::select! {
            ended = runs => ended,
            () = self.controller() => unreachable!("it goes on"),
        }
    }

    fn note(&self) -> Value {
        self.stand_in.get(SET).unwrap()["metadata"]["annotations"][ANNOTATION].clone()
    }
}

fn text(failed: Result<Summary, RollError>) -> String {
    let error = failed.unwrap_err();
    format!("{error}\nhint: {}", error.hint(&target()))
}

#[tokio::test(start_paused = true)]
async fn replicas_are_evicted_one_at_a_time_and_each_step_is_told_with_its_time() {
    let scene = Scene::new();
    let (ended, told) = scene.with_controller(scene.run(OPTIONS)).await;
    let summary = ended.unwrap().to_string();
    assert_eq!(*scene.stopped.borrow(), ["db-2", "db-0", "db-1"]);
    assert_eq!(scene.note(), Value::Null);
    assert_eq!(
        told[0],
        "statefulset/db: 3 replicas; one after the other: db-2, db-0, db-1 (db-1 leads)"
    );
    assert_eq!(told[1], "db-2: evicted");
    assert!(told[2].starts_with("db-2: stopped in 3."), "{told:?}");
    assert!(told[3].starts_with("db-2: back after 7."), "{told:?}");
    assert!(
        told[3].ends_with(", all are ready (1 of 3 done)"),
        "{told:?}"
    );
    assert_eq!(told[7], "db-1: evicted, the leader");
    assert_eq!(told.len(), 10, "{told:?}");
    assert!(
        summary.starts_with("statefulset/db: 3 replicas restarted, 3 of them by this run, in 2")
    );
    assert_eq!(summary.lines().count(), 4, "{summary}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_anywhere_is_gone_on_with() {
    // Every point within the first two replicas, in steps that are no multiple of anything.
    for ended_after in (0..80).map(|step| Duration::from_millis(step * 193)) {
        let scene = Scene::new();
        scene
            .with_controller(async {
                let first = tokio::time::timeout(ended_after, scene.run(OPTIONS)).await;
                assert!(first.is_err(), "it was over");
                let was_begun = scene.note() != Value::Null;
                let (ended, told) = scene.run(OPTIONS).await;
                assert_eq!(ended.unwrap().total, 3);
                assert_eq!(told[0].contains("goes on"), was_begun, "{told:?}");
            })
            .await;
        assert_eq!(
            *scene.stopped.borrow(),
            ["db-2", "db-0", "db-1"],
            "{ended_after:?}"
        );
        assert_eq!(scene.note(), Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_a_time_evict_each_replica_once() {
    let scene = Scene::new();
    let run = || Box::pin(scene.run(OPTIONS));
    let both = async { tokio::join!(run(), run()) };
    let ((first, _), (second, _)) = scene.with_controller(both).await;
    assert_eq!(*scene.stopped.borrow(), ["db-2", "db-0", "db-1"]);
    let both = [first.unwrap(), second.unwrap()];
    assert!(both.iter().all(|summary| summary.total == 3), "{both:?}");
    let stops = both.iter().flat_map(|summary| &summary.stops);
    let own = stops.filter(|stop| stop.back.is_some()).count();
    assert_eq!(own, 3, "each by one of them: {both:?}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_waited_for_and_named() {
    let scene = Scene::new();
    let why = "The disruption budget db needs 3 healthy pods and has 3 currently";
    scene.stand_in.hold_evictions(Some(why));
    let minute = Duration::from_mins(1);
    let options = Options {
        timeout: minute,
        ..OPTIONS
    };
    let (ended, told) = scene.run(options).await;
    assert!(
        told[1].starts_with("db-2: may not be evicted yet, asked again in "),
        "{told:?}"
    );
    assert!(told[1].ends_with(why), "{told:?}");
    let ended = text(ended);
    assert!(
        ended.starts_with(&format!("db-2 could not be evicted ({why}) within 60 s\n")),
        "{ended}"
    );
    assert!(ended.contains("running this again goes on"), "{ended}");
    let asked = scene.stand_in.asked();
    let evictions = asked
        .iter()
        .filter(|asked| asked.ends_with("/eviction"))
        .count();
    assert!((3..12).contains(&evictions), "{evictions}");

    let allowed = async {
        pass(minute / 2).await;
        scene.stand_in.hold_evictions(None);
        std::future::pending::<()>().await;
    };
    let second = async {
        tokio::select! {
            ended = scene.run(OPTIONS) => ended.0,
            () = allowed => unreachable!("it only allows"),
        }
    };
    scene.with_controller(second).await.unwrap();
    assert_eq!(*scene.stopped.borrow(), ["db-2", "db-0", "db-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_come_back_ends_it_with_what_is_known() {
    let scene = Scene::new();
    scene.stand_in.put(
        "/api/v1/namespaces/demo/events/one",
        json!({
            "metadata": {"name": "one"}, "type": "Warning", "message": "Readiness probe failed: 503",
            "involvedObject": {"name": "db-2"}, "lastTimestamp": "2026-06-01T00:00:09Z",
        }),
    );
    let evicted = async {
        while scene.is_ready(2) {
            pass(Duration::from_millis(100)).await;
        }
        scene.stand_in.delete(&Scene::path(2));
        scene.create(2);
        std::future::pending::<()>().await;
    };
    let (ended, told) = tokio::select! {
        ended = scene.run(OPTIONS) => ended,
        () = evicted => unreachable!("it only replaces"),
    };
    assert_eq!(
        text(ended),
        "db-2 is not ready: containers with unready status: [db], and that was not over within 300 s\n  \
         the last warning about db-2 (2026-06-01T00:00:09Z): Readiness probe failed: 503\n\
         hint: `kubectl describe pod db-2 -n demo` tells more; nothing else is evicted meanwhile, and \
         running this again goes on from here"
    );
    assert!(
        told.iter()
            .any(|line| line == "waits: db-2 is not ready: containers with unready status: [db]")
    );
    let others = told.iter().filter(|line| line.contains("evicted")).count();
    assert_eq!(others, 1, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_begin_says_what_to_do() {
    let scene = Scene::new();
    scene.stand_in.delete(&Scene::path(0));
    assert_eq!(
        text(scene.run(OPTIONS).await.0),
        "nothing is restarted: db-0 is not there\n\
         hint: mend it first: `kubectl describe pod db-0 -n demo`; what is not whole is not restarted"
    );
    let scene = Scene::new();
    let mut set = scene.stand_in.get(SET).unwrap();
    set["status"]["updateRevision"] = json!("two");
    scene.stand_in.put(SET, set.clone());
    assert_eq!(
        text(scene.run(OPTIONS).await.0),
        "nothing is restarted: the StatefulSet controller replaces pods of an older template itself: db-0, db-1, db-2\n\
         hint: wait for it: `kubectl rollout status statefulset/db -n demo`, then run this again"
    );
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    scene.stand_in.put(SET, set.clone());
    let (ended, told) = scene.with_controller(scene.run(OPTIONS)).await;
    ended.unwrap();
    assert!(
        told[0].ends_with("each comes back with the newest template (OnDelete)"),
        "{told:?}"
    );

    set["metadata"]["annotations"] = json!({ANNOTATION: "yesterday"});
    scene.stand_in.put(SET, set);
    let unread = text(scene.run(OPTIONS).await.0);
    assert!(
        unread.starts_with("the annotation outrigger.dev/roll cannot be read: "),
        "{unread}"
    );
    assert!(
        unread.ends_with("hint: --restart writes a new one"),
        "{unread}"
    );
    let anew = Options {
        anew: true,
        ..OPTIONS
    };
    scene.with_controller(scene.run(anew)).await.0.unwrap();

    scene.stand_in.delete(SET);
    let gone = text(scene.run(OPTIONS).await.0);
    assert!(
        gone.starts_with("there is no StatefulSet db in namespace demo"),
        "{gone}"
    );
    scene.stand_in.forbid(SET);
    let forbidden = text(scene.run(OPTIONS).await.0);
    assert!(forbidden.contains("Who may roll"), "{forbidden}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_a_while_is_waited_for() {
    let scene = Scene::new();
    let away = async {
        pass(Duration::from_secs(5)).await;
        scene.stand_in.set_away(true);
        pass(Duration::from_mins(1)).await;
        scene.stand_in.set_away(false);
        std::future::pending::<()>().await;
    };
    let run = async {
        tokio::select! {
            ended = scene.run(OPTIONS) => ended,
            () = away => unreachable!("it only goes away"),
        }
    };
    let (ended, told) = scene.with_controller(run).await;
    ended.unwrap();
    assert_eq!(*scene.stopped.borrow(), ["db-2", "db-0", "db-1"]);
    assert!(
        told.iter()
            .any(|line| line.starts_with("the cluster cannot be asked")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_is_evicted_while_a_replica_restarts_by_itself_unless_nobody_may_know() {
    let lease = "/apis/coordination.k8s.io/v1/namespaces/demo/leases/outrigger-db";
    let held = json!({"spec": {"holderIdentity": "db-0", "leaseDurationSeconds": 30}});
    let scene = Scene::new();
    scene.stand_in.put(lease, held.clone());
    let (ended, told) = scene.with_controller(scene.run(OPTIONS)).await;
    assert_eq!(
        told[0],
        "waits: db-0 restarts its workload for a new configuration"
    );
    // It never renews its turn: after its length it counts as gone.
    assert!(ended.unwrap().took > Duration::from_secs(35));

    let scene = Scene::new();
    scene.stand_in.put(lease, held);
    scene.stand_in.forbid(lease);
    let (ended, told) = scene.with_controller(scene.run(OPTIONS)).await;
    assert!(
        told[0].starts_with("Leases may not be read here"),
        "{told:?}"
    );
    assert!(ended.unwrap().took < Duration::from_secs(35));
}

/// Time of the paused clock.
async fn pass(span: Duration) {
    tokio::time::sleep(span).await;
}
