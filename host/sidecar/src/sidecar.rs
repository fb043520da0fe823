//! The whole sidecar: its rooms, the channels between them, and the order in which it starts and ends.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api_server::ApiServer;
use outrigger_plugin_host::{
    BoxFuture, BuiltinPlugin, Compiler, HostConfig, HostError, Plugin, PluginHost, StateOpenError,
    StateStore, Transport,
};
use outrigger_profile::Findings;
use outrigger_shutdown::{Deadline, Shutdown, Signals, Tasks};
use outrigger_telemetry::{LogHandle, OtlpMetrics};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin::{Admin, AdminError, AdminSetup, Commands, StatusSource};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::control::{HubControl, PodControl, WorkloadControl};
use crate::discovery::{self, DiscoverySetup, DnsServers, RelatedFor};
use crate::files::FilesError;
use crate::health::{self, HealthSetup, Verdicts};
use crate::lifecycle::{Drains, Lifecycle, LifecycleSetup};
use crate::metrics::{Derives, Metrics, MetricsSetup, Recorder, Timed};
use crate::reload::{self, Loaded, PluginLoader, Reload, ReloadHandle, ReloadTools};
use crate::rooms::Rooms;
use crate::secrets::SecretFolder;
use crate::template::{
    PodSeeds, RenderHandle, RenderInputs, RenderTask, RenderTools, TemplatePlugin, WorkloadActions,
};
use crate::termination::{self, Drained};
use crate::timeline::Timeline;
use crate::transport::HttpTransport;
use crate::trial::Vitals;

/// How long the sidecar's own tasks may take to end, once the workload is drained.
const END_WITHIN: Duration = Duration::from_secs(2);

/// What a sidecar is made of.
#[derive(Debug)]
pub struct SidecarSetup {
    /// The environment.
    pub config: Config,
    /// The plugins that ship with this program.
    pub builtins: &'static [BuiltinPlugin],
    /// How other components are compiled.
    pub compiler: Compiler,
    /// Changes the log filter while running.
    pub log: LogHandle,
    /// Where metrics are exported to besides `/metrics`.
    pub otlp: Option<OtlpMetrics>,
    /// The way to the API server of the pod's cluster; none where the pod has no service account's token.
    pub api: Option<ApiServer>,
}

/// The sidecar could not start.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The profile or the plugin is wrong.
    #[error(transparent)]
    BadInput(#[from] Findings),
    /// A folder of the sidecar's own.
    #[error("the folder {} cannot be used", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The plugin's store.
    #[error("the plugin's state cannot be opened")]
    State(#[from] StateOpenError),
    /// The kernel's random numbers.
    #[error("random numbers cannot be had")]
    Random(#[source] std::io::Error),
    /// The engine.
    #[error("plugins cannot be run")]
    Plugins(#[from] HostError),
    /// The shared volume.
    #[error("rendered files cannot be put in place")]
    Files(#[from] FilesError),
    /// A server.
    #[error("the sidecar cannot be reached")]
    Admin(#[from] AdminError),
}

/// How a sidecar ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Because it was asked to, in order; the names are those of tasks that did not end in time.
    InOrder(Vec<String>),
    /// Because a task of it failed.
    Fault(String),
}

/// A sidecar that is ready to run.
pub struct Sidecar {
    tasks: Tasks,
    shutdown: Shutdown,
    lifecycle: Lifecycle,
    timeline: Timeline,
    grace_period: Duration,
    termination_log: Option<PathBuf>,
}

impl fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sidecar")
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

impl Sidecar {
    /// Reads the profile, loads the plugin, binds the servers and starts every task.
    ///
    /// # Errors
    /// Everything that is wrong with the profile at once, or the first thing that could not be done.
    pub async fn start(setup: SidecarSetup) -> Result<Self, SidecarError> {
        let termination_log = setup.config.termination_log.clone();
        Self::build(setup).await.inspect_err(|error| {
            let text = format!("the sidecar cannot start: {}", discovery::chain(error));
            termination::write(termination_log.as_deref(), &text);
        })
    }

    async fn build(setup: SidecarSetup) -> Result<Self, SidecarError> {
        let born = Instant::now();
        let config = Arc::new(setup.config);
        make_folder(&config.dirs.state)?;
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        let timeline = Timeline::open(&config.dirs.state.join("timeline.jsonl"));
        timeline.record(
            "start",
            format!("the sidecar of {} starts", config.identity.pod()),
            [],
        );

        let recorder = Recorder::new();
        let cluster = setup
            .api
            .map(|api| Cluster::new(api, &config.identity, recorder.clone()));
        if let Some(cluster) = &cluster {
            cluster.tell_events(timeline.clone(), &tasks);
        }
        let first = reload::load(&config.dirs.profile, 1)?;
        let first = Arc::new(first);
        let profile = Arc::clone(&first.profile);
        let (loaded_sender, loaded) = watch::channel(Arc::clone(&first));
        let (peers_sender, peers) = watch::channel(Arc::new(discovery::initial(&config, &profile)));
        let (related_sender, related) = watch::channel(Arc::default());
        let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(
            config.workload_host.clone(),
            peers.clone(),
        ));
        let secrets = SecretFolder::new(&config.dirs.secrets, profile.secrets.clone());

        let loader = PluginLoader {
            host: PluginHost::new(HostConfig {
                cache_dir: Some(config.dirs.state.join("compiled")),
                compiler: setup.compiler,
            })?,
            builtins: setup.builtins,
            config: Arc::clone(&config),
            transport: Arc::clone(&transport),
            secrets: Arc::new(secrets.clone()),
            related: Arc::new(RelatedFor(related.clone())),
            state: Arc::new(StateStore::open(&config.dirs.state.join("state"))?),
            dropped_lines: Arc::default(),
        };
        let plugin = load_plugin(&loader, &first, &timeline).await?;
        let timed = plugin
            .clone()
            .map(|plugin| Timed::new(plugin, recorder.clone()));

        let control: Arc<dyn WorkloadControl> = if let Some(local) = &config.local {
            Arc::new(HubControl::new(local, config.identity.pod(), tasks.clone()))
        } else {
            let turns = |cluster: &Cluster| cluster.turns(timeline.clone(), tasks.clone());
            let container = profile.workload.container.clone();
            Arc::new(PodControl::new(container, cluster.as_ref().map(turns)))
        };
        let (health_sender, health) = watch::channel(Arc::new(health::initial()));
        let lifecycle = Lifecycle::new(
            LifecycleSetup {
                workload_host: config.workload_host.clone(),
                grace_period: config.grace_period,
                plugin: timed
                    .clone()
                    .map(|timed| Arc::new(timed) as Arc<dyn Drains>),
                control: Arc::clone(&control),
                loaded: loaded.clone(),
                peers: peers.clone(),
                health: health.clone(),
                timeline: timeline.clone(),
                recorder: recorder.clone(),
            },
            tasks.clone(),
        );

        let vitals = Vitals {
            health: health.clone(),
            phase: lifecycle.phase(),
        };
        let (reload, reload_state, reload_handle) = Reload::new(
            ReloadTools {
                config: Arc::clone(&config),
                secrets,
                plugin: plugin.clone().map(|plugin| loader.reloader(plugin)),
                vitals: vitals.clone(),
                timeline: timeline.clone(),
                recorder: recorder.clone(),
            },
            loaded_sender,
        );
        let (role_sender, role) = watch::channel(None);
        // Nobody but a plugin says a role.
        if let Some(cluster) = cluster.as_ref().filter(|_| plugin.is_some()) {
            let phase = lifecycle.phase();
            cluster.publish_role(role.clone(), phase, timeline.clone(), &tasks);
        }
        let seeds = PodSeeds::new(&config.volumes).map_err(SidecarError::Random)?;
        let (render, files, render_handle) = RenderTask::new(
            RenderTools {
                config: Arc::clone(&config),
                plugin: plugin.map(|plugin| Arc::new(plugin) as Arc<dyn TemplatePlugin>),
                actions: Arc::new(WorkloadActions {
                    control,
                    transport,
                    restart: lifecycle.restart_request(),
                }),
                seeds: Arc::new(seeds),
                timeline: timeline.clone(),
                recorder: recorder.clone(),
            },
            RenderInputs {
                peers: peers.clone(),
                related: related.clone(),
                loaded: loaded.clone(),
                reload: reload_state.clone(),
                role,
                started: lifecycle.started(),
                vitals: vitals.clone(),
            },
        )?;

        let derives = timed
            .clone()
            .map(|timed| Arc::new(timed) as Arc<dyn Derives>);
        let rooms = Rooms {
            loaded: loaded.clone(),
            peers: peers.clone(),
            related,
            files: files.clone(),
            reload: reload_state,
            health: health.clone(),
            phase: lifecycle.phase(),
            plugin: derives,
            cluster: cluster.clone(),
            timeline: timeline.clone(),
        };
        let metrics = Metrics::new(MetricsSetup {
            workload_host: config.workload_host.clone(),
            rooms: rooms.clone(),
            recorder: recorder.clone(),
        });
        // Bound before anything else runs, so that a taken port is an error at the start.
        let admin = Admin::bind(AdminSetup {
            listen: config.listen,
            socket: config.dirs.state.join("admin.sock"),
            token: config.pre_stop_token.clone(),
            status: StatusSource {
                rooms,
                tasks: tasks.clone(),
                started: born,
            },
            metrics: metrics.clone(),
            lifecycle: lifecycle.clone(),
            log: setup.log,
            commands: Arc::new(Asked {
                reload: reload_handle,
                render: render_handle,
            }),
            recorder: recorder.clone(),
            tasks: tasks.clone(),
        })
        .await?;

        tasks.spawn("admin", admin.run(shutdown.clone()));
        if let Some(otlp) = setup.otlp {
            tasks.spawn("export", metrics.export(otlp, shutdown.clone()));
        }
        let look = DiscoverySetup {
            config: Arc::clone(&config),
            servers: DnsServers::default(),
            cluster,
            recorder: recorder.clone(),
        };
        tasks.spawn(
            "related",
            discovery::run_related(
                look.clone(),
                loaded.clone(),
                related_sender,
                timeline.clone(),
                shutdown.clone(),
            ),
        );
        tasks.spawn(
            "discovery",
            discovery::run(
                look,
                loaded.clone(),
                peers_sender,
                timeline.clone(),
                shutdown.clone(),
            ),
        );
        tasks.spawn("reload", reload.run(shutdown.clone()));
        tasks.spawn("template", render.run(shutdown.clone()));
        tasks.spawn(
            "health",
            health::run(
                HealthSetup {
                    workload_host: config.workload_host.clone(),
                    verdicts: timed.map(|timed| Arc::new(timed) as Arc<dyn Verdicts>),
                    loaded,
                    peers,
                    files,
                    phase: lifecycle.phase(),
                    timeline: timeline.clone(),
                    recorder: recorder.clone(),
                    role: role_sender,
                },
                health_sender,
                shutdown.clone(),
            ),
        );
        let (own, ending) = (lifecycle.clone(), shutdown.clone());
        tasks.spawn("lifecycle", async move { own.run(ending).await });
        Ok(Self {
            tasks,
            shutdown,
            lifecycle,
            timeline,
            grace_period: config.grace_period,
            termination_log: config.termination_log.clone(),
        })
    }

    /// Runs until SIGTERM or SIGINT, then takes the replica out of service and ends. A second signal
    /// ends at once. A task that fails ends the sidecar too: the kubelet starts it anew, and the
    /// workload goes on meanwhile. The last entry of the timeline tells how the end went, and so does
    /// the container's termination message.
    pub async fn run(self, mut signals: Signals) -> Ended {
        let signal = tokio::select! {
            fault = self.tasks.fault() => {
                self.last_word(&format!("the sidecar ends: {fault}"));
                return Ended::Fault(fault.to_string());
            }
            signal = signals.next() => signal,
        };
        self.timeline
            .record("stop", format!("{signal}: the sidecar ends"), []);
        let deadline = Deadline::after(self.grace_period);
        let (outcome, again) = tokio::select! {
            outcome = self.lifecycle.drain_before_end() => (outcome, false),
            _ = signals.next() => (None, true),
        };
        let drained = match &outcome {
            _ if again => Drained::CutOff(self.lifecycle.drain_step()),
            Some(outcome) => Drained::Ended(outcome),
            None => Drained::Needless,
        };
        self.lifecycle.stopping();
        self.shutdown.trigger(signal.to_string());
        let left = self.tasks.finish(deadline.at_most(END_WITHIN)).await;
        self.last_word(&termination::told(&signal.to_string(), &drained, &left));
        Ended::InOrder(left)
    }

    fn last_word(&self, text: &str) {
        self.timeline.record("stop", text, []);
        termination::write(self.termination_log.as_deref(), text);
        self.timeline.flush();
    }
}

async fn load_plugin(
    loader: &PluginLoader,
    first: &Loaded,
    timeline: &Timeline,
) -> Result<Option<Plugin>, SidecarError> {
    let generation = loader.load(&first.profile).await;
    let generation = generation.map_err(|findings| Findings(first.locate(findings)))?;
    let Some(generation) = generation else {
        return Ok(None);
    };
    let plugin = Plugin::new(generation);
    let info = plugin.info();
    let told = format!("the plugin {} {} is in use", info.plugin, info.version);
    timeline.record("plugin", told, []);
    Ok(Some(plugin))
}

/// What the Unix socket asks for, done by the rooms that own it.
struct Asked {
    reload: ReloadHandle,
    render: RenderHandle,
}

impl Commands for Asked {
    fn reload(&self) -> BoxFuture<'_, Result<Value, String>> {
        Box::pin(async move {
            let state = self
                .reload
                .reload()
                .await
                .ok_or("the sidecar is about to end")?;
            if let Some(refusal) = state.profile.as_ref().or(state.plugin.as_ref()) {
                return Err(refusal.findings.to_string());
            }
            let files = self
                .render
                .render()
                .await
                .ok_or("the sidecar is about to end")?;
            match files.refusal.as_ref().or(files.rolled_back.as_ref()) {
                Some(refusal) => Err(refusal.findings.to_string()),
                None => Ok(json!({ "set": files.set, "taken": state.taken })),
            }
        })
    }

    fn swap(&self) -> BoxFuture<'_, Result<Value, String>> {
        Box::pin(async move {
            let swapped = self.reload.swap().await;
            match swapped.ok_or("the sidecar is about to end")? {
                Ok(told) => Ok(json!({ "told": told })),
                Err(findings) => Err(findings.to_string()),
            }
        })
    }
}

fn make_folder(path: &std::path::Path) -> Result<(), SidecarError> {
    std::fs::create_dir_all(path).map_err(|source| SidecarError::Folder {
        path: path.to_owned(),
        source,
    })
}
