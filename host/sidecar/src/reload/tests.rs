//! Which changes are taken and which are refused.

use std::sync::Mutex;

use outrigger_plugin_host::BoxFuture;
use outrigger_profile::Severity;

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::fixture::well;
use crate::health::{HealthReport, ProbeReport};
use crate::lifecycle::Phase;
use crate::trial::PluginFaults;

const PROFILE: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: Profile
metadata: {name: db}
spec:
  workload: {container: db, ports: {api: 3000}}
  files:
    - template: db.conf
      path: /etc/db/db.conf
";

const WITH_PLUGIN: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: Profile
metadata: {name: db}
spec:
  workload: {container: db, ports: {api: 3000}}
  plugin:
    source: file:db.wasm
    digest: any
    settings: {limit: 1}
";

/// A pod's folders, and the task that watches them.
struct Pod {
    _root: tempfile::TempDir,
    profile: PathBuf,
    secrets: PathBuf,
    loaded: watch::Receiver<Arc<Loaded>>,
    state: watch::Receiver<Arc<ReloadState>>,
    handle: ReloadHandle,
    timeline: Timeline,
    health: watch::Sender<Arc<HealthReport>>,
    _phase: watch::Sender<Phase>,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct FakePlugin {
    refuse: bool,
    seen: Mutex<Vec<u32>>,
    rolled_back: AtomicU32,
    settled: AtomicU32,
}

impl PluginReloader for FakePlugin {
    fn reload<'a>(&'a self, loaded: &'a Loaded) -> BoxFuture<'a, Result<String, Vec<Finding>>> {
        self.seen.lock().unwrap().push(loaded.revision);
        Box::pin(async move {
            if self.refuse {
                Err(vec![Finding::error(
                    "spec.plugin",
                    "the component is truncated",
                )])
            } else {
                Ok("generation 2 is in use".to_owned())
            }
        })
    }

    fn roll_back(&self) -> Option<String> {
        self.rolled_back.fetch_add(1, Ordering::SeqCst);
        Some("generation 1 is in use".to_owned())
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        self.settled.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {})
    }

    fn faults(&self) -> PluginFaults {
        PluginFaults::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test ends its task itself")]
fn pod(document: &str, plugin: Option<Arc<dyn PluginReloader>>) -> Pod {
    let root = tempfile::tempdir().unwrap();
    let profile = root.path().join("profile");
    let secrets = root.path().join("secrets");
    for folder in [&profile, &secrets] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(profile.join("outrigger.yaml"), document).unwrap();
    std::fs::write(profile.join("db.conf"), "id = {{ self.ordinal }}\n").unwrap();
    let mut config =
        Config::from_env(&|name| (name == "POD_NAME").then(|| "db-0".to_owned())).unwrap();
    config.dirs.profile.clone_from(&profile);
    config.dirs.secrets.clone_from(&secrets);
    let first = load(&profile, 1).unwrap_or_else(|findings| panic!("{findings}"));
    let folder = SecretFolder::new(&secrets, first.profile.secrets.clone());
    let (sender, loaded) = watch::channel(Arc::new(first));
    let timeline = Timeline::in_memory();
    let health = watch::Sender::new(Arc::new(well()));
    let phase = watch::Sender::new(Phase::Running);
    let tools = ReloadTools {
        config: Arc::new(config),
        secrets: folder,
        plugin,
        vitals: Vitals {
            health: health.subscribe(),
            phase: phase.subscribe(),
        },
        timeline: timeline.clone(),
        recorder: Recorder::new(),
    };
    let (reload, state, handle) = Reload::new(tools, sender);
    let shutdown = Shutdown::new();
    Pod {
        _root: root,
        profile,
        secrets,
        loaded,
        state,
        handle,
        timeline,
        health,
        _phase: phase,
        task: tokio::spawn(reload.run(shutdown.clone())),
        shutdown,
    }
}

impl Pod {
    fn write(&self, name: &str, text: &str) {
        // As editors do: a new file renamed over the old one.
        let temporary = self.profile.join("..new");
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(temporary, self.profile.join(name)).unwrap();
    }

    async fn end(self) {
        self.shutdown.trigger("the test is over");
        self.task.await.unwrap();
    }

    fn told(&self) -> Vec<String> {
        self.timeline
            .since(0)
            .iter()
            .map(|entry| entry.message.clone())
            .collect()
    }
}

fn texts(refusal: Option<&Refusal>) -> String {
    refusal
        .map(|refusal| refusal.findings.to_string())
        .unwrap_or_default()
}

#[tokio::test]
async fn an_edited_template_is_taken_without_being_asked_for() {
    let mut pod = pod(PROFILE, None);
    pod.write("db.conf", "id = {{ self.index }}\n");
    let taken = pod.loaded.wait_for(|loaded| loaded.revision == 2);
    let taken = tokio::time::timeout(Duration::from_secs(10), taken)
        .await
        .expect("the change is seen in time")
        .unwrap();
    assert_eq!(taken.templates["db.conf"], "id = {{ self.index }}\n");
    drop(taken);
    assert_eq!(pod.told(), ["the changed profile is in use"]);
    pod.end().await;
}

#[tokio::test]
async fn a_broken_profile_is_refused_with_its_findings_and_forgotten_when_taken_back() {
    let pod = pod(PROFILE, None);
    pod.write("outrigger.yaml", &PROFILE.replace("template:", "tmplate:"));
    let state = pod.handle.reload().await.unwrap();
    assert!(
        texts(state.profile.as_ref()).contains("tmplate"),
        "{state:?}"
    );
    assert_eq!(state.refused, 1);
    assert_eq!(pod.loaded.borrow().revision, 1);
    // The same refused content again is not told twice.
    assert_eq!(pod.handle.reload().await.unwrap().refused, 1);
    pod.write("outrigger.yaml", PROFILE);
    assert_eq!(pod.handle.reload().await.unwrap().profile, None);
    assert_eq!(
        pod.told(),
        [
            "a changed profile is refused, the one before it stays in use",
            "the refused profile was taken back",
        ]
    );
    pod.end().await;
}

#[tokio::test]
async fn a_template_that_is_gone_is_told_with_what_is_near() {
    let pod = pod(PROFILE, None);
    std::fs::rename(pod.profile.join("db.conf"), pod.profile.join("db.cnf")).unwrap();
    let state = pod.handle.reload().await.unwrap();
    let told = texts(state.profile.as_ref());
    assert!(
        told.contains("spec.files[0].template: there is no template `db.conf`"),
        "{told}"
    );
    assert!(told.contains("did you mean `db.cnf`?"), "{told}");
    pod.end().await;
}

#[tokio::test]
async fn what_needs_a_new_pod_is_refused_with_that_remedy() {
    let pod = pod(PROFILE, None);
    let moved = PROFILE.replace("/etc/db/db.conf", "/etc/other/db.conf");
    pod.write(
        "outrigger.yaml",
        &moved.replace("container: db", "container: database"),
    );
    let state = pod.handle.reload().await.unwrap();
    let refusal = state.profile.as_ref().unwrap();
    let places: Vec<&str> = refusal.findings.0.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(places, ["spec.files", "spec.workload.container"]);
    for finding in &refusal.findings.0 {
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.hint.as_deref().unwrap().contains("needs a new pod"));
    }
    pod.end().await;
}

#[tokio::test]
async fn a_changed_component_and_changed_settings_reload_the_plugin() {
    let plugin = Arc::new(FakePlugin::default());
    let reloader: Arc<dyn PluginReloader> = plugin.clone();
    let pod = pod(WITH_PLUGIN, Some(reloader));
    std::fs::write(pod.profile.join("db.wasm"), [0, 1, 2, 0xff]).unwrap();
    pod.handle.reload().await.unwrap();
    assert_eq!(*plugin.seen.lock().unwrap(), [1]);
    pod.handle.reload().await.unwrap();
    assert_eq!(*plugin.seen.lock().unwrap(), [1]);
    pod.write(
        "outrigger.yaml",
        &WITH_PLUGIN.replace("limit: 1", "limit: 2"),
    );
    pod.handle.reload().await.unwrap();
    assert_eq!(*plugin.seen.lock().unwrap(), [1, 2]);
    assert_eq!(pod.loaded.borrow().revision, 2);
    pod.end().await;
}

#[tokio::test]
async fn a_component_that_is_refused_leaves_the_profile_and_shows_in_the_state() {
    let plugin: Arc<dyn PluginReloader> = Arc::new(FakePlugin {
        refuse: true,
        ..FakePlugin::default()
    });
    let pod = pod(WITH_PLUGIN, Some(plugin));
    std::fs::write(pod.profile.join("db.wasm"), [0, 1, 2, 0xff]).unwrap();
    let state = pod.handle.reload().await.unwrap();
    assert!(texts(state.plugin.as_ref()).contains("truncated"));
    // Settings that the plugin refuses refuse the profile as a whole.
    pod.write(
        "outrigger.yaml",
        &WITH_PLUGIN.replace("limit: 1", "limit: 2"),
    );
    let state = pod.handle.reload().await.unwrap();
    assert!(texts(state.profile.as_ref()).contains("truncated"));
    assert_eq!(pod.loaded.borrow().revision, 1);
    pod.end().await;
}

/// A pod whose component has just been replaced.
async fn swapped() -> (Pod, Arc<FakePlugin>) {
    let plugin = Arc::new(FakePlugin::default());
    let pod = pod(WITH_PLUGIN, Some(plugin.clone()));
    std::fs::write(pod.profile.join("db.wasm"), [0, 1, 2, 0xff]).unwrap();
    pod.handle.reload().await.unwrap();
    (pod, plugin)
}

#[tokio::test(start_paused = true)]
async fn a_plugin_after_which_health_falls_is_rolled_back_and_not_tried_again() {
    let (mut pod, plugin) = swapped().await;
    let mut ill = well();
    ill.readiness = ProbeReport::failing("plugin-failed", "it trapped");
    pod.health.send_replace(Arc::new(ill));
    let rolled_back = pod.state.wait_for(|state| state.plugin.is_some());
    let state = Arc::clone(&rolled_back.await.unwrap());
    assert_eq!(
        texts(state.plugin.as_ref()),
        "error: spec.plugin: the plugin was rolled back: this replica is not ready any more: it trapped (plugin-failed)\n  hint: the generation before it is in use: mend the component or its settings, what was rolled back is not tried again"
    );
    assert_eq!(
        (plugin.rolled_back.load(Ordering::SeqCst), state.generations),
        (1, 2)
    );
    // The same component is not tried again, not even when it was away.
    pod.health.send_replace(Arc::new(well()));
    std::fs::write(pod.profile.join("db.wasm"), [0, 1, 2, 0xfe]).unwrap();
    pod.handle.reload().await.unwrap();
    std::fs::write(pod.profile.join("db.wasm"), [0, 1, 2, 0xff]).unwrap();
    let state = pod.handle.reload().await.unwrap();
    assert!(texts(state.plugin.as_ref()).contains("is not tried again"));
    assert_eq!(plugin.seen.lock().unwrap().len(), 2);
    // Unless somebody insists.
    let told = pod.handle.swap().await.unwrap();
    assert_eq!(told, Ok("generation 2 is in use".to_owned()));
    assert_eq!(pod.state.borrow().plugin, None);
    pod.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_stands_its_trial_stays_and_the_one_before_is_let_go() {
    let (pod, plugin) = swapped().await;
    assert_eq!(plugin.settled.load(Ordering::SeqCst), 0);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(plugin.settled.load(Ordering::SeqCst), 1);
    let mut ill = well();
    ill.readiness = ProbeReport::failing("plugin-failed", "it trapped");
    pod.health.send_replace(Arc::new(ill));
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(plugin.rolled_back.load(Ordering::SeqCst), 0);
    pod.end().await;
}

#[tokio::test]
async fn a_swap_that_nobody_can_do_says_so() {
    let pod = pod(PROFILE, None);
    let refused = pod.handle.swap().await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("the profile names no plugin"));
    pod.end().await;
}

#[tokio::test]
async fn a_rotated_secret_changes_the_digest() {
    let document = format!("{PROFILE}  secrets: {{admin: {{secret: db-admin}}}}\n");
    let pod = pod(&document, None);
    let before = pod.state.borrow().secrets_digest.clone();
    std::fs::create_dir(pod.secrets.join("db-admin")).unwrap();
    std::fs::write(pod.secrets.join("db-admin/password"), "x").unwrap();
    let after = pod.handle.reload().await.unwrap().secrets_digest.clone();
    assert_ne!(before, after);
    assert_eq!(pod.told(), ["a secret changed"]);
    pod.end().await;
}

#[test]
fn a_folder_without_a_profile_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("outriger.yaml"), PROFILE).unwrap();
    let findings = load(folder.path(), 1).unwrap_err();
    assert_eq!(
        findings.to_string(),
        "error: outrigger.yaml: is not in the profile's folder\n  hint: there is `outriger.yaml`: name it `outrigger.yaml`"
    );
}
