//! The sidecar in a pod, as the webhook would inject it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outrigger_profile::{Profile, env, layout};
use serde_json::json;

use super::container::{VolumeFolders, base_env};
use super::{
    Check, ContainerPlan, Hook, HttpGet, Mode, MountPlan, PRE_STOP, PodInput, PortPlan, ProbePlan,
    Probes, Role, SIDECAR, SIDECAR_PORT,
};

/// Where the sidecar sees things in a pod.
const PROFILE_DIR: &str = "/etc/outrigger/profile";
const SECRETS_DIR: &str = "/etc/outrigger/secrets";
const FILES_DIR: &str = "/run/outrigger";
const STATE_DIR: &str = "/var/lib/outrigger";
const VOLUMES_DIR: &str = "/volumes";
/// Longer than the start gate's own cap, after which the sidecar says why.
const STARTUP_RESERVE: Duration = Duration::from_mins(1);

/// The sidecar's folders on this machine.
pub(super) struct Dirs {
    pub(super) profile: PathBuf,
    pub(super) secrets: PathBuf,
    pub(super) files: PathBuf,
    pub(super) state: PathBuf,
}

impl Dirs {
    pub(super) fn below(pod: &Path) -> Self {
        let own = pod.join("outrigger");
        Self {
            profile: own.join("profile"),
            secrets: own.join("secrets"),
            files: own.join("files"),
            state: own.join("state"),
        }
    }
}

/// Facts of the pod that the sidecar is told.
pub(super) struct Facts<'a> {
    pub(super) pod: &'a str,
    pub(super) namespace: &'a str,
    pub(super) service: &'a str,
    pub(super) start: u32,
    pub(super) pod_management: &'a str,
    pub(super) grace: Duration,
    /// The workload's own mounts: volume, where it sees it, bytes of a claim.
    pub(super) volumes: BTreeMap<String, (PathBuf, Option<u64>)>,
}

pub(super) fn plan(
    input: &PodInput<'_>,
    profile: &Profile,
    facts: &Facts<'_>,
    dirs: &Dirs,
    volumes: &VolumeFolders,
) -> ContainerPlan {
    let plain = input.mode == Mode::Plain;
    let seen = |on_machine: &Path, in_pod: &str| {
        if plain {
            on_machine.to_string_lossy().into_owned()
        } else {
            in_pod.to_owned()
        }
    };
    let mut mounts = Vec::new();
    let mut mount = |source: &Path, target: &str, read_only: bool| {
        if !plain {
            mounts.push(MountPlan {
                source: source.to_path_buf(),
                target: target.into(),
                read_only,
            });
        }
    };
    mount(&dirs.profile, PROFILE_DIR, true);
    mount(&dirs.secrets, SECRETS_DIR, true);
    mount(&dirs.files, FILES_DIR, false);
    mount(&dirs.state, STATE_DIR, false);
    // At its own path, which the pod's private /tmp would hide when the state folder is below /tmp.
    mount(&input.local, &input.local.to_string_lossy(), false);
    for related in profile.related.values() {
        let theirs = layout::local_of(&input.local, &related.stateful_set);
        if let Some(folder) = theirs.filter(|folder| *folder != input.local) {
            mount(&folder, &folder.to_string_lossy(), true);
        }
    }
    let mut told = serde_json::Map::new();
    for (name, (path, bytes)) in &facts.volumes {
        let Some((folder, writable)) = volumes.get(name) else {
            continue;
        };
        let own = format!("{VOLUMES_DIR}/{name}");
        mount(folder, &own, !writable);
        let mut volume = serde_json::Map::new();
        volume.insert("path".into(), json!(path));
        volume.insert("sidecar-path".into(), json!(seen(folder, &own)));
        if let Some(bytes) = bytes {
            volume.insert("bytes".into(), json!(bytes));
        }
        told.insert(name.clone(), volume.into());
    }
    let mut variables = base_env(input, facts.pod, Path::new("/"));
    // For people, like everything else that `up` shows; the user's own choice comes after it.
    variables.set(env::LOG_FORMAT.name, "text".to_owned());
    for (name, value) in input.sidecar_env {
        variables.set(name, value.clone());
    }
    let ip = input.ip.to_string();
    let listen = if plain {
        format!("{ip}:{SIDECAR_PORT}")
    } else {
        format!("0.0.0.0:{SIDECAR_PORT}")
    };
    let own = [
        (env::POD_NAME, facts.pod.to_owned()),
        (env::POD_NAMESPACE, facts.namespace.to_owned()),
        (env::POD_IP, ip.clone()),
        (env::POD_UID, input.uid.to_owned()),
        (env::SERVICE, facts.service.to_owned()),
        (env::REPLICAS, input.desired.to_string()),
        (env::ORDINALS_START, facts.start.to_string()),
        (env::POD_MANAGEMENT, facts.pod_management.to_owned()),
        (env::GRACE_PERIOD, format!("{}s", facts.grace.as_secs())),
        (env::PROFILE_DIR, seen(&dirs.profile, PROFILE_DIR)),
        (env::SECRETS_DIR, seen(&dirs.secrets, SECRETS_DIR)),
        (env::FILES_DIR, seen(&dirs.files, FILES_DIR)),
        (env::STATE_DIR, seen(&dirs.state, STATE_DIR)),
        (env::VOLUMES, serde_json::Value::Object(told).to_string()),
        (env::LISTEN, listen),
        (env::PRE_STOP_TOKEN, input.token.to_owned()),
        (env::LOCAL, input.local.to_string_lossy().into_owned()),
    ];
    for (variable, value) in own {
        variables.set(variable.name, value);
    }
    ContainerPlan {
        name: SIDECAR.to_owned(),
        role: Role::Sidecar,
        argv: vec![
            input.outrigger.to_string_lossy().into_owned(),
            "sidecar".to_owned(),
        ],
        env: variables.into_entries(),
        env_file: None,
        cwd: if plain {
            dirs.state.clone()
        } else {
            PathBuf::from("/")
        },
        mounts,
        ports: vec![PortPlan {
            name: Some(SIDECAR.to_owned()),
            protocol: "TCP".to_owned(),
            port: SIDECAR_PORT,
        }],
        probes: probes(&ip, profile),
        pre_stop: None,
        run_as: (0, 0),
    }
}

/// One machine can look more often than a cluster's one second: the start is shorter by that much.
fn probes(ip: &str, profile: &Profile) -> Probes {
    let probe = |path: &str, period: Duration, failures: u32| ProbePlan {
        check: Check::Http(HttpGet {
            host: ip.to_owned(),
            port: SIDECAR_PORT,
            path: path.to_owned(),
            headers: Vec::new(),
        }),
        initial_delay: Duration::ZERO,
        period,
        timeout: Duration::from_secs(2),
        failures,
        successes: 1,
    };
    let fast = Duration::from_millis(100);
    let cap = profile.start.cap + STARTUP_RESERVE;
    let failures = u32::try_from(cap.as_millis() / fast.as_millis()).unwrap_or(u32::MAX);
    Probes {
        startup: Some(probe("/startup", fast, failures)),
        // The sidecar counts failures itself, as the profile says.
        readiness: Some(probe("/ready", Duration::from_millis(250), 1)),
        liveness: Some(probe("/live", Duration::from_secs(5), 6)),
    }
}

/// What the workload gets besides: the rendered files at their places, and the drain.
pub(super) fn into_workload(
    container: &mut ContainerPlan,
    input: &PodInput<'_>,
    profile: &Profile,
    dirs: &Dirs,
    folders: &mut Vec<PathBuf>,
) {
    container.mounts.push(MountPlan {
        source: dirs.files.clone(),
        target: PathBuf::from(FILES_DIR),
        read_only: true,
    });
    for (index, folder) in profile.file_dirs().into_iter().enumerate() {
        let source = dirs.files.join("dirs").join(index.to_string());
        folders.push(source.clone());
        container.mounts.push(MountPlan {
            source,
            target: folder,
            read_only: false,
        });
    }
    if !profile.env.is_empty() {
        container.env_file = Some(dirs.files.join("current").join("env"));
    }
    if container.pre_stop.is_none() {
        container.pre_stop = Some(Hook::Http(HttpGet {
            host: input.ip.to_string(),
            port: SIDECAR_PORT,
            path: PRE_STOP.to_owned(),
            headers: vec![(
                "Authorization".to_owned(),
                format!("Bearer {}", input.token),
            )],
        }));
    }
}
