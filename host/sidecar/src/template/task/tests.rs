//! What stands, what is refused and what the workload is told, over the life of a pod.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use outrigger_peers::{Ordinal, Replica, Source};
use outrigger_plugin_host::{
    Artifact, BoxFuture, CallError, CallErrorKind, Diagnostic, DiagnosticSeverity, Interface,
};
use outrigger_profile::{Findings, OnChange};

use super::prepare::volumes;
use super::*;
use crate::discovery;
use crate::fixture::well;
use crate::health::HealthReport;
use crate::lifecycle::Phase;
use crate::template::{ActionFailure, PodSeeds, VolumeFacts, on_change};

mod related;
mod trials;
mod variables;

const PROFILE: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: Profile
metadata: {name: db}
spec:
  workload: {container: db, ports: {api: 3000}}
  plugin: {source: 'builtin:fake', on-failure: KEEP}
  discovery: {replicas: 2}
  files:
    - template: db.conf
      path: /etc/db/db.conf
      on-change: {action: restart}
";

#[derive(Default)]
struct FakePlugin {
    objects: AtomicBool,
    traps: AtomicBool,
    holds: AtomicBool,
}

impl TemplatePlugin for FakePlugin {
    fn exports(&self, interface: Interface) -> bool {
        matches!(interface, Interface::Discovery | Interface::Templating)
    }

    fn resolve<'a>(&'a self, _: &'a PeerSet) -> BoxFuture<'a, Result<Plan, CallError>> {
        Box::pin(async {
            if self.traps.load(Ordering::SeqCst) {
                return Err(trap("discovery.resolve"));
            }
            Ok(Plan {
                outputs: BTreeMap::from([("join".to_owned(), "db-0".to_owned())]),
                seeds: Vec::new(),
                may_start: !self.holds.load(Ordering::SeqCst),
                reason: "the disk is another's".to_owned(),
            })
        })
    }

    fn render<'a>(
        &'a self,
        _: &'a PeerSet,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Artifact>, CallError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn validate<'a>(
        &'a self,
        _: &'a PeerSet,
        items: &'a [Artifact],
    ) -> BoxFuture<'a, Result<Vec<Diagnostic>, CallError>> {
        Box::pin(async {
            if self.traps.load(Ordering::SeqCst) {
                return Err(trap("templating.validate"));
            }
            let env = items.iter().find(|item| item.path == Artifact::ENV);
            let text = env.map(|item| String::from_utf8_lossy(&item.content));
            let empty = text.and_then(|text| text.lines().position(|line| line.ends_with("=''")));
            if let Some(above) = empty {
                return Ok(vec![Diagnostic {
                    severity: DiagnosticSeverity::Error,
                    artifact: Artifact::ENV.to_owned(),
                    line: u32::try_from(above).unwrap() + 1,
                    message: "the value is empty".to_owned(),
                    hint: "write the pod's name".to_owned(),
                }]);
            }
            let objects = self.objects.load(Ordering::SeqCst);
            Ok(objects
                .then(|| Diagnostic {
                    severity: DiagnosticSeverity::Error,
                    artifact: items[0].path.clone(),
                    line: 1,
                    message: "the cluster is too short".to_owned(),
                    hint: "name every replica".to_owned(),
                })
                .into_iter()
                .collect())
        })
    }
}

fn trap(function: &'static str) -> CallError {
    CallError {
        plugin: "fake".to_owned(),
        function,
        kind: CallErrorKind::Trap("unreachable".to_owned()),
    }
}

#[derive(Default)]
struct FakeActions {
    taken: Mutex<Vec<String>>,
    fails: AtomicBool,
    never: AtomicBool,
}

impl ChangeActions for FakeActions {
    fn act(&self, action: OnChange, _: String) -> BoxFuture<'static, Result<(), ActionFailure>> {
        let fails = self.fails.load(Ordering::SeqCst);
        let try_again = !self.never.load(Ordering::SeqCst);
        if !fails {
            self.taken.lock().unwrap().push(on_change::name(&action));
        }
        Box::pin(async move {
            if fails {
                return Err(ActionFailure {
                    problem: "nobody listens".to_owned(),
                    try_again,
                });
            }
            Ok(())
        })
    }
}

/// A pod, its render task and everything that goes into it.
struct Pod {
    root: tempfile::TempDir,
    plugin: Arc<FakePlugin>,
    actions: Arc<FakeActions>,
    peers: watch::Sender<Arc<PeerSet>>,
    related: watch::Sender<Arc<RelatedSets>>,
    loaded: watch::Sender<Arc<Loaded>>,
    started: watch::Sender<bool>,
    health: watch::Sender<Arc<HealthReport>>,
    phase: watch::Sender<Phase>,
    recorder: Recorder,
    keep: (
        watch::Sender<Arc<ReloadState>>,
        watch::Sender<Option<String>>,
    ),
    timeline: Timeline,
}

struct Running {
    state: watch::Receiver<Arc<FilesState>>,
    handle: RenderHandle,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

fn config(root: &Path) -> Config {
    let mut config =
        Config::from_env(&|name| (name == "POD_NAME").then(|| "db-0".to_owned())).unwrap();
    config.dirs.files = root.join("run");
    config.dirs.secrets = root.join("secrets");
    config
}

fn loaded(template: &str, on_failure: &str, revision: u32) -> Arc<Loaded> {
    let text = PROFILE.replace("KEEP", on_failure);
    let (profile, findings) = outrigger_profile::parse(&text, "outrigger.yaml");
    Arc::new(Loaded {
        profile: Arc::new(profile.unwrap_or_else(|| panic!("{findings}"))),
        templates: BTreeMap::from([("db.conf".to_owned(), template.to_owned())]),
        revision,
        digest: crate::reload::read::digest([("db.conf", template.as_bytes())]),
        warnings: Findings::default(),
    })
}

const TEMPLATE: &str = "{{ replicas | hosts | join(',') }} {{ plugin.join }}\n";

fn pod(on_failure: &str) -> Pod {
    let root = tempfile::tempdir().unwrap();
    let first = loaded(TEMPLATE, on_failure, 1);
    let mut peers = discovery::initial(&config(root.path()), &first.profile);
    peers.source = Source::Fixed;
    Pod {
        plugin: Arc::default(),
        actions: Arc::default(),
        peers: watch::Sender::new(Arc::new(peers)),
        related: watch::Sender::default(),
        loaded: watch::Sender::new(first),
        started: watch::Sender::new(false),
        health: watch::Sender::new(Arc::new(well())),
        phase: watch::Sender::new(Phase::Running),
        recorder: Recorder::new(),
        keep: (watch::Sender::new(Arc::default()), watch::Sender::new(None)),
        timeline: Timeline::in_memory(),
        root,
    }
}

impl Pod {
    #[expect(clippy::disallowed_methods, reason = "a test ends its task itself")]
    fn run(&self) -> Running {
        let config = config(self.root.path());
        let tools = RenderTools {
            seeds: Arc::new(PodSeeds::new(&config.volumes).unwrap()),
            config: Arc::new(config),
            plugin: Some(self.plugin.clone()),
            actions: self.actions.clone(),
            timeline: self.timeline.clone(),
            recorder: self.recorder.clone(),
        };
        let inputs = RenderInputs {
            peers: self.peers.subscribe(),
            related: self.related.subscribe(),
            loaded: self.loaded.subscribe(),
            reload: self.keep.0.subscribe(),
            role: self.keep.1.subscribe(),
            started: self.started.subscribe(),
            vitals: Vitals {
                health: self.health.subscribe(),
                phase: self.phase.subscribe(),
            },
        };
        let (task, state, handle) = RenderTask::new(tools, inputs).unwrap();
        let shutdown = Shutdown::new();
        Running {
            state,
            handle,
            task: tokio::spawn(task.run(shutdown.clone())),
            shutdown,
        }
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.root.path().join("run/dirs/0/db.conf")).unwrap()
    }

    fn told(&self) -> Vec<String> {
        let entries = self.timeline.since(0);
        entries.iter().map(|entry| entry.message.clone()).collect()
    }

    fn taken(&self) -> Vec<String> {
        self.actions.taken.lock().unwrap().clone()
    }

    fn scale(&self, desired: u32) {
        self.peers.send_modify(|set| {
            let set = Arc::make_mut(set);
            set.revision += 1;
            set.source = Source::Fixed;
            set.desired = desired;
            for ordinal in (0..desired).map(Ordinal) {
                let (name, host) = (set.identity.pod_of(ordinal), set.identity.host_of(ordinal));
                let mut replica = Replica::expected(ordinal, name, host);
                replica.addresses.push(IpAddr::from([10, 0, 0, 1]));
                set.replicas.insert(ordinal, replica);
            }
        });
    }
}

impl Running {
    async fn until(&mut self, what: impl FnMut(&Arc<FilesState>) -> bool) -> Arc<FilesState> {
        let found = tokio::time::timeout(Duration::from_secs(20), self.state.wait_for(what)).await;
        let found = found.expect("the state comes in time").unwrap();
        Arc::clone(&found)
    }

    async fn end(self) {
        self.shutdown.trigger("the test is over");
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn the_first_set_opens_the_gate_and_tells_nobody() {
    let pod = pod("keep-last");
    let mut running = pod.run();
    let state = running.until(|state| state.gate.is_ready()).await;
    assert_eq!((state.set, state.commits), (Some(1), 1));
    assert_eq!(
        pod.file(),
        "db-0.db.default.svc.cluster.local,db-1.db.default.svc.cluster.local db-0\n"
    );
    assert_eq!(pod.taken(), [""; 0]);
    running.end().await;
}

#[tokio::test]
async fn a_scale_up_renders_anew_and_restarts_the_workload_once() {
    let pod = pod("keep-last");
    let mut running = pod.run();
    running.until(|state| state.gate.is_ready()).await;
    pod.started.send_replace(true);
    pod.scale(3);
    let state = running.until(|state| state.action.is_some()).await;
    assert_eq!(state.set, Some(2));
    assert!(pod.file().contains("db-2."));
    assert_eq!(pod.taken(), ["restart"]);
    // The same again is no new set and no action.
    pod.scale(3);
    let state = running.handle.render().await.unwrap();
    assert_eq!(state.commits, 2);
    assert_eq!(pod.taken(), ["restart"]);
    running.end().await;
}

#[tokio::test]
async fn changes_before_the_workload_started_tell_nobody() {
    let pod = pod("keep-last");
    pod.plugin.holds.store(true, Ordering::SeqCst);
    let mut running = pod.run();
    let state = running.until(|state| state.set.is_some()).await;
    drop(state);
    pod.scale(3);
    let state = running.until(|state| state.set == Some(2)).await;
    assert_eq!(
        state.gate,
        Gate::Waiting("the plugin holds the start: the disk is another's".into())
    );
    assert_eq!(pod.taken(), [""; 0]);
    // It is asked again without any change.
    pod.plugin.holds.store(false, Ordering::SeqCst);
    running.until(|state| state.gate.is_ready()).await;
    running.end().await;
}

#[tokio::test]
async fn a_broken_template_is_refused_and_the_old_set_stands() {
    let pod = pod("keep-last");
    let mut running = pod.run();
    running.until(|state| state.set == Some(1)).await;
    let before = pod.file();
    pod.loaded
        .send_replace(loaded("{{ self.ordnal }}", "keep-last", 2));
    let state = running.until(|state| state.refusal.is_some()).await;
    let told = state.refusal.as_ref().unwrap().findings.to_string();
    assert!(told.contains("did you mean `self.ordinal`?"), "{told}");
    assert_eq!((state.set, pod.file()), (Some(1), before));
    pod.loaded.send_replace(loaded(TEMPLATE, "keep-last", 3));
    running.until(|state| state.refusal.is_none()).await;
    let told: Vec<String> = pod
        .timeline
        .since(0)
        .iter()
        .map(|e| e.message.clone())
        .collect();
    assert_eq!(
        told,
        [
            "set 1 of rendered files is in place",
            "a render is refused, the set before it stands",
        ]
    );
    running.end().await;
}

#[tokio::test]
async fn a_replica_without_a_set_says_what_holds_it_and_starts_once_that_is_mended() {
    let pod = pod("keep-last");
    pod.loaded
        .send_replace(loaded("{{ self.ordnal }}", "keep-last", 2));
    let mut running = pod.run();
    let held = |state: &Arc<FilesState>| {
        let told = "the workload is held until its files are mended: error: ";
        matches!(&state.gate, Gate::Waiting(why) if why.starts_with(told))
    };
    running.until(held).await;
    let told = pod.timeline.since(0).last().unwrap().message.clone();
    assert_eq!(
        told,
        "a render is refused, and no set stands before it: the workload is held until this is mended"
    );
    pod.loaded.send_replace(loaded(TEMPLATE, "keep-last", 3));
    running.until(|state| state.gate.is_ready()).await;
    running.end().await;
}

#[tokio::test]
async fn what_the_plugin_objects_to_is_never_put_in_place() {
    let pod = pod("ignore");
    pod.plugin.objects.store(true, Ordering::SeqCst);
    let mut running = pod.run();
    let state = running.until(|state| state.refusal.is_some()).await;
    let state = if state.gate == Gate::Waiting("nothing has been rendered yet".into()) {
        running
            .until(|state| matches!(&state.gate, Gate::Waiting(why) if why.contains("too short")))
            .await
    } else {
        state
    };
    assert_eq!(state.set, None);
    assert_eq!(
        state.refusal.as_ref().unwrap().findings.to_string(),
        "error: /etc/db/db.conf:1: the cluster is too short\n  hint: name every replica"
    );
    assert!(!pod.root.path().join("run/current").exists());
    // It is tried again without any change.
    pod.plugin.objects.store(false, Ordering::SeqCst);
    running.until(|state| state.gate.is_ready()).await;
    running.end().await;
}

#[tokio::test]
async fn a_plugin_that_traps_costs_what_the_profile_says() {
    for (on_failure, stands) in [("ignore", false), ("keep-last", false), ("fail", false)] {
        let pod = pod(on_failure);
        pod.plugin.traps.store(true, Ordering::SeqCst);
        // The template needs the plugin's output, so even `ignore` has nothing to go on.
        let mut running = pod.run();
        let state = running.until(|state| state.refusal.is_some()).await;
        assert_eq!(state.set.is_some(), stands, "{on_failure}");
        running.end().await;
    }
    let pod = pod("ignore");
    pod.loaded.send_replace(loaded("plain\n", "ignore", 2));
    pod.plugin.traps.store(true, Ordering::SeqCst);
    let mut running = pod.run();
    let state = running.until(|state| state.gate.is_ready()).await;
    assert!(state.warnings.to_string().contains("not validated"));
    running.end().await;
}

#[tokio::test]
async fn a_restarted_sidecar_takes_over_what_stands() {
    let pod = pod("keep-last");
    let mut running = pod.run();
    running.until(|state| state.set == Some(1)).await;
    running.end().await;
    let mut running = pod.run();
    let state = running.until(|state| state.gate.is_ready()).await;
    assert_eq!((state.set, state.commits), (Some(1), 0));
    // Its workload runs: a change is told although this sidecar has not seen its start.
    pod.scale(3);
    running.until(|state| state.action.is_some()).await;
    assert_eq!(pod.taken(), ["restart"]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_action_that_cannot_be_taken_is_given_up_at_once() {
    let pod = pod("keep-last");
    pod.actions.never.store(true, Ordering::SeqCst);
    let mut running = pod.run();
    running.until(|state| state.gate.is_ready()).await;
    pod.started.send_replace(true);
    pod.actions.fails.store(true, Ordering::SeqCst);
    pod.scale(3);
    running.until(|state| state.action.is_some()).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    let given_up = |line: &&String| line.contains("could not be told");
    assert_eq!(
        pod.told().iter().filter(given_up).collect::<Vec<_>>(),
        ["the workload could not be told of changed files, given up: restart"]
    );
    running.end().await;
}

#[tokio::test]
async fn nothing_is_rendered_from_replicas_that_nobody_has_looked_up() {
    let pod = pod("keep-last");
    pod.peers
        .send_modify(|set| Arc::make_mut(set).source = Source::None);
    let mut running = pod.run();
    let state = running
        .until(|state| {
            state.gate == Gate::Waiting("the replicas have not been looked up yet".to_owned())
        })
        .await;
    assert_eq!((state.renders, state.set), (0, None));
    pod.peers
        .send_modify(|set| Arc::make_mut(set).source = Source::Dns);
    running.until(|state| state.set == Some(1)).await;
    running.end().await;
}

#[tokio::test]
async fn an_action_that_fails_is_tried_again() {
    let pod = pod("keep-last");
    let mut running = pod.run();
    running.until(|state| state.gate.is_ready()).await;
    pod.started.send_replace(true);
    pod.actions.fails.store(true, Ordering::SeqCst);
    pod.scale(3);
    let failed = |state: &Arc<FilesState>| {
        state
            .action
            .as_ref()
            .is_some_and(|action| action.failure.is_some())
    };
    running.until(failed).await;
    pod.actions.fails.store(false, Ordering::SeqCst);
    running.until(|state| !failed(state)).await;
    assert_eq!(pod.taken(), ["restart"]);
    running.end().await;
}

#[test]
fn volumes_tell_what_the_file_system_says() {
    let root = tempfile::tempdir().unwrap();
    let mut config = config(root.path());
    let volume = |bytes| crate::config::VolumeConfig {
        path: PathBuf::from("/data"),
        sidecar_path: root.path().to_owned(),
        bytes,
    };
    config.volumes.insert("claim".into(), volume(Some(5)));
    config.volumes.insert("empty".into(), volume(None));
    let facts: BTreeMap<String, VolumeFacts> = volumes(&config);
    assert_eq!(facts["claim"].bytes, Some(5));
    assert!(facts["empty"].bytes.unwrap() >= facts["empty"].free.unwrap());
}
