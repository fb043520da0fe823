//! One container of a pod template.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::env::Environment;
use super::remap::Remap;
use super::{
    Check, ContainerPlan, Hook, HttpGet, Mode, MountPlan, PodInput, PortPlan, ProbePlan, Probes,
    Role,
};
use crate::manifest::Manifests;

/// Where the volumes of a pod are.
pub(super) type VolumeFolders = std::collections::BTreeMap<String, (PathBuf, bool)>;

/// A container before it is laid into plain mode.
pub(super) fn plan(
    container: &Container,
    role: Role,
    env: Environment,
    volumes: &VolumeFolders,
    input: &PodInput<'_>,
) -> Result<ContainerPlan, String> {
    let argv = argv(container, &env, input)?;
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let (folder, writable) = volumes
            .get(&mount.name)
            .ok_or_else(|| format!("there is no volume `{}`", mount.name))?;
        let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) if !path.is_empty() => path.clone(),
            (_, Some(expression)) => env.expand(expression),
            _ => String::new(),
        };
        if Path::new(&sub_path).components().any(|part| {
            !matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        }) {
            return Err(format!("subPath `{sub_path}` leads out of the volume"));
        }
        mounts.push(MountPlan {
            source: if sub_path.is_empty() {
                folder.clone()
            } else {
                folder.join(sub_path)
            },
            target: PathBuf::from(&mount.mount_path),
            read_only: !writable || mount.read_only == Some(true),
        });
    }
    let host = input.ip.to_string();
    let hook = container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    Ok(ContainerPlan {
        name: container.name.clone(),
        role,
        argv,
        env: env.into_entries(),
        env_file: None,
        cwd: PathBuf::from(container.working_dir.as_deref().unwrap_or("/")),
        mounts,
        ports: ports(container),
        probes: Probes {
            startup: probe(container.startup_probe.as_ref(), container, &host),
            readiness: probe(container.readiness_probe.as_ref(), container, &host),
            liveness: probe(container.liveness_probe.as_ref(), container, &host),
        },
        pre_stop: hook.and_then(|hook| pre_stop(hook, container, &host)),
        run_as: run_as(container, input),
    })
}

/// The pod's folder that stands for `/` in plain mode.
pub(super) fn into_plain(
    plan: &mut ContainerPlan,
    root: PathBuf,
    folders: &mut Vec<PathBuf>,
    links: &mut Vec<(PathBuf, PathBuf)>,
) {
    let targets = plan
        .mounts
        .iter()
        .map(|mount| mount.target.clone())
        .collect();
    let remap = Remap::new(root.clone(), targets);
    for word in plan.argv.iter_mut().skip(1) {
        *word = remap.text(word);
    }
    for (_, value) in &mut plan.env {
        *value = remap.text(value);
    }
    plan.cwd = remap.path(&plan.cwd);
    folders.push(root);
    let mut mounts = std::mem::take(&mut plan.mounts);
    // What holds others comes first.
    mounts.sort_by_key(|mount| mount.target.components().count());
    for mount in mounts {
        links.push((remap.path(&mount.target), mount.source));
    }
    // After the links, so that a working folder inside of a mount is made there.
    folders.push(plan.cwd.clone());
    for probe in [
        &mut plan.probes.startup,
        &mut plan.probes.readiness,
        &mut plan.probes.liveness,
    ] {
        if let Some(ProbePlan {
            check: Check::Exec(command),
            ..
        }) = probe
        {
            for word in command {
                *word = remap.text(word);
            }
        }
    }
    if let Some(Hook::Exec(command)) = &mut plan.pre_stop {
        for word in command {
            *word = remap.text(word);
        }
    }
}

fn argv(
    container: &Container,
    env: &Environment,
    input: &PodInput<'_>,
) -> Result<Vec<String>, String> {
    let image = container.image.as_deref().unwrap_or_default();
    let entry_point = input
        .programs
        .get(image)
        .map(|program| program.entry_point.as_slice())
        .unwrap_or_default();
    let command = container.command.as_deref().unwrap_or_default();
    let mut argv: Vec<String> = if command.is_empty() {
        entry_point.to_vec()
    } else {
        let mut words: Vec<String> = command.iter().map(|word| env.expand(word)).collect();
        // The image's program by any of its paths is this machine's program.
        let name_of = |path: &str| {
            Path::new(path)
                .file_name()
                .map(std::ffi::OsStr::to_os_string)
        };
        if let (Some(first), Some(known)) = (words.first_mut(), entry_point.first())
            && name_of(first) == name_of(known)
        {
            first.clone_from(known);
        }
        words
    };
    if argv.is_empty() {
        return Err(format!("no program stands for the image `{image}`"));
    }
    argv.extend(container.args.iter().flatten().map(|word| env.expand(word)));
    Ok(argv)
}

fn ports(container: &Container) -> Vec<PortPlan> {
    container
        .ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some(PortPlan {
                name: port.name.clone(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: u16::try_from(port.container_port).ok()?,
            })
        })
        .collect()
}

/// The number of a port that is named or numbered; none when there is none.
fn port_of(port: &IntOrString, container: &Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(name))
            .and_then(|port| u16::try_from(port.container_port).ok()),
    }
}

/// The check of an HTTP action; a connection where it is HTTPS, whose certificates nobody can check.
fn http_check(get: &HTTPGetAction, container: &Container, host: &str) -> Option<Check> {
    let port = port_of(&get.port, container)?;
    if get.scheme.as_deref() == Some("HTTPS") {
        let host = host.to_owned();
        return Some(Check::Tcp { host, port });
    }
    http_get(get, container, host).map(Check::Http)
}

fn http_get(get: &HTTPGetAction, container: &Container, host: &str) -> Option<HttpGet> {
    let own = get.host.as_deref().filter(|host| !host.is_empty());
    let path = get.path.as_deref().unwrap_or("/");
    Some(HttpGet {
        host: own.unwrap_or(host).to_owned(),
        port: port_of(&get.port, container)?,
        path: if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        },
        headers: get
            .http_headers
            .iter()
            .flatten()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
    })
}

fn probe(probe: Option<&Probe>, container: &Container, host: &str) -> Option<ProbePlan> {
    let probe = probe?;
    let check = if let Some(get) = &probe.http_get {
        http_check(get, container, host)?
    } else if let Some(tcp) = &probe.tcp_socket {
        let own = tcp.host.as_deref().filter(|host| !host.is_empty());
        Check::Tcp {
            host: own.unwrap_or(host).to_owned(),
            port: port_of(&tcp.port, container)?,
        }
    } else if let Some(grpc) = &probe.grpc {
        Check::Tcp {
            host: host.to_owned(),
            port: u16::try_from(grpc.port).ok()?,
        }
    } else {
        Check::Exec(probe.exec.as_ref()?.command.clone()?)
    };
    let number = |value: Option<i32>, default: u32| {
        value
            .and_then(|value| u32::try_from(value).ok())
            .filter(|value| *value > 0)
            .unwrap_or(default)
    };
    let seconds =
        |value: Option<i32>, default: u32| Duration::from_secs(number(value, default).into());
    Some(ProbePlan {
        check,
        initial_delay: seconds(probe.initial_delay_seconds, 0),
        period: seconds(probe.period_seconds, 10),
        timeout: seconds(probe.timeout_seconds, 1),
        failures: number(probe.failure_threshold, 3),
        successes: number(probe.success_threshold, 1),
    })
}

fn pre_stop(hook: &LifecycleHandler, container: &Container, host: &str) -> Option<Hook> {
    if let Some(get) = &hook.http_get {
        return http_get(get, container, host).map(Hook::Http);
    }
    if let Some(exec) = &hook.exec {
        return exec
            .command
            .clone()
            .filter(|command| !command.is_empty())
            .map(Hook::Exec);
    }
    let sleep = hook.sleep.as_ref()?;
    Some(Hook::Sleep(Duration::from_secs(
        u64::try_from(sleep.seconds).unwrap_or(0),
    )))
}

/// As whom the container sees itself: root, unless the manifest says otherwise.
fn run_as(container: &Container, input: &PodInput<'_>) -> (u32, u32) {
    let pod = input
        .set
        .spec
        .template
        .spec
        .as_ref()
        .and_then(|pod| pod.security_context.as_ref());
    let own = container.security_context.as_ref();
    let id = |own: Option<i64>, pod: Option<i64>| {
        own.or(pod)
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or(0)
    };
    (
        id(
            own.and_then(|c| c.run_as_user),
            pod.and_then(|p| p.run_as_user),
        ),
        id(
            own.and_then(|c| c.run_as_group),
            pod.and_then(|p| p.run_as_group),
        ),
    )
}

/// What every container has before the manifest's variables.
pub(super) fn base_env(input: &PodInput<'_>, pod: &str, home: &Path) -> Environment {
    let mut env = Environment::default();
    env.set("PATH", input.path.to_owned());
    env.set("HOME", home.to_string_lossy().into_owned());
    if input.mode == Mode::Namespaces {
        env.set("HOSTNAME", pod.to_owned());
    }
    env
}

/// All variables of a container of the manifest.
pub(super) fn environment(
    container: &Container,
    input: &PodInput<'_>,
    fields: &super::fields::Fields<'_>,
    containers: &[&Container],
) -> Result<Environment, String> {
    let manifests: &Manifests = input.manifests;
    let base = base_env(input, fields.name, Path::new("/"));
    super::env::of(container, base, manifests, fields, containers)
        .map_err(|problem| format!("container {}: {problem}", container.name))
}
