//! The pod template by itself: names, ports, mounts, paths.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use outrigger_profile::document::path;
use outrigger_profile::{Finding, did_you_mean};

use crate::manifest::is_dns_label;

const BASE: &str = "spec.template.spec";

pub(super) fn check(set: &StatefulSet, found: &mut Vec<Finding>) {
    let spec = &set.spec;
    let Some(pod) = &spec.template.spec else {
        found.push(Finding::error("spec.template", "it has no `spec`"));
        return;
    };
    if pod
        .restart_policy
        .as_deref()
        .is_some_and(|policy| policy != "Always")
    {
        found.push(
            Finding::error(
                "spec.template.spec.restartPolicy",
                "pods of a StatefulSet are always restarted",
            )
            .hint("write `Always`, or leave it out"),
        );
    }
    if pod.containers.is_empty() {
        found.push(Finding::error(
            "spec.template.spec.containers",
            "there is no container",
        ));
    }
    let volumes = volumes(
        spec.volume_claim_templates.as_deref().unwrap_or_default(),
        pod,
        found,
    );
    let mut names = BTreeSet::new();
    let lists = [
        ("initContainers", pod.init_containers.as_ref(), true),
        ("containers", Some(&pod.containers), false),
    ];
    for (field, list, init) in lists {
        for (index, container) in list.into_iter().flatten().enumerate() {
            let place = path::item(&path::key(BASE, field), index);
            if !is_dns_label(&container.name) || !names.insert(container.name.as_str()) {
                found.push(
                    Finding::error(
                        path::key(&place, "name"),
                        format!("`{}` is no name of its own", container.name),
                    )
                    .hint("each container has its own, of lower-case letters, digits and `-`"),
                );
            }
            check_container(container, &place, init, &volumes, found);
        }
    }
}

fn volumes(
    claims: &[k8s_openapi::api::core::v1::PersistentVolumeClaim],
    pod: &PodSpec,
    found: &mut Vec<Finding>,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let name = claim.metadata.name.clone().unwrap_or_default();
        let place = path::item("spec.volumeClaimTemplates", index);
        if !is_dns_label(&name) || !names.insert(name.clone()) {
            found.push(Finding::error(
                format!("{place}.metadata.name"),
                format!("`{name}` is no name of its own"),
            ));
        }
    }
    for (index, volume) in pod.volumes.iter().flatten().enumerate() {
        let place = path::item(&path::key(BASE, "volumes"), index);
        if !is_dns_label(&volume.name) {
            found.push(Finding::error(
                path::key(&place, "name"),
                format!("`{}` is no name", volume.name),
            ));
        }
        // A claim of the same name has precedence, as the StatefulSet's controller does it.
        names.insert(volume.name.clone());
        let items = [
            (
                "configMap",
                volume.config_map.as_ref().and_then(|v| v.items.as_ref()),
            ),
            (
                "secret",
                volume.secret.as_ref().and_then(|v| v.items.as_ref()),
            ),
        ];
        for (field, items) in items {
            for (index, item) in items.into_iter().flatten().enumerate() {
                if !is_inner(&item.path) {
                    found.push(Finding::error(
                        format!("{place}.{field}.items[{index}].path"),
                        format!("`{}` leads out of the volume", item.path),
                    ));
                }
            }
        }
    }
    names
}

fn check_container(
    container: &Container,
    place: &str,
    init: bool,
    volumes: &BTreeSet<String>,
    found: &mut Vec<Finding>,
) {
    if container.image.as_deref().is_none_or(str::is_empty) {
        found.push(Finding::error(path::key(place, "image"), "it is missing"));
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let here = path::item(&path::key(place, "volumeMounts"), index);
        if !volumes.contains(&mount.name) {
            let hint = did_you_mean(&mount.name, volumes.iter().map(String::as_str)).map_or_else(
                || "add it to `volumes` or `volumeClaimTemplates`".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            found.push(
                Finding::error(
                    path::key(&here, "name"),
                    format!("there is no volume `{}`", mount.name),
                )
                .hint(hint),
            );
        }
        if !Path::new(&mount.mount_path).is_absolute()
            || Path::new(&mount.mount_path)
                .components()
                .any(|part| part == Component::ParentDir)
        {
            found.push(
                Finding::error(
                    path::key(&here, "mountPath"),
                    format!("`{}` is not an absolute path", mount.mount_path),
                )
                .hint("begin it with `/`"),
            );
        }
        if let Some(sub_path) = &mount.sub_path
            && !sub_path.is_empty()
            && !is_inner(sub_path)
        {
            found.push(Finding::error(
                path::key(&here, "subPath"),
                format!("`{sub_path}` leads out of the volume"),
            ));
        }
    }
    for (index, port) in container.ports.iter().flatten().enumerate() {
        if u16::try_from(port.container_port).unwrap_or(0) == 0 {
            found.push(Finding::error(
                format!("{place}.ports[{index}].containerPort"),
                format!("{} is no port", port.container_port),
            ));
        }
    }
    let always = container.restart_policy.as_deref() == Some("Always");
    let probes = [
        ("startupProbe", &container.startup_probe),
        ("readinessProbe", &container.readiness_probe),
        ("livenessProbe", &container.liveness_probe),
    ];
    for (field, probe) in probes {
        let Some(probe) = probe else { continue };
        let here = path::key(place, field);
        if init && !always {
            found.push(
                Finding::error(here, "an init container that ends has no probes")
                    .hint("remove it, or say `restartPolicy: Always`"),
            );
            continue;
        }
        check_probe(probe, container, &here, found);
    }
    let hook = container
        .lifecycle
        .as_ref()
        .and_then(|l| l.pre_stop.as_ref());
    if let Some(get) = hook.and_then(|hook| hook.http_get.as_ref()) {
        check_port(
            &get.port,
            container,
            &format!("{place}.lifecycle.preStop.httpGet"),
            found,
        );
    }
}

fn check_probe(probe: &Probe, container: &Container, place: &str, found: &mut Vec<Finding>) {
    if let Some(get) = &probe.http_get {
        check_port(&get.port, container, &path::key(place, "httpGet"), found);
    } else if let Some(tcp) = &probe.tcp_socket {
        check_port(&tcp.port, container, &path::key(place, "tcpSocket"), found);
    } else if let Some(exec) = &probe.exec {
        if exec.command.as_ref().is_none_or(Vec::is_empty) {
            found.push(Finding::error(
                format!("{place}.exec.command"),
                "it names no program",
            ));
        }
    } else if probe.grpc.is_none() {
        found.push(
            Finding::error(place, "it says nothing to check")
                .hint("add `httpGet`, `tcpSocket`, `grpc` or `exec`"),
        );
    }
}

fn check_port(port: &IntOrString, container: &Container, place: &str, found: &mut Vec<Finding>) {
    let place = path::key(place, "port");
    match port {
        IntOrString::Int(number) if u16::try_from(*number).unwrap_or(0) == 0 => {
            found.push(Finding::error(place, format!("{number} is no port")));
        }
        IntOrString::Int(_) => {}
        IntOrString::String(name) => {
            let named = || {
                container
                    .ports
                    .iter()
                    .flatten()
                    .filter_map(|p| p.name.as_deref())
            };
            if !named().any(|known| known == name) {
                let names: Vec<&str> = named().collect();
                let hint = match did_you_mean(name, names.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if names.is_empty() => "give the port a name under `ports`".to_owned(),
                    None => format!("it has {}", names.join(", ")),
                };
                found.push(
                    Finding::error(place, format!("the container has no port `{name}`")).hint(hint),
                );
            }
        }
    }
}

/// Whether a path stays below where it begins.
fn is_inner(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}
