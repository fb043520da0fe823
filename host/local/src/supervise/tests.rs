//! Pods of small shell programs, as plain processes of this machine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outrigger_shutdown::{Deadline, Shutdown};

use super::*;
use crate::entry::EtcFiles;
use crate::events::Event;
use crate::plan::{Check, ContainerPlan, FileContent, Hook, ProbePlan, Probes, Role};

/// Long enough for a slow machine; nothing waits for it unless something is broken.
const LIMIT: Duration = Duration::from_secs(20);

/// Without the hidden process between: the test's own program does not know it.
fn direct(spec: &ContainerSpec) -> Result<Command, String> {
    let (program, arguments) = spec.argv.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir(spec.cwd.as_deref().unwrap_or(Path::new("/")))
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

struct Stage {
    folder: tempfile::TempDir,
    ground: Ground,
    shutdown: Shutdown,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::new();
        let ground = Ground {
            network: None,
            forward: None,
            outside: Arc::new(|ip, port| (ip, port).into()),
            launch: direct,
            logs: Logs::new(folder.path().join("logs")),
            events: Events::default(),
            tasks: Tasks::new(shutdown.clone()),
            backoff: Backoff {
                base: Duration::from_millis(20),
                ..Backoff::default()
            },
        };
        Self {
            folder,
            ground,
            shutdown,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn container(&self, name: &str, role: Role, script: &str) -> ContainerPlan {
        ContainerPlan {
            name: name.to_owned(),
            role,
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            env_file: None,
            cwd: self.folder.path().to_path_buf(),
            mounts: Vec::new(),
            ports: Vec::new(),
            probes: Probes::default(),
            pre_stop: None,
            run_as: (0, 0),
        }
    }

    fn start(&self, containers: Vec<ContainerPlan>, grace: Duration) -> Pod {
        let plan = PodPlan {
            name: "db-0".into(),
            namespace: "default".into(),
            ordinal: 0,
            uid: "u".into(),
            host: "127.0.0.1".into(),
            ip: Ipv4Addr::LOCALHOST,
            labels: BTreeMap::new(),
            grace,
            etc: EtcFiles::default(),
            folders: Vec::new(),
            links: Vec::new(),
            projections: vec![Projection {
                folder: self.path("pod/conf"),
                files: BTreeMap::from([(
                    "a".into(),
                    FileContent {
                        bytes: b"1".to_vec(),
                        mode: 0o644,
                    },
                )]),
            }],
            workload: containers.last().unwrap().name.clone(),
            containers,
            folder: self.path("pod"),
        };
        Pod::start(plan, &self.ground, Arc::default())
    }

    /// What all containers wrote, by container.
    fn lines(&self) -> Vec<String> {
        let (lines, _) = self.ground.logs.follow(None);
        lines
            .into_iter()
            .map(|line| format!("{}: {}", line.container, line.line))
            .collect()
    }

    async fn logged(&self, line: &str) {
        let (_, mut coming) = self.ground.logs.follow(None);
        let wait = async {
            while !self.lines().iter().any(|known| known == line) {
                coming.recv().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        assert!(waited.is_ok(), "no {line:?} in {:?}", self.lines());
    }

    async fn end(self, pod: &Pod) {
        pod.order(PodOrder::Terminate(Why::Asked));
        until(pod, |status| status.gone).await;
        self.shutdown.trigger("the test is over");
        let left = self.ground.tasks.finish(Deadline::after(LIMIT)).await;
        assert!(left.is_empty(), "{left:?}");
    }
}

async fn until(pod: &Pod, what: impl Fn(&PodStatus) -> bool) {
    let mut status = pod.status.clone();
    let waited = tokio::time::timeout(LIMIT, status.wait_for(|status| what(status))).await;
    assert!(waited.is_ok(), "{:?}", pod.status());
}

fn exec_probe(script: &str) -> ProbePlan {
    ProbePlan {
        check: Check::Exec(["/bin/sh", "-c", script].map(str::to_owned).to_vec()),
        initial_delay: Duration::ZERO,
        period: Duration::from_millis(20),
        timeout: LIMIT,
        failures: 1,
        successes: 1,
    }
}

const FOREVER: &str = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done";

#[tokio::test]
async fn containers_start_one_after_the_other_and_the_sidecar_ends_last() {
    let stage = Stage::new();
    let mut sidecar = stage.container("helper", Role::Sidecar, FOREVER);
    sidecar.probes.startup = Some(ProbePlan {
        failures: 1000,
        ..exec_probe("test -e go")
    });
    let pod = stage.start(
        vec![
            stage.container("first", Role::Init, "cat pod/conf/a; echo first"),
            sidecar,
            stage.container("db", Role::Main, FOREVER),
        ],
        LIMIT,
    );
    stage.logged("helper: up").await;
    assert!(
        !stage.lines().contains(&"db: up".to_owned()),
        "the sidecar has not started"
    );
    until(&pod, |status| {
        status.reasons == ["helper: its exit code is 1"]
    })
    .await;
    std::fs::write(stage.path("go"), "").unwrap();
    until(&pod, PodStatus::ready).await;
    stage.logged("db: up").await;
    pod.order(PodOrder::Terminate(Why::Asked));
    until(&pod, |status| status.gone).await;
    stage.logged("helper: bye").await;
    let lines = stage.lines();
    let place = |line: &str| lines.iter().position(|known| known == line);
    assert!(place("first: 1first").is_some(), "{lines:?}");
    assert!(place("db: bye") < place("helper: bye"), "{lines:?}");
    stage.end(&pod).await;
}

#[tokio::test]
async fn a_program_that_ends_is_started_again_and_the_pod_is_unready_meanwhile() {
    let stage = Stage::new();
    let pod = stage.start(vec![stage.container("db", Role::Main, FOREVER)], LIMIT);
    stage.logged("db: up").await;
    until(&pod, PodStatus::ready).await;
    pod.order(PodOrder::Signal {
        container: None,
        signal: Signal::SIGKILL,
    });
    until(&pod, |status| {
        status.containers[0].restarts == 1 && status.ready()
    })
    .await;
    let (events, _) = stage.ground.events.follow();
    let told = events.iter().any(|event| match &event.event {
        Event::Container { message, .. } => message.starts_with("was ended by SIGKILL"),
        _ => false,
    });
    assert!(told, "{events:?}");
    pod.order(PodOrder::Restart {
        reason: "test".into(),
        signal: None,
    });
    until(&pod, |status| {
        status.containers[0].restarts == 2 && status.ready()
    })
    .await;
    stage.end(&pod).await;
}

#[tokio::test]
async fn a_failing_liveness_probe_restarts_and_a_failing_readiness_probe_takes_out_of_service() {
    let stage = Stage::new();
    let mut db = stage.container("db", Role::Main, "rm -f sick; echo up; exec sleep 1000");
    db.probes.readiness = Some(exec_probe("test ! -e unready"));
    db.probes.liveness = Some(exec_probe("test ! -e sick"));
    let pod = stage.start(vec![db], LIMIT);
    until(&pod, PodStatus::ready).await;
    std::fs::write(stage.path("unready"), "").unwrap();
    until(&pod, |status| !status.ready()).await;
    assert_eq!(pod.status().phase(), outrigger_peers::Phase::NotReady);
    std::fs::remove_file(stage.path("unready")).unwrap();
    until(&pod, PodStatus::ready).await;
    assert_eq!(pod.status().containers[0].restarts, 0);
    std::fs::write(stage.path("sick"), "").unwrap();
    // More than once where it is looked at before it has recovered.
    until(&pod, |status| {
        status.containers[0].restarts >= 1 && status.ready()
    })
    .await;
    stage.end(&pod).await;
}

#[tokio::test]
async fn pre_stop_comes_first_and_who_ignores_the_signal_is_killed() {
    let stage = Stage::new();
    let stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    let mut db = stage.container("db", Role::Main, stubborn);
    let hook = ["/bin/sh", "-c", "echo hook > hooked"];
    db.pre_stop = Some(Hook::Exec(hook.map(str::to_owned).to_vec()));
    let pod = stage.start(vec![db], Duration::from_millis(50));
    stage.logged("db: up").await;
    pod.order(PodOrder::Terminate(Why::Asked));
    until(&pod, |status| status.gone).await;
    assert!(stage.path("hooked").exists());
    assert_eq!(
        pod.status().containers[0].state,
        ContainerState::Ended { code: 137 }
    );
    stage.end(&pod).await;
}

#[tokio::test]
async fn a_signal_in_the_middle_of_a_stop_reaches_the_program() {
    let stage = Stage::new();
    let drains = "trap 'touch drained' USR2; trap 'exit 0' TERM; echo up; \
                  until test -e hooked; do sleep 0.05; done; echo asked; \
                  while :; do sleep 0.05; done";
    let mut db = stage.container("db", Role::Main, drains);
    // It is over when the program has heard the signal, which comes while it runs.
    let hook = [
        "/bin/sh",
        "-c",
        "touch hooked; until test -e drained; do sleep 0.05; done",
    ];
    db.pre_stop = Some(Hook::Exec(hook.map(str::to_owned).to_vec()));
    let pod = stage.start(vec![db], LIMIT);
    stage.logged("db: up").await;
    pod.order(PodOrder::Terminate(Why::Asked));
    stage.logged("db: asked").await;
    pod.order(PodOrder::Signal {
        container: None,
        signal: Signal::SIGUSR2,
    });
    until(&pod, |status| status.gone).await;
    assert_eq!(
        pod.status().containers[0].state,
        ContainerState::Ended { code: 0 }
    );
    assert!(stage.path("drained").exists());
    stage.end(&pod).await;
}

#[tokio::test]
async fn an_init_container_that_fails_is_tried_again_and_holds_the_others_back() {
    let stage = Stage::new();
    let pod = stage.start(
        vec![
            stage.container("first", Role::Init, "echo tried; test -e go"),
            stage.container("db", Role::Main, FOREVER),
        ],
        LIMIT,
    );
    until(&pod, |status| status.containers[0].restarts >= 2).await;
    assert_ne!(pod.status().containers[1].state, ContainerState::Running);
    std::fs::write(stage.path("go"), "").unwrap();
    until(&pod, PodStatus::ready).await;
    stage.end(&pod).await;
}

#[tokio::test]
async fn changed_objects_reach_a_pod_that_runs() {
    let stage = Stage::new();
    let pod = stage.start(vec![stage.container("db", Role::Main, FOREVER)], LIMIT);
    until(&pod, PodStatus::ready).await;
    let mut changed = pod.plan.projections.clone();
    changed[0]
        .files
        .values_mut()
        .for_each(|file| file.bytes = b"2".to_vec());
    pod.order(PodOrder::Project(changed));
    let seen = async {
        while std::fs::read(stage.path("pod/conf/a")).unwrap() != b"2" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.unwrap();
    stage.end(&pod).await;
}

#[tokio::test]
async fn an_end_in_order_that_is_expected_costs_no_back_off() {
    let mut stage = Stage::new();
    stage.ground.backoff.base = LIMIT * 10;
    stage.ground.backoff.served = Duration::ZERO;
    let script = "echo up; while test ! -e stop; do sleep 0.05; done; rm stop";
    let pod = stage.start(vec![stage.container("db", Role::Main, script)], LIMIT);
    pod.expect_end(true);
    for restarts in 1..=3 {
        until(&pod, PodStatus::ready).await;
        std::fs::write(stage.path("stop"), "").unwrap();
        until(&pod, |status| {
            status.containers[0].restarts == restarts && status.ready()
        })
        .await;
    }
    stage.end(&pod).await;
}
