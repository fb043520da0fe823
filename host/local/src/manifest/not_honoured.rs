//! What the manifests ask for and one machine cannot give, each told once with its reason.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, Service, ServiceSpec, Volume};

/// Sentences about one StatefulSet and the Services. `plain` = without namespaces.
pub fn not_honoured(set: &StatefulSet, services: &[&Service], plain: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let spec = &set.spec;
    if let Some(pod) = &spec.template.spec {
        of_pod(pod, plain, &mut notes);
    }
    let partition = spec
        .update_strategy
        .as_ref()
        .and_then(|strategy| strategy.rolling_update.as_ref())
        .and_then(|rolling| rolling.partition);
    if partition.is_some_and(|partition| partition > 0) {
        notes.push("updateStrategy.partition: `roll` restarts every replica".to_owned());
    }
    if spec.persistent_volume_claim_retention_policy.is_some() {
        notes.push(
            "persistentVolumeClaimRetentionPolicy: claims are kept until their folder is deleted"
                .to_owned(),
        );
    }
    let claims = spec.volume_claim_templates.iter().flatten();
    if claims.clone().any(|c| {
        c.spec
            .as_ref()
            .is_some_and(|s| s.storage_class_name.is_some())
    }) {
        notes.push("storageClassName: claims are folders of this machine".to_owned());
    }
    if claims
        .clone()
        .any(|c| c.spec.as_ref().is_some_and(|s| s.resources.is_some()))
    {
        notes.push("the claims' size is told to the sidecar and not enforced".to_owned());
    }
    of_services(services, &mut notes);
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}

fn of_services(services: &[&Service], notes: &mut Vec<String>) {
    let names = |which: fn(&ServiceSpec) -> bool| {
        let of = |service: &&&Service| service.spec.as_ref().is_some_and(which);
        let chosen = services.iter().filter(of);
        let names = chosen.filter_map(|service| service.metadata.name.as_deref());
        names.collect::<Vec<_>>().join(", ")
    };
    let addressed = names(|spec| spec.cluster_ip.as_deref() != Some("None"));
    if !addressed.is_empty() {
        notes.push(format!(
            "virtual addresses of Services: a name leads to its ready pods ({addressed})"
        ));
    }
    let published = names(|spec| {
        spec.type_
            .as_deref()
            .is_some_and(|kind| kind != "ClusterIP")
    });
    if !published.is_empty() {
        notes.push(format!(
            "Services are not published: the pods' ports are reachable on loopback addresses ({published})"
        ));
    }
}

fn of_pod(pod: &PodSpec, plain: bool, notes: &mut Vec<String>) {
    let mut tell = |asked: bool, note: &str| {
        if asked {
            notes.push(note.to_owned());
        }
    };
    tell(
        pod.node_selector.is_some()
            || pod.affinity.is_some()
            || pod.tolerations.is_some()
            || pod.topology_spread_constraints.is_some()
            || pod.node_name.is_some(),
        "nodeSelector, affinity, tolerations and topology: there is one machine",
    );
    tell(
        pod.service_account_name.is_some() || pod.service_account.is_some(),
        "serviceAccountName: there is no API server",
    );
    tell(
        pod.host_network == Some(true) || pod.host_pid == Some(true) || pod.host_ipc == Some(true),
        "hostNetwork, hostPID and hostIPC: pods keep their own",
    );
    tell(
        pod.share_process_namespace == Some(true),
        "shareProcessNamespace: each container has its own process 1",
    );
    tell(
        pod.priority_class_name.is_some()
            || pod.runtime_class_name.is_some()
            || pod.scheduler_name.is_some()
            || pod.image_pull_secrets.is_some(),
        "priority, runtime class, scheduler and pull secrets: nothing is scheduled or pulled",
    );
    tell(
        pod.dns_config.is_some()
            || pod
                .dns_policy
                .as_deref()
                .is_some_and(|p| p != "ClusterFirst"),
        "dnsPolicy and dnsConfig: pods ask the cluster's names only",
    );
    tell(
        pod.readiness_gates.is_some(),
        "readinessGates: nobody sets their conditions",
    );
    tell(
        pod.hostname.is_some() || pod.subdomain.is_some(),
        "hostname and subdomain: a StatefulSet gives them",
    );
    notes.extend(security(pod, plain));
    for volume in pod.volumes.iter().flatten() {
        if let Some(kind) = foreign(volume) {
            notes.push(format!(
                "volume {} ({kind}): it is an empty folder here",
                volume.name
            ));
        }
    }
    let containers = pod.init_containers.iter().flatten().chain(&pod.containers);
    for container in containers {
        of_container(container, plain, notes);
    }
}

fn of_container(container: &Container, plain: bool, notes: &mut Vec<String>) {
    let limits = container
        .resources
        .as_ref()
        .is_some_and(|resources| resources.limits.is_some() || resources.requests.is_some());
    if limits {
        notes.push(
            "resources: limits and requests are told through resourceFieldRef and not enforced"
                .to_owned(),
        );
    }
    if container.volume_devices.is_some() {
        notes.push("volumeDevices: there are no block devices".to_owned());
    }
    if container
        .lifecycle
        .as_ref()
        .is_some_and(|lifecycle| lifecycle.post_start.is_some())
    {
        notes.push("lifecycle.postStart is not run".to_owned());
    }
    let grpc = [
        &container.startup_probe,
        &container.readiness_probe,
        &container.liveness_probe,
    ];
    if grpc
        .iter()
        .any(|probe| probe.as_ref().is_some_and(|p| p.grpc.is_some()))
    {
        notes.push("grpc probes are made as TCP connections".to_owned());
    }
    let hook = container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let https = grpc
        .iter()
        .filter_map(|probe| probe.as_ref()?.http_get.as_ref())
        .chain(hook.and_then(|hook| hook.http_get.as_ref()))
        .any(|get| get.scheme.as_deref() == Some("HTTPS"));
    if https {
        notes.push("HTTPS probes are made as TCP connections".to_owned());
    }
    if container.restart_policy_rules.is_some() {
        notes.push("restartPolicyRules: containers are restarted".to_owned());
    }
    if plain
        && container
            .volume_mounts
            .as_ref()
            .is_some_and(|mounts| !mounts.is_empty())
    {
        notes.push(
            "without namespaces, mounts lie below the pod's own folder; variables, arguments and \
             the working folder are changed accordingly, paths inside of files are not"
                .to_owned(),
        );
    }
}

/// What of the security contexts has no effect. With namespaces a process sees itself as the user and
/// group that they name.
fn security(pod: &PodSpec, plain: bool) -> Option<String> {
    let of_pod = pod.security_context.as_ref().map(serde_json::to_value);
    let containers = pod.init_containers.iter().flatten().chain(&pod.containers);
    let own = containers.filter_map(|container| container.security_context.as_ref());
    let all = of_pod.into_iter().chain(own.map(serde_json::to_value));
    let mut fields = BTreeSet::new();
    for context in all.flatten() {
        let set = context.as_object().into_iter().flatten();
        fields.extend(set.map(|(field, _)| field.clone()));
    }
    if fields.is_empty() {
        return None;
    }
    let mut note = "securityContext: processes have the rights of the user who ran `up`".to_owned();
    let seen: Vec<String> = ["runAsUser", "runAsGroup"]
        .into_iter()
        .filter_map(|field| fields.take(field).filter(|_| !plain))
        .collect();
    if !seen.is_empty() {
        note.push_str(", and see themselves as the manifest's ");
        note.push_str(&seen.join(" and "));
    }
    if !fields.is_empty() {
        let rest: Vec<String> = fields.into_iter().collect();
        note.push_str("; not applied: ");
        note.push_str(&rest.join(", "));
    }
    Some(note)
}

/// The kind of a volume that no folder of this machine can stand for truly.
fn foreign(volume: &Volume) -> Option<&'static str> {
    let known = [
        (volume.host_path.is_some(), "hostPath"),
        (
            volume.persistent_volume_claim.is_some(),
            "persistentVolumeClaim",
        ),
        (volume.ephemeral.is_some(), "ephemeral"),
        (volume.nfs.is_some(), "nfs"),
        (volume.csi.is_some(), "csi"),
        (volume.image.is_some(), "image"),
    ];
    if let Some((_, kind)) = known.iter().find(|(is, _)| *is) {
        return Some(kind);
    }
    let local = volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some();
    (!local).then_some("unknown")
}
