//! The sidecar's container.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_profile::env::{self, EnvVar};
use outrigger_profile::layout::{
    ALIVE_PATH, CONTAINER, FILES_DIR, PORT, PORT_NAME, PROFILE_DIR, SECRETS_DIR, STATE_DIR,
    VOLUMES_DIR,
};
use outrigger_profile::{ByteSize, Profile};
use serde_json::{Map, Value, json};

use super::build::annotation_finding;
use super::replica::{Replica, claim_bytes};
use super::{Fitting, security};
use crate::decide::Denial;
use crate::facts::PodManagement;
use crate::injection::{FILES_VOLUME, PROFILE_VOLUME, STATE_VOLUME, VOLUME_PREFIX, secret_volume};
use crate::pod::{part, text};

/// Longer than the start gate's own cap, after which the sidecar says why it still holds.
const STARTUP_RESERVE: Duration = Duration::from_mins(1);

/// For one probe of the sidecar: it answers from memory, this is for nodes that are busy.
const PROBE_TIMEOUT_SECONDS: u32 = 2;

/// Memory besides that of one call of the plugin: measured below 20 MiB, with room for exposition and
/// for a component that is being compiled.
const MEMORY_BESIDES_PLUGIN: ByteSize = ByteSize(96 << 20);

/// The CPU limit in a pod whose quality of service needs one.
const GUARANTEED_CPU: &str = "100m";

pub(super) fn container(
    fitting: &Fitting<'_>,
    replica: &Replica,
    grace: u64,
) -> Result<Value, Denial> {
    let subject = fitting.subject;
    let image = subject.asked.image.unwrap_or(&subject.settings.image);
    let mut container = Map::new();
    let mut put = |key: &str, value: Value| container.insert(key.to_owned(), value);
    put("name", json!(CONTAINER));
    put("image", json!(image));
    if let Some(policy) = &subject.settings.image_pull_policy {
        put("imagePullPolicy", json!(policy));
    }
    put("args", json!(["sidecar"]));
    // With it an init container is a native sidecar: it starts before and ends after the workload.
    put("restartPolicy", json!("Always"));
    put(
        "ports",
        json!([{"name": PORT_NAME, "containerPort": fitting.port, "protocol": "TCP"}]),
    );
    put("env", Value::Array(variables(fitting, replica, grace)));
    put("resources", resources(fitting)?);
    put(
        "startupProbe",
        probe(
            fitting.port,
            "/startup",
            1,
            startup_failures(fitting.profile),
        ),
    );
    // The sidecar counts failures itself, as the profile says.
    put("readinessProbe", probe(fitting.port, "/ready", 1, 1));
    put("livenessProbe", probe(fitting.port, ALIVE_PATH, 10, 6));
    put("securityContext", security::context(fitting));
    put("terminationMessagePolicy", json!("FallbackToLogsOnError"));
    put("volumeMounts", Value::Array(mounts(fitting)));
    Ok(Value::Object(container))
}

fn probe(port: u16, path: &str, period: u32, failures: u64) -> Value {
    json!({
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": PROBE_TIMEOUT_SECONDS,
        "failureThreshold": failures,
    })
}

/// One for each second of the start gate's cap, and some.
fn startup_failures(profile: &Profile) -> u64 {
    let whole = profile.start.cap.saturating_add(STARTUP_RESERVE);
    whole.as_secs() + u64::from(whole.subsec_nanos() > 0)
}

fn variables(fitting: &Fitting<'_>, replica: &Replica, grace: u64) -> Vec<Value> {
    let mut all = Vec::with_capacity(16);
    for (variable, field) in [
        (env::POD_NAME, "metadata.name"),
        (env::POD_NAMESPACE, "metadata.namespace"),
        (env::POD_IP, "status.podIP"),
        (env::POD_UID, "metadata.uid"),
    ] {
        let from = json!({"fieldRef": {"fieldPath": field}});
        all.push(json!({"name": variable.name, "valueFrom": from}));
    }
    let mut put = |variable: EnvVar, value: String| {
        all.push(json!({"name": variable.name, "value": value}));
    };
    let (asked, settings) = (&fitting.subject.asked, fitting.subject.settings);
    if asked.workload.is_some() {
        put(env::PROFILE, fitting.source.clone());
    }
    if let Some(service) = &replica.service {
        put(env::SERVICE, service.clone());
    }
    if let Some(facts) = &replica.facts {
        put(env::REPLICAS, facts.replicas.to_string());
        put(env::ORDINALS_START, facts.start.to_string());
        let management = match facts.management {
            PodManagement::OrderedReady => "OrderedReady",
            PodManagement::Parallel => "Parallel",
        };
        put(env::POD_MANAGEMENT, management.to_owned());
    }
    put(env::GRACE_PERIOD, format!("{grace}s"));
    let volumes = volumes(fitting, replica);
    if !volumes.is_empty() {
        put(env::VOLUMES, Value::Object(volumes).to_string());
    }
    if settings.cluster_domain != "cluster.local" {
        put(env::CLUSTER_DOMAIN, settings.cluster_domain.clone());
    }
    if fitting.port != PORT {
        put(env::LISTEN, format!("[::]:{}", fitting.port));
    }
    let log = asked.log.unwrap_or(&settings.log);
    if log != "info" {
        put(env::LOG, log.to_owned());
    }
    if let Some(endpoint) = asked.otlp_endpoint.or(settings.otlp_endpoint.as_deref()) {
        put(env::OTLP_ENDPOINT, endpoint.to_owned());
    }
    all
}

/// The volumes that the workload mounts, as templates and the plugin see them.
fn volumes(fitting: &Fitting<'_>, replica: &Replica) -> Map<String, Value> {
    let mut told: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for mount in fitting.workload.mounts() {
        let (Some(name), Some(path)) = (text(mount, "name"), text(mount, "mountPath")) else {
            continue;
        };
        // Ours, and the token of the API server, whose name differs from pod to pod.
        if name.starts_with(VOLUME_PREFIX) || path.starts_with("/var/run/secrets/") {
            continue;
        }
        if part(mount).is_some() && told.contains_key(name) {
            continue;
        }
        let mut volume = Map::new();
        volume.insert("path".to_owned(), json!(path));
        if granted(fitting.profile, name).is_some() {
            volume.insert(
                "sidecar-path".to_owned(),
                json!(format!("{VOLUMES_DIR}/{name}")),
            );
        }
        if let Some(bytes) = claim_bytes(replica.facts.as_deref(), name) {
            volume.insert("bytes".to_owned(), json!(bytes));
        }
        told.insert(name, volume);
    }
    told.into_iter()
        .map(|(name, volume)| (name.to_owned(), Value::Object(volume)))
        .collect()
}

/// Whether the plugin may see a volume, and then whether it may write to it.
fn granted(profile: &Profile, volume: &str) -> Option<bool> {
    let grants = &profile.plugin.as_ref()?.grants.volumes;
    grants.get(volume).map(|grant| grant.write)
}

/// The Secrets of a profile, each once, and whether the pod may start without it.
pub(super) fn secrets(profile: &Profile) -> BTreeMap<&str, bool> {
    let mut secrets = BTreeMap::new();
    for source in profile.secrets.values() {
        let optional = secrets.entry(source.secret.as_str()).or_insert(true);
        *optional &= source.optional;
    }
    secrets
}

fn mounts(fitting: &Fitting<'_>) -> Vec<Value> {
    let mut mounts = vec![
        json!({"name": FILES_VOLUME, "mountPath": FILES_DIR}),
        json!({"name": STATE_VOLUME, "mountPath": STATE_DIR}),
    ];
    if fitting.subject.asked.workload.is_none() {
        mounts.push(json!({"name": PROFILE_VOLUME, "mountPath": PROFILE_DIR, "readOnly": true}));
    }
    for secret in secrets(fitting.profile).keys() {
        mounts.push(json!({
            "name": secret_volume(secret),
            "mountPath": format!("{SECRETS_DIR}/{secret}"),
            "readOnly": true,
        }));
    }
    let grants = fitting
        .profile
        .plugin
        .as_ref()
        .map(|plugin| &plugin.grants.volumes);
    for (name, grant) in grants.into_iter().flatten() {
        let mut mount = json!({"name": name, "mountPath": format!("{VOLUMES_DIR}/{name}")});
        if let Some(mount) = mount.as_object_mut() {
            // What the workload sees of the volume, the plugin sees of it.
            if let Some(part) = sub_path(fitting, name) {
                mount.insert("subPath".to_owned(), json!(part));
            }
            if !grant.write {
                mount.insert("readOnly".to_owned(), json!(true));
            }
        }
        mounts.push(mount);
    }
    mounts
}

/// The part of a volume that the workload mounts; none where it mounts the whole.
fn sub_path<'a>(fitting: &Fitting<'a>, volume: &str) -> Option<&'a str> {
    let mut parts = fitting
        .workload
        .mounts()
        .filter(|mount| text(mount, "name") == Some(volume))
        .map(part);
    let first = parts.next()?;
    if parts.any(|one| one.is_none()) {
        return None;
    }
    first
}

fn resources(fitting: &Fitting<'_>) -> Result<Value, Denial> {
    let (asked, settings) = (&fitting.subject.asked, &fitting.subject.settings.resources);
    let own = |text: &Option<String>| text.clone();
    let mut cpu_limit = asked
        .cpu_limit
        .map(str::to_owned)
        .or_else(|| own(&settings.cpu_limit));
    let memory_limit = asked
        .memory_limit
        .map(str::to_owned)
        .or_else(|| own(&settings.memory_limit).map(|limit| enough(fitting.profile, limit)));
    let mut cpu = asked
        .cpu_request
        .map(str::to_owned)
        .or_else(|| own(&settings.cpu_request));
    let mut memory = asked
        .memory_request
        .map(str::to_owned)
        .or_else(|| own(&settings.memory_request));
    if security::guaranteed(fitting.subject.pod) && memory_limit.is_some() {
        cpu_limit.get_or_insert_with(|| GUARANTEED_CPU.to_owned());
        cpu.clone_from(&cpu_limit);
        memory.clone_from(&memory_limit);
    }
    above(
        "cpu-request",
        cpu.as_deref(),
        cpu_limit.as_deref(),
        crate::quantity::cpu_milli,
    )?;
    above(
        "memory-request",
        memory.as_deref(),
        memory_limit.as_deref(),
        |text| text.parse::<ByteSize>().ok().map(|size| size.0),
    )?;
    let mut resources = Map::new();
    for (key, cpu, memory) in [
        ("requests", cpu, memory),
        ("limits", cpu_limit, memory_limit),
    ] {
        let mut amounts = Map::new();
        if let Some(cpu) = cpu {
            amounts.insert("cpu".to_owned(), json!(cpu));
        }
        if let Some(memory) = memory {
            amounts.insert("memory".to_owned(), json!(memory));
        }
        if !amounts.is_empty() {
            resources.insert(key.to_owned(), Value::Object(amounts));
        }
    }
    Ok(Value::Object(resources))
}

/// The limit, or more where the plugin may need more.
fn enough(profile: &Profile, limit: String) -> String {
    let Some(plugin) = &profile.plugin else {
        return limit;
    };
    let needed = ByteSize(
        plugin
            .limits
            .memory
            .0
            .saturating_add(MEMORY_BESIDES_PLUGIN.0),
    );
    match limit.parse::<ByteSize>() {
        Ok(set) if set < needed => needed.to_string(),
        _ => limit,
    }
}

fn above(
    key: &str,
    request: Option<&str>,
    limit: Option<&str>,
    amount: impl Fn(&str) -> Option<u64>,
) -> Result<(), Denial> {
    let (Some(request), Some(limit)) = (request, limit) else {
        return Ok(());
    };
    match (amount(request), amount(limit)) {
        (Some(asked), Some(most)) if asked > most => Err(annotation_finding(
            key,
            format!("the sidecar would ask for {request} and may use {limit}"),
            "raise the limit beside it, or lower the request",
        )),
        _ => Ok(()),
    }
}
