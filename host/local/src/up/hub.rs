//! The hub: the process in which the pods are run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use outrigger_shutdown::{Deadline, Shutdown, Tasks};
use outrigger_telemetry::{LogConfig, LogFormat};
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use super::setup::Setup;
use super::watch::Watch;
use super::{address, names, state};
use crate::controller::{Backoff, Controller, ControllerConfig, Order, Policy, SetSnapshot};
use crate::dns::{Server, Zone};
use crate::events::{Event, Events};
use crate::forward::hub as forward;
use crate::hub_api::{self, Api, Info};
use crate::hub_client::SOCKET;
use crate::log_lines::Logs;
use crate::manifest::{self, Manifests, PROFILE_ANNOTATION, Placed, Profiles, namespace_of};
use crate::network::{Network, Subnet};
use crate::plan::{self, DOMAIN, Machine, Mode, PodInput, Program};
use crate::supervise::{Ground, Outside, launch};

/// The port of names.
const DNS_PORT: u16 = 53;
/// For what is left when all pods have ended.
const LAST: Duration = Duration::from_secs(2);
/// So long an answer to the last request may take.
const ANSWER: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The objects as they are now.
struct Loaded {
    manifests: Manifests,
    profiles: Profiles,
}

type Current = Arc<RwLock<Arc<Loaded>>>;

/// What it logs about itself: faults of its parts.
const LOG_FILTER: &str = "warn,outrigger_local=info";

pub(super) fn run(args: &[OsString]) -> ExitCode {
    let log = LogConfig {
        filter: LOG_FILTER.to_owned(),
        format: LogFormat::Text,
        color: false,
    };
    // Without a log it does its work all the same.
    let _telemetry = outrigger_telemetry::init(&log, None, []).ok();
    let outcome = args
        .first()
        .ok_or_else(|| Failure::from("no setup is named"))
        .and_then(|path| read_setup(Path::new(path)))
        .and_then(|setup| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let outcome = runtime.block_on(Box::pin(serve(setup)));
            // A task that is stuck cannot hold the exit.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            // Nobody is left to tell when stderr is closed.
            let _ignored = writeln!(stderr, "error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                let _ignored = writeln!(stderr, "  caused by: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn read_setup(path: &Path) -> Result<Setup, Failure> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

async fn serve(setup: Setup) -> Result<(), Failure> {
    let _lock = state::lock(&setup.state, setup.pid)?;
    let setup = Arc::new(setup);
    let loaded = load(&setup).ok_or("the manifests cannot be read any more")?;
    let current: Current = Arc::new(RwLock::new(Arc::new(loaded)));
    let down = Shutdown::new();
    let end = Shutdown::new();
    let tasks = Tasks::new(end.clone());
    let events = Events::default();
    let logs = Logs::new(setup.state.join("logs"));
    let stop = CancellationToken::new();

    let (zone, zone_seen) = channel::channel(Arc::new(Zone::new(DOMAIN, &[])));
    let network = if setup.plain {
        None
    } else {
        let network = Network::create(Subnet::default()).await?;
        let gateway = network.subnet().gateway;
        let server = Server::bind((gateway, DNS_PORT).into()).await?;
        let (stop, told) = (stop.clone(), events.clone());
        tasks.spawn("names", async move {
            if let Err(error) = server.serve(zone_seen, stop).await {
                told.notice(error.to_string());
            }
        });
        Some(Arc::new(network))
    };
    let control = if setup.plain {
        None
    } else {
        let listener = forward::bind(&setup.state)?;
        let (stop, told) = (stop.clone(), events.clone());
        tasks.spawn("forwarding", async move {
            if let Err(error) = forward::serve(listener, stop).await {
                told.notice(format!("connections are not forwarded any more: {error}"));
            }
        });
        Some(Arc::new(forward::Control::connect(&setup.state).await?))
    };
    let ground = Ground {
        outside: outside(&setup),
        network,
        forward: control,
        launch,
        logs: logs.clone(),
        events: events.clone(),
        tasks: tasks.clone(),
        backoff: Backoff::default(),
    };
    // The socket first, since the sidecars get a link to it.
    let listener = bind(&setup.state.join(SOCKET))?;
    let controllers = Arc::new(start_all(&setup, &current, &ground)?);
    let api = Api {
        controllers: Arc::clone(&controllers),
        logs,
        events: events.clone(),
        info: Arc::new(Info {
            name: setup.name.clone(),
            state: setup.state.clone(),
            pid: setup.pid,
            plain: setup.plain,
            inputs: setup.inputs.clone(),
        }),
        down: down.clone(),
    };
    let over = end.clone();
    tasks.spawn("hub.sock", async move {
        let serving = axum::serve(listener, hub_api::router(api));
        tokio::select! {
            _ = serving => {}
            () = over.triggered() => {}
        }
    });
    let naming = follow_sets(
        Arc::clone(&controllers),
        Arc::clone(&current),
        zone,
        events.clone(),
    );
    tasks.spawn_short("zone", naming);
    let watching = follow_files(
        Arc::clone(&setup),
        current,
        Arc::clone(&controllers),
        events.clone(),
    );
    let over = end.clone();
    tasks.spawn_short("files", async move {
        tokio::select! {
            () = watching => {}
            () = over.triggered() => {}
        }
    });

    let mut signals = outrigger_shutdown::signals()?;
    let ended = async {
        for controller in controllers.values() {
            let mut watch = controller.watch();
            // A controller that is gone has ended too.
            let _ignored = watch.wait_for(|set| set.ended).await;
        }
    };
    tokio::pin!(ended);
    tokio::select! {
        () = down.triggered() => {}
        signal = signals.next() => {
            down.trigger(signal.name);
        }
        () = &mut ended => {}
    }
    events.tell(Event::Down {
        reason: down.reason().unwrap_or("its controllers ended").to_owned(),
    });
    for controller in controllers.values() {
        // One that has ended needs no word.
        let _ignored = controller.order(Order::Down).await;
    }
    ended.await;
    // Whoever follows the events gets the last ones before the socket closes.
    tokio::time::sleep(ANSWER).await;
    stop.cancel();
    end.trigger("all pods have ended");
    let _left = tasks.finish(Deadline::after(LAST)).await;
    // It means that nobody answers any more.
    let _ignored = std::fs::remove_file(setup.state.join(SOCKET));
    Ok(())
}

fn bind(path: &Path) -> std::io::Result<tokio::net::UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    // One that was left behind.
    let _ignored = std::fs::remove_file(path);
    let listener = tokio::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Reads the manifests; none when they are refused.
fn load(setup: &Setup) -> Option<Loaded> {
    let manifests = manifest::read(&setup.inputs);
    let refused = manifests
        .findings
        .iter()
        .any(|finding| finding.severity == outrigger_profile::Severity::Error);
    if refused {
        return None;
    }
    let (profiles, _) = manifest::check(&manifests);
    Some(Loaded {
        manifests,
        profiles,
    })
}

fn outside(setup: &Setup) -> Outside {
    let (plain, salt) = (setup.plain, setup.salt);
    Arc::new(move |ip, port| match ip {
        std::net::IpAddr::V4(ip) if !plain => {
            let [_, _, high, low] = ip.octets();
            let offset = u32::from_be_bytes([0, 0, high, low]);
            (address::on_loopback(salt, offset), port).into()
        }
        ip => (ip, port).into(),
    })
}

fn start_all(
    setup: &Arc<Setup>,
    current: &Current,
    ground: &Ground,
) -> Result<BTreeMap<String, Controller>, Failure> {
    let loaded = read(current);
    let mut controllers = BTreeMap::new();
    for (index, set) in loaded.manifests.stateful_sets.iter().enumerate() {
        let config = configure(setup, current, ground, index, set)?;
        controllers.insert(config.name.clone(), Controller::start(config));
    }
    Ok(controllers)
}

fn read(current: &Current) -> Arc<Loaded> {
    // A reader never sees it half changed: it is one pointer.
    Arc::clone(
        &current
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
    )
}

fn configure(
    setup: &Arc<Setup>,
    current: &Current,
    ground: &Ground,
    index: usize,
    set: &Placed<StatefulSet>,
) -> Result<ControllerConfig, Failure> {
    let name = set.object.metadata.name.clone().unwrap_or_default();
    let namespace = namespace_of(set.object.metadata.namespace.as_deref()).to_owned();
    let spec = &set.object.spec;
    let local = setup.local(&namespace, &name);
    std::fs::create_dir_all(&local)?;
    let link = local.join(SOCKET);
    // It may be the socket of an older run.
    let _ignored = std::fs::remove_file(&link);
    // Not a symbolic link: a pod sees this folder, and not the one above it.
    std::fs::hard_link(setup.state.join(SOCKET), &link)?;
    let number = |value: Option<i32>, default| {
        value
            .and_then(|value| u32::try_from(value).ok())
            .unwrap_or(default)
    };
    let start = number(
        spec.ordinals.as_ref().and_then(|ordinals| ordinals.start),
        0,
    );
    let maker = Maker {
        setup: Arc::clone(setup),
        current: Arc::clone(current),
        name: name.clone(),
        namespace: namespace.clone(),
        index,
        start,
        token: token()?,
        programs: setup
            .programs
            .iter()
            .map(|(image, entry_point)| {
                let entry_point = entry_point.clone();
                (image.clone(), Program { entry_point })
            })
            .collect(),
        machine: machine(),
    };
    let service = spec.service_name.clone().unwrap_or_default();
    let (plain, salt) = (setup.plain, setup.salt);
    let host = (name.clone(), namespace.clone());
    Ok(ControllerConfig {
        start,
        replicas: setup.replicas.unwrap_or_else(|| number(spec.replicas, 1)),
        policy: match spec.pod_management_policy.as_deref() {
            Some("Parallel") => Policy::Parallel,
            _ => Policy::OrderedReady,
        },
        min_ready: Duration::from_secs(number(spec.min_ready_seconds, 0).into()),
        local,
        make: Box::new(move |ordinal, uid, desired| maker.make(ordinal, uid, desired)),
        host_of: Box::new(move |ordinal| {
            if plain {
                let offset = address::offset(index, ordinal.saturating_sub(start));
                return address::on_loopback(salt, offset).to_string();
            }
            let (name, namespace) = &host;
            format!("{name}-{ordinal}.{service}.{namespace}.svc.{DOMAIN}")
        }),
        ground: ground.clone(),
        name,
        namespace,
    })
}

/// Makes the plans of a StatefulSet's pods from the objects as they are now.
struct Maker {
    setup: Arc<Setup>,
    current: Current,
    name: String,
    namespace: String,
    index: usize,
    start: u32,
    token: String,
    programs: BTreeMap<String, Program>,
    machine: Machine,
}

impl Maker {
    fn make(
        &self,
        ordinal: u32,
        uid: &str,
        desired: u32,
    ) -> Result<plan::PodPlan, plan::PlanError> {
        let pod = format!("{}-{ordinal}", self.name);
        let fail = |problem: &str| plan::PlanError {
            pod: pod.clone(),
            problem: problem.to_owned(),
        };
        let loaded = read(&self.current);
        let set = loaded
            .manifests
            .stateful_sets
            .iter()
            .map(|set| &set.object)
            .find(|set| {
                set.metadata.name.as_deref() == Some(&self.name)
                    && namespace_of(set.metadata.namespace.as_deref()) == self.namespace
            })
            .ok_or_else(|| fail("its StatefulSet is not among the manifests any more"))?;
        let annotations = set.spec.template.metadata.as_ref();
        let profile = annotations
            .and_then(|metadata| metadata.annotations.as_ref()?.get(PROFILE_ANNOTATION))
            .and_then(|name| loaded.profiles.get(&(self.namespace.clone(), name.clone())));
        let offset = address::offset(self.index, ordinal.saturating_sub(self.start));
        let setup = &self.setup;
        for related in profile.iter().flat_map(|profile| profile.related.values()) {
            // Its sidecars may come later; what is mounted must be there.
            let folder = setup.local(&self.namespace, &related.stateful_set);
            std::fs::create_dir_all(&folder)
                .map_err(|error| fail(&format!("{}: {error}", folder.display())))?;
        }
        let (mode, ip) = if setup.plain {
            let ip = address::on_loopback(setup.salt, offset);
            (Mode::Plain, Some(ip))
        } else {
            (Mode::Namespaces, address::in_cluster(offset))
        };
        plan::pod(&PodInput {
            manifests: &loaded.manifests,
            set,
            profile,
            ordinal,
            uid,
            ip: ip.ok_or_else(|| fail("there are no more addresses"))?,
            name_server: (!setup.plain).then(|| Subnet::default().gateway),
            desired,
            mode,
            folder: setup.pod(&self.namespace, &self.name, &pod),
            claims: setup.claims(&self.namespace, &self.name),
            local: setup.local(&self.namespace, &self.name),
            programs: &self.programs,
            path: &setup.path,
            outrigger: setup.outrigger.clone(),
            token: &self.token,
            sidecar_env: &setup.sidecar_env,
            machine: self.machine,
        })
    }
}

/// Keeps names and the events about all replicas up to date.
async fn follow_sets(
    controllers: Arc<BTreeMap<String, Controller>>,
    current: Current,
    zone: channel::Sender<Arc<Zone>>,
    events: Events,
) {
    let mut watches: Vec<_> = controllers.values().map(Controller::watch).collect();
    let mut settled = false;
    loop {
        let sets: Vec<SetSnapshot> = watches
            .iter_mut()
            .map(|watch| watch.borrow_and_update().clone())
            .collect();
        zone.send_replace(Arc::new(names::zone(&read(&current).manifests, &sets)));
        let now = sets.iter().all(|set| set.settled);
        if now && !settled {
            let replicas = sets.iter().map(|set| set.desired).sum();
            events.tell(Event::AllReady { replicas });
        }
        settled = now;
        let changes = watches.iter_mut().map(|watch| Box::pin(watch.changed()));
        let (change, _, _) = futures_util::future::select_all(changes).await;
        if change.is_err() {
            return;
        }
    }
}

/// Takes over changed manifests, and projects changed `ConfigMap`s and Secrets into the pods.
async fn follow_files(
    setup: Arc<Setup>,
    current: Current,
    controllers: Arc<BTreeMap<String, Controller>>,
    events: Events,
) {
    let mut watch = Watch::new(&read(&current).manifests);
    loop {
        watch.changed().await;
        let manifests = manifest::read(&setup.inputs);
        watch.follow(&manifests);
        let errors: Vec<String> = manifests
            .findings
            .iter()
            .filter(|finding| finding.severity == outrigger_profile::Severity::Error)
            .map(ToString::to_string)
            .collect();
        if !errors.is_empty() {
            events.notice(format!(
                "the changed manifests are refused:\n{}",
                errors.join("\n")
            ));
            continue;
        }
        let old = read(&current);
        let (mut profiles, findings) = manifest::check(&manifests);
        for finding in findings {
            events.notice(finding.to_string());
        }
        // The sidecar itself refuses a broken profile; a pod that starts gets the last good one.
        for (key, profile) in &old.profiles {
            profiles
                .entry(key.clone())
                .or_insert_with(|| profile.clone());
        }
        let template_changed = manifests.stateful_sets.len() != old.manifests.stateful_sets.len()
            || manifests
                .stateful_sets
                .iter()
                .zip(&old.manifests.stateful_sets)
                .any(|(new, old)| new.object.spec != old.object.spec);
        let loaded = Arc::new(Loaded {
            manifests,
            profiles,
        });
        *current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = loaded;
        events.notice("the manifests have changed; ConfigMaps and Secrets are projected anew");
        if template_changed {
            events.notice(
                "a StatefulSet has changed: pods that start from now on follow it, and \
                 `outrigger roll` restarts all",
            );
        }
        for controller in controllers.values() {
            // One that has ended has no pods.
            let _ignored = controller.order(Order::Project).await;
        }
    }
}

/// What the preStop hook presents: random for each run.
fn token() -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(crate::hex::of(&bytes))
}

fn machine() -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        });
    Machine {
        cpus: u32::try_from(cpus).unwrap_or(1),
        memory: memory.unwrap_or(0) * 1024,
    }
}
