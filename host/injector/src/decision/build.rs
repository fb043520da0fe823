//! The injection of one pod, once nothing stands in its way.

use outrigger_profile::document::path;
use outrigger_profile::layout::{
    ENV_FILE, FILES_DIR, FILES_DIRS, PRE_STOP_PATH, WORKLOAD_VARIABLE,
};
use outrigger_profile::{Finding, env, show_span};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::conflict::sees_processes;
use super::replica::Replica;
use super::{ANNOTATIONS, Fitting, security, sidecar};
use crate::decide::{Denial, DenyCode, Warning};
use crate::entropy;
use crate::facts::hex_digest;
use crate::injection::{FILES_VOLUME, Injection, PROFILE_VOLUME, STATE_VOLUME, secret_volume};
use crate::pod::text;
use crate::status::place;

/// Since when a container's variables can come from a file of a volume.
const ENV_FILES_SINCE: (u32, u32) = (1, 35);

/// Kubernetes' own default, in seconds.
const GRACE_DEFAULT: u64 = 30;

/// The keys by which Prometheus is told of a pod, by custom.
const PROMETHEUS: [&str; 3] = [
    "prometheus.io/scrape",
    "prometheus.io/port",
    "prometheus.io/path",
];

/// Who calls the drain when the pod is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// The hook that is injected.
    Hook,
    /// A hook of the pod's own, which is told the token.
    Own,
    /// Nobody.
    Nobody,
}

pub(super) fn build(
    fitting: &Fitting<'_>,
    replica: &Replica,
    warnings: &mut Vec<Warning>,
) -> Result<Injection, Denial> {
    env_files(fitting, warnings)?;
    granted(fitting, replica)?;
    let grace = grace(fitting, warnings);
    warnings.extend(security::warning(fitting));
    let drain = drain(fitting, warnings);
    let mut injection = Injection {
        workload: fitting.container.to_owned(),
        sidecar: sidecar::container(fitting, replica, grace)?,
        order: fitting.subject.asked.order.clone(),
        volumes: volumes(fitting),
        mounts: mounts(fitting),
        env: variables(fitting),
        pre_stop: (drain == Drain::Hook).then(|| hook(fitting.port)),
        share_process_namespace: sees_processes(fitting.profile),
        annotations: prometheus(fitting, warnings),
        profile: fitting.source.clone(),
        profile_digest: fitting.entry.digest.clone(),
        hash: String::new(),
    };
    injection.hash = hash(&injection);
    if drain != Drain::Nobody {
        arm(&mut injection, &token(fitting), drain);
    }
    Ok(injection)
}

/// Rendered variables reach the workload by `fileKeyRef`.
fn env_files(fitting: &Fitting<'_>, warnings: &mut Vec<Warning>) -> Result<(), Denial> {
    if fitting.profile.env.is_empty() {
        return Ok(());
    }
    match fitting.subject.settings.server_version {
        Some(version) if version < ENV_FILES_SINCE => Err(Denial::new(
            DenyCode::EnvFiles,
            format!(
                "the profile renders environment variables, which need Kubernetes 1.35 or newer, and this is {}.{}",
                version.0, version.1
            ),
            "render a file that the workload reads in the place of spec.env, or upgrade the cluster",
        )),
        Some(_) => Ok(()),
        None => {
            warnings.push(Warning::of_pod(
                "spec.containers",
                "the profile renders environment variables: they need Kubernetes 1.35 or newer",
            ));
            Ok(())
        }
    }
}

/// What the plugin may see must be there, and be for the sidecar what it is for the workload.
fn granted(fitting: &Fitting<'_>, replica: &Replica) -> Result<(), Denial> {
    let Some(plugin) = &fitting.profile.plugin else {
        return Ok(());
    };
    for name in plugin.grants.volumes.keys() {
        let denied =
            |message: String, hint: &str| Err(Denial::new(DenyCode::Volume, message, hint));
        if !super::replica::has_volume(fitting, replica, name) {
            return denied(
                format!("the profile grants the volume {name}, which the pod does not have"),
                "add it to the pod or to volumeClaimTemplates, or remove it from spec.plugin.grants.volumes",
            );
        }
        let mut mounts = fitting.workload.mounts();
        if mounts.any(|one| text(one, "name") == Some(name) && one.get("subPathExpr").is_some()) {
            return denied(
                format!(
                    "the container {} mounts a subPathExpr of the volume {name}, which the profile grants",
                    fitting.container
                ),
                "mount it with subPath or whole: the sidecar would see another folder than the workload",
            );
        }
    }
    Ok(())
}

fn grace(fitting: &Fitting<'_>, warnings: &mut Vec<Warning>) -> u64 {
    let grace = fitting
        .subject
        .pod
        .spec("terminationGracePeriodSeconds")
        .and_then(Value::as_u64)
        .unwrap_or(GRACE_DEFAULT);
    let drain = fitting.profile.drain.timeout;
    if drain.as_secs() >= grace {
        let told = format!(
            "the drain may take {}, and the pod is killed after {grace}s",
            show_span(drain)
        );
        let place = "spec.terminationGracePeriodSeconds";
        warnings.push(Warning::of_pod(place, told).hint("raise terminationGracePeriodSeconds"));
    }
    grace
}

fn drain(fitting: &Fitting<'_>, warnings: &mut Vec<Warning>) -> Drain {
    if fitting.subject.asked.pre_stop == Some(false) {
        return Drain::Nobody;
    }
    let status = fitting.subject.status.as_ref();
    let hook = place::of(fitting.container, "lifecycle/preStop");
    let ours = status.is_some_and(|status| status.made(&hook));
    if fitting.workload.pre_stop().is_none() || ours {
        return Drain::Hook;
    }
    let told = format!("{} has a preStop hook", fitting.container);
    warnings.push(Warning::of_pod("spec.containers", told).hint(format!(
        "to drain, let it GET http://127.0.0.1:{}{PRE_STOP_PATH} with `Authorization: Bearer ${}`",
        fitting.port,
        env::PRE_STOP_TOKEN.name
    )));
    Drain::Own
}

fn hook(port: u16) -> Value {
    json!({"httpGet": {"path": PRE_STOP_PATH, "port": port}})
}

/// The token of an earlier injection, or a new one.
fn token(fitting: &Fitting<'_>) -> String {
    let subject = fitting.subject;
    if subject.status.is_some() {
        let of_sidecar = subject
            .pod
            .init_container(outrigger_profile::layout::CONTAINER)
            .and_then(|sidecar| sidecar.variable(env::PRE_STOP_TOKEN.name))
            .and_then(|variable| text(variable, "value"));
        let of_hook = || bearer(fitting.workload.pre_stop()?);
        let kept = of_sidecar.or_else(of_hook).filter(|token| {
            (16..=128).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if let Some(token) = kept {
            return token.to_owned();
        }
    }
    entropy::token(subject.entropy)
}

/// The token that a hook presents.
fn bearer(hook: &Value) -> Option<&str> {
    let headers = hook.get("httpGet")?.get("httpHeaders")?.as_array()?;
    let header = headers
        .iter()
        .find(|header| text(header, "name") == Some("Authorization"))?;
    text(header, "value")?.strip_prefix("Bearer ")
}

/// Puts the token to both sides.
fn arm(injection: &mut Injection, token: &str, drain: Drain) {
    let variable = json!({"name": env::PRE_STOP_TOKEN.name, "value": token});
    if let Some(get) = injection
        .pre_stop
        .as_mut()
        .and_then(|hook| hook.get_mut("httpGet"))
        && let Some(get) = get.as_object_mut()
    {
        let header = json!([{"name": "Authorization", "value": format!("Bearer {token}")}]);
        get.insert("httpHeaders".to_owned(), header);
    }
    if drain == Drain::Own {
        injection.env.push(variable.clone());
    }
    if let Some(env) = injection
        .sidecar
        .get_mut("env")
        .and_then(Value::as_array_mut)
    {
        env.push(variable);
    }
}

fn volumes(fitting: &Fitting<'_>) -> Vec<Value> {
    let size = &fitting.subject.settings.files_size;
    let mut volumes = vec![
        json!({"name": FILES_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": size}}),
        json!({"name": STATE_VOLUME, "emptyDir": {}}),
    ];
    if fitting.subject.asked.workload.is_none() {
        volumes.push(json!({"name": PROFILE_VOLUME, "configMap": {"name": fitting.source}}));
    }
    for (secret, optional) in sidecar::secrets(fitting.profile) {
        let mut source = json!({"secretName": secret});
        if optional && let Some(source) = source.as_object_mut() {
            source.insert("optional".to_owned(), json!(true));
        }
        volumes.push(json!({"name": secret_volume(secret), "secret": source}));
    }
    volumes
}

/// The workload sees all rendered files, and each folder of them at its place.
fn mounts(fitting: &Fitting<'_>) -> Vec<Value> {
    let folders = fitting.profile.file_dirs();
    if folders.is_empty() {
        return Vec::new();
    }
    let mut mounts = vec![json!({"name": FILES_VOLUME, "mountPath": FILES_DIR, "readOnly": true})];
    for (index, folder) in folders.iter().enumerate() {
        mounts.push(json!({
            "name": FILES_VOLUME,
            "mountPath": folder.to_string_lossy(),
            "subPath": format!("{FILES_DIRS}/{index}"),
        }));
    }
    mounts
}

fn variables(fitting: &Fitting<'_>) -> Vec<Value> {
    let mut variables: Vec<Value> = fitting
        .profile
        .env
        .keys()
        .map(|name| {
            json!({"name": name, "valueFrom": {"fileKeyRef": {
                "volumeName": FILES_VOLUME, "path": ENV_FILE, "key": name,
            }}})
        })
        .collect();
    if sees_processes(fitting.profile) {
        variables.push(json!({"name": WORKLOAD_VARIABLE, "value": fitting.container}));
    }
    variables
}

fn prometheus(fitting: &Fitting<'_>, warnings: &mut Vec<Warning>) -> Vec<(String, String)> {
    let subject = fitting.subject;
    let wanted = subject
        .asked
        .prometheus
        .unwrap_or(subject.settings.prometheus);
    if !wanted {
        return Vec::new();
    }
    let theirs = PROMETHEUS.iter().find(|key| {
        let there = subject
            .pod
            .annotations()
            .is_some_and(|all| all.contains_key(**key));
        let ours = subject
            .status
            .as_ref()
            .is_some_and(|status| status.made(&place::annotation(key)));
        there && !ours
    });
    if let Some(key) = theirs {
        let told = format!(
            "the pod has {key} already, which is left as it is: the sidecar's /metrics is at port {}",
            fitting.port
        );
        warnings.push(Warning::of_pod(path::key(ANNOTATIONS, key), told));
        return Vec::new();
    }
    let values = [
        "true".to_owned(),
        fitting.port.to_string(),
        "/metrics".to_owned(),
    ];
    PROMETHEUS
        .iter()
        .map(|key| (*key).to_owned())
        .zip(values)
        .collect()
}

/// Over everything that is injected but the token, which differs from pod to pod.
fn hash(injection: &Injection) -> String {
    let all = (
        (&injection.workload, &injection.sidecar),
        injection.order.to_string(),
        (&injection.volumes, &injection.mounts, &injection.env),
        &injection.pre_stop,
        injection.share_process_namespace,
        &injection.annotations,
    );
    // Texts, numbers and lists of them always serialize.
    hex_digest(&Sha256::digest(
        serde_json::to_vec(&all).unwrap_or_default(),
    ))
}

/// A finding about an annotation that is right by itself.
pub(super) fn annotation_finding(name: &str, problem: String, hint: &str) -> Denial {
    let at = format!(
        "metadata.annotations[\"{}{name}\"]",
        crate::annotation::PREFIX
    );
    Denial::new(
        DenyCode::Annotations,
        "what the pod asks for cannot be had",
        "mend the pod template",
    )
    .found([Finding::error(at, problem).hint(hint)])
}
