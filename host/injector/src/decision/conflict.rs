//! What stands in the sidecar's way in the pod.

use std::path::Path;

use outrigger_profile::env;
use outrigger_profile::layout::{CONTAINER, FILES_DIR, WORKLOAD_VARIABLE};
use outrigger_profile::{OnChange, Profile};
use serde_json::Value;

use super::Fitting;
use crate::annotation::cut;
use crate::decide::{Denial, DenyCode};
use crate::injection::{Order, VOLUME_PREFIX};
use crate::pod::{Container, Pod, part, text};

/// The sidecar is a program for Linux.
pub(super) fn system(pod: Pod<'_>) -> Result<(), Denial> {
    let os = pod.spec("os").and_then(|os| text(os, "name"));
    let selector = pod.spec("nodeSelector");
    let chosen = selector.and_then(|labels| text(labels, "kubernetes.io/os"));
    match os.or(chosen) {
        None | Some("linux") => Ok(()),
        Some(other) => Err(Denial::new(
            DenyCode::NotLinux,
            format!(
                "the pod is for {}, and the sidecar is a program for Linux",
                cut(other)
            ),
            "remove the label outrigger.dev/inject from pods of other systems",
        )),
    }
}

pub(super) fn check(fitting: &Fitting<'_>) -> Result<(), Denial> {
    names(fitting)?;
    ports(fitting)?;
    mounts(fitting)?;
    variables(fitting)?;
    processes(fitting)?;
    order(fitting)
}

/// Names of ours that are somebody else's.
fn names(fitting: &Fitting<'_>) -> Result<(), Denial> {
    let pod = fitting.subject.pod;
    let ours = fitting.subject.status.is_some();
    let taken = |what: String, hint: &str| Err(Denial::new(DenyCode::NameTaken, what, hint));
    let foreign_init = !ours && pod.init_container(CONTAINER).is_some();
    if pod.container(CONTAINER).is_some() || foreign_init {
        return taken(
            format!("the pod has a container {CONTAINER} that is not the sidecar"),
            "give it another name, or remove it if it is a sidecar written by hand",
        );
    }
    if ours {
        return Ok(());
    }
    let mut volumes = pod.volumes().filter_map(|volume| text(volume, "name"));
    if let Some(name) = volumes.find(|name| name.starts_with(VOLUME_PREFIX)) {
        return taken(
            format!("the pod has a volume {}", cut(name)),
            "names that begin with `outrigger-` are the sidecar's: give the volume another one",
        );
    }
    let variables = [WORKLOAD_VARIABLE, env::PRE_STOP_TOKEN.name];
    if let Some(name) = variables
        .iter()
        .find(|name| fitting.workload.variable(name).is_some())
    {
        return taken(
            format!("the container {} sets {name}", fitting.container),
            "remove it: the injection sets it where it is needed",
        );
    }
    Ok(())
}

/// The containers of a pod share its ports.
fn ports(fitting: &Fitting<'_>) -> Result<(), Denial> {
    let pod = fitting.subject.pod;
    let port = u64::from(fitting.port);
    let host = pod.flag("hostNetwork");
    let own = |one: &Container<'_>| one.name() == Some(CONTAINER);
    let others = pod
        .containers()
        .chain(pod.init_containers().filter(|one| !own(one)));
    for container in others {
        for declared in container.ports() {
            let is = |key: &str| declared.get(key).and_then(Value::as_u64) == Some(port);
            let tcp = text(declared, "protocol").is_none_or(|protocol| protocol == "TCP");
            if tcp && (is("containerPort") || host && is("hostPort")) {
                let place = if host { "of the host's network " } else { "" };
                return Err(Denial::new(
                    DenyCode::PortTaken,
                    format!(
                        "the container {} has port {port} {place}already, which is the sidecar's",
                        cut(container.name().unwrap_or_default())
                    ),
                    "give the sidecar another one, such as outrigger.dev/port: \"7170\"",
                ));
            }
        }
    }
    let mut workload = fitting.profile.workload.ports.iter();
    match workload.find(|(_, number)| **number == fitting.port) {
        None => Ok(()),
        Some((name, _)) => Err(Denial::new(
            DenyCode::PortTaken,
            format!("port {port} is the workload's {name} by the profile"),
            "choose another one for outrigger.dev/port",
        )),
    }
}

/// Rendered folders are mounts of their own.
fn mounts(fitting: &Fitting<'_>) -> Result<(), Denial> {
    let folders = fitting.profile.file_dirs();
    let uses_files = !folders.is_empty() || !fitting.profile.env.is_empty();
    for mount in fitting.workload.mounts() {
        let name = text(mount, "name").unwrap_or_default();
        if fitting.subject.status.is_some() && name.starts_with(VOLUME_PREFIX) {
            continue;
        }
        let Some(path) = text(mount, "mountPath").map(Path::new) else {
            continue;
        };
        let sub = if part(mount).is_some() {
            "a subPath mount of "
        } else {
            ""
        };
        let who = || {
            format!(
                "{sub}the volume {} is mounted at {}",
                cut(name),
                shown(path)
            )
        };
        let taken = |what: String, hint: &str| Denial::new(DenyCode::MountTaken, what, hint);
        if uses_files && path.starts_with(FILES_DIR) {
            return Err(taken(
                format!("{}, which is the sidecar's", who()),
                "mount it elsewhere",
            ));
        }
        if let Some(folder) = folders.iter().find(|folder| *folder == path) {
            return Err(taken(
                format!("{}, where files are rendered", who()),
                &format!(
                    "remove that mount: {} becomes a volume of rendered files; what else it held goes elsewhere",
                    shown(folder)
                ),
            ));
        }
        let files = &fitting.profile.files;
        if let Some(index) = files.iter().position(|file| path.starts_with(&file.path)) {
            return Err(taken(
                format!(
                    "{}, which hides the file that spec.files[{index}] renders",
                    who()
                ),
                "remove that mount: the sidecar puts the file there",
            ));
        }
        if let Some(folder) = folders.iter().find(|folder| folder.starts_with(path))
            && read_only(fitting.subject.pod, mount, name)
        {
            return Err(taken(
                format!(
                    "{} and is read-only, so {} cannot be within",
                    who(),
                    shown(folder)
                ),
                "render into a folder outside of it",
            ));
        }
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    cut(&path.to_string_lossy())
}

fn read_only(pod: Pod<'_>, mount: &Value, name: &str) -> bool {
    let kinds = ["configMap", "secret", "projected", "downwardAPI", "image"];
    mount.get("readOnly").and_then(Value::as_bool) == Some(true)
        || pod
            .volume(name)
            .is_some_and(|volume| kinds.iter().any(|kind| volume.get(kind).is_some()))
}

/// How many variables a refusal names.
const TAKEN_SHOWN: usize = 20;

/// A variable that is set twice has the later value, which would be ours.
fn variables(fitting: &Fitting<'_>) -> Result<(), Denial> {
    let ours = |theirs: &Value| fitting.subject.status.is_some() && is_rendered(theirs);
    let twice = |name: &&String| {
        fitting
            .workload
            .variable(name)
            .is_some_and(|one| !ours(one))
    };
    let taken: Vec<&str> = fitting
        .profile
        .env
        .keys()
        .filter(twice)
        .map(String::as_str)
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    let hint = match taken.len() {
        1 => "remove it from one of the two",
        _ => "remove each from one of the two",
    };
    // As many as a message has room for; the next attempt tells the rest.
    let shown = taken.get(..TAKEN_SHOWN).unwrap_or(&taken).join(", ");
    let more = match taken.len().saturating_sub(TAKEN_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Denial::new(
        DenyCode::VariableTaken,
        format!(
            "the container {} sets {shown}{more}, which the profile renders too",
            fitting.container
        ),
        hint,
    ))
}

/// Whether a variable comes from the rendered files.
pub(crate) fn is_rendered(variable: &Value) -> bool {
    variable
        .get("valueFrom")
        .and_then(|from| from.get("fileKeyRef"))
        .and_then(|reference| text(reference, "volumeName"))
        .is_some_and(|volume| volume.starts_with(VOLUME_PREFIX))
}

/// Whether the sidecar must see the workload's processes: to send a signal, or to restart a workload
/// that has no way of its own to be stopped.
pub(super) fn sees_processes(profile: &Profile) -> bool {
    let own_way = profile.plugin.is_some() || !profile.drain.http.is_empty();
    profile.drain.signal.is_some()
        || profile.files.iter().any(|file| match file.on_change {
            OnChange::Signal(_) => true,
            OnChange::Restart => !own_way,
            OnChange::None | OnChange::Http { .. } => false,
        })
}

fn processes(fitting: &Fitting<'_>) -> Result<(), Denial> {
    if !sees_processes(fitting.profile) {
        return Ok(());
    }
    let pod = fitting.subject.pod;
    let denied = |message: &str, hint: &str| {
        Err(Denial::new(
            DenyCode::ProcessNamespace,
            format!("the profile stops or signals the workload, and {message}"),
            hint,
        ))
    };
    if pod.spec("shareProcessNamespace").and_then(Value::as_bool) == Some(false) {
        return denied(
            "shareProcessNamespace is false",
            "remove it from the pod template, or use HTTP requests in spec.drain and on-change",
        );
    }
    if pod.flag("hostPID") {
        return denied(
            "hostPID excludes that the containers share their own processes",
            "remove hostPID from the pod template, or use HTTP requests in spec.drain and on-change",
        );
    }
    Ok(())
}

fn order(fitting: &Fitting<'_>) -> Result<(), Denial> {
    let (Order::Before(other) | Order::After(other)) = &fitting.subject.asked.order else {
        return Ok(());
    };
    let pod = fitting.subject.pod;
    if other != CONTAINER && pod.init_container(other).is_some() {
        return Ok(());
    }
    let hint = if pod.container(other).is_some() {
        "it is no init container: the sidecar starts before all of those anyway"
    } else {
        "if another webhook injects it, let that one be called first: webhooks are called in the order of their configurations' names"
    };
    Err(Denial::new(
        DenyCode::Order,
        format!("outrigger.dev/order names the init container {other}, which is not there"),
        hint,
    ))
}
