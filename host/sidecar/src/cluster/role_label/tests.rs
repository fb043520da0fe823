use outrigger_api_server::stand_in::StandIn;
use outrigger_plugin_host::DrainReason;
use outrigger_shutdown::Tasks;
use serde_json::Value;

use super::*;
use crate::fixture;

const POD: &str = "/api/v1/namespaces/default/pods/db-0";

/// A pod whose role a test says.
struct Pod {
    api: StandIn,
    role: watch::Sender<Option<String>>,
    phase: watch::Sender<Phase>,
    timeline: Timeline,
    label: watch::Receiver<RoleLabel>,
    /// Dropping it ends all of them.
    _tasks: Tasks,
}

fn pod(label: Option<&str>) -> Pod {
    let api = StandIn::new();
    let labels = json!({"app": "db", ROLE_LABEL: label});
    api.put(
        POD,
        json!({"metadata": {"name": "db-0", "uid": "mine", "labels": labels}}),
    );
    let mut identity = fixture::peers(1).identity;
    identity.uid = "mine".into();
    let (role, roles) = watch::channel(None);
    let (phase, phases) = watch::channel(Phase::Running);
    let (out, label) = watch::channel(RoleLabel::default());
    let timeline = Timeline::in_memory();
    let publisher = RolePublisher {
        api: api.api(),
        identity,
        role: roles,
        phase: phases,
        timeline: timeline.clone(),
        recorder: Recorder::new(),
        out,
    };
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    tasks.spawn("role", publisher.run(shutdown));
    Pod {
        api,
        role,
        phase,
        timeline,
        label,
        _tasks: tasks,
    }
}

impl Pod {
    fn says(&self, role: Option<&str>) {
        self.role.send_replace(role.map(str::to_owned));
    }

    async fn until(&mut self, fits: impl FnMut(&RoleLabel) -> bool) {
        let hour = Duration::from_hours(1);
        let came = tokio::time::timeout(hour, self.label.wait_for(fits))
            .await
            .is_ok();
        assert!(came, "never came: {:?}", self.label.borrow());
    }

    async fn until_written(&mut self, role: Option<&str>) {
        let role = Some(role.map(str::to_owned));
        self.until(|label| label.written == role).await;
    }

    fn labels(&self) -> Value {
        self.api.get(POD).unwrap()["metadata"]["labels"].clone()
    }

    fn told(&self) -> Vec<String> {
        let entries = self.timeline.since(0);
        entries.iter().map(|entry| entry.message.clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_label_follows_the_role_by_one_write_for_each_change() {
    let mut pod = pod(None);
    pod.says(Some("leader"));
    pod.until_written(Some("leader")).await;
    assert_eq!(pod.labels(), json!({"app": "db", ROLE_LABEL: "leader"}));
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(pod.api.asked(), [format!("PATCH {POD}")]);
    pod.says(None);
    pod.until_written(None).await;
    assert_eq!(pod.labels(), json!({"app": "db"}));
    assert_eq!(pod.api.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_withdraws_the_label() {
    let mut pod = pod(None);
    pod.says(Some("leader"));
    pod.until_written(Some("leader")).await;
    pod.phase.send_replace(Phase::Drained {
        reason: DrainReason::Manual,
    });
    pod.until_written(None).await;
    pod.phase.send_replace(Phase::Running);
    pod.until_written(Some("leader")).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_without_a_role_yet_costs_no_request() {
    let mut pod = pod(None);
    for phase in [Phase::Starting, Phase::Running] {
        pod.phase.send_replace(phase);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(pod.api.asked(), Vec::<String>::new());
    pod.says(Some("follower"));
    pod.until_written(Some("follower")).await;
    assert_eq!(pod.api.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_sidecar_left_is_removed_once_no_role_comes() {
    let mut pod = pod(Some("leader"));
    pod.until_written(None).await;
    assert_eq!(pod.labels(), json!({"app": "db"}));
}

#[tokio::test(start_paused = true)]
async fn without_the_role_it_is_told_once_and_written_when_it_may_be() {
    let mut pod = pod(None);
    pod.api.forbid(POD);
    pod.says(Some("leader"));
    pod.until(|label| label.problem.is_some()).await;
    for hour in 0..60 {
        pod.says(Some(if hour % 2 == 0 { "follower" } else { "leader" }));
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    assert!(pod.api.asked().len() < 8, "it does not ask all the time");
    let told = pod.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("manifests/components/sidecar-access"),
        "{told:?}"
    );
    pod.api.allow(POD);
    pod.until_written(Some("leader")).await;
    assert_eq!(pod.label.borrow().problem, None);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_tried_again_with_the_newest_role() {
    let mut pod = pod(None);
    for _ in 0..3 {
        pod.api
            .refuse(POD, axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    }
    pod.says(Some("leader"));
    pod.until(|label| label.problem.is_some()).await;
    pod.says(Some("follower"));
    pod.until_written(Some("follower")).await;
    assert_eq!(pod.label.borrow().problem, None);
}

#[tokio::test(start_paused = true)]
async fn a_pod_in_this_ones_place_is_left_alone() {
    let mut pod = pod(None);
    pod.api
        .put(POD, json!({"metadata": {"name": "db-0", "uid": "other"}}));
    pod.says(Some("leader"));
    pod.until(|label| label.problem.is_some()).await;
    assert_eq!(pod.labels(), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_no_label_can_hold_is_told() {
    let mut pod = pod(None);
    pod.says(Some("the leader"));
    pod.until(|label| label.problem.is_some()).await;
    pod.until_written(None).await;
    let problem = "the role `the leader` cannot be the value of a label";
    assert_eq!(pod.label.borrow().problem.as_deref(), Some(problem));
    for bad in ["", "-a", "a-", "ä", &"a".repeat(64)] {
        assert!(!is_label_value(bad), "{bad}");
    }
    assert!(is_label_value("read-only_2.x"));
}
