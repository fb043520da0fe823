//! Every field of an injection and why it is there: what `inject --explain` tells.

use outrigger_profile::env;
use outrigger_profile::layout::{
    CONTAINER, FILES_DIR, PROFILE_DIR, SECRETS_DIR, STATE_DIR, VOLUMES_DIR, WORKLOAD_VARIABLE,
};
use serde_json::Value;

use crate::injection::{FILES_VOLUME, Injection, Order, PROFILE_VOLUME, STATE_VOLUME};
use crate::patch::patch;
use crate::pod::{Pod, text};
use crate::status::Status;

/// One field that is put into a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Where, such as `spec.initContainers[outrigger].image`.
    pub path: String,
    /// What.
    pub value: Value,
    /// Why.
    pub why: String,
}

/// Every field that the injection puts into the pod.
pub fn explain(pod: &Value, injection: &Injection) -> Vec<Explained> {
    let mut all = Vec::new();
    let mut say = |path: String, value: &Value, why: &str| {
        all.push(Explained {
            path,
            value: value.clone(),
            why: why.to_owned(),
        });
    };
    for (key, value) in injection.sidecar.as_object().into_iter().flatten() {
        let at = format!("spec.initContainers[{CONTAINER}].{key}");
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        match key.as_str() {
            "env" => {
                for item in items {
                    let name = text(item, "name").unwrap_or_default();
                    let why = env::ALL.iter().find(|one| one.name == name);
                    let why = why.map_or("", |one| one.help);
                    say(format!("{at}[{name}]"), content(item), why);
                }
            }
            "volumeMounts" => {
                for item in items {
                    let path = text(item, "mountPath").unwrap_or_default();
                    say(format!("{at}[{path}]"), item, mount_reason(path));
                }
            }
            "name" => say(at, value, order_reason(&injection.order)),
            _ => say(at, value, field_reason(key)),
        }
    }
    for volume in &injection.volumes {
        let name = text(volume, "name").unwrap_or_default();
        say(format!("spec.volumes[{name}]"), volume, volume_reason(name));
    }
    let workload = format!("spec.containers[{}]", injection.workload);
    for mount in &injection.mounts {
        let path = text(mount, "mountPath").unwrap_or_default();
        let why = if path == FILES_DIR {
            "the rendered files, to which the links in their folders lead"
        } else {
            "a folder of rendered files: a whole folder, since a single mounted file cannot be replaced"
        };
        say(format!("{workload}.volumeMounts[{path}]"), mount, why);
    }
    for variable in &injection.env {
        let name = text(variable, "name").unwrap_or_default();
        let why = match name {
            WORKLOAD_VARIABLE => "by this the sidecar knows the workload's processes",
            _ if name == env::PRE_STOP_TOKEN.name => {
                "for the workload's own preStop hook, so that it may drain"
            }
            _ => "rendered by the sidecar before the workload starts",
        };
        say(format!("{workload}.env[{name}]"), content(variable), why);
    }
    if let Some(hook) = &injection.pre_stop {
        let why =
            "drains the workload before it is told to stop; the token keeps others from doing so";
        say(format!("{workload}.lifecycle.preStop"), hook, why);
    }
    if injection.share_process_namespace {
        let why = "the profile stops or signals the workload, so its processes must be seen";
        say(
            "spec.shareProcessNamespace".to_owned(),
            &Value::Bool(true),
            why,
        );
    }
    for (key, value) in &injection.annotations {
        let value = Value::String(value.clone());
        let why = "tells Prometheus where the metrics of workload, plugin and sidecar are, as one";
        say(format!("metadata.annotations[{key}]"), &value, why);
    }
    if let Some(status) = status(pod, injection) {
        let why = "tells who injected what, and lets `uninject` give back the original";
        say(
            format!("metadata.annotations[{}]", Status::KEY),
            &status,
            why,
        );
    }
    all
}

/// The status as the patch writes or leaves it.
fn status(pod: &Value, injection: &Injection) -> Option<Value> {
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch(pod, injection)).ok()?;
    let text = Pod::lenient(&patched).annotation(Status::KEY)?;
    Some(Value::String(text.to_owned()))
}

/// A variable's value, or where it comes from.
fn content(variable: &Value) -> &Value {
    variable
        .get("value")
        .or_else(|| variable.get("valueFrom"))
        .unwrap_or(variable)
}

fn order_reason(order: &Order) -> &'static str {
    match order {
        Order::Default => {
            "the first init container: what comes after it finds the configuration in place"
        }
        Order::First | Order::Last | Order::Before(_) | Order::After(_) => {
            "an init container at the place that outrigger.dev/order says"
        }
    }
}

fn field_reason(field: &str) -> &'static str {
    match field {
        "image" => "the webhook's setting, or outrigger.dev/image",
        "imagePullPolicy" => "the webhook's setting",
        "args" => "the sidecar is one command of the one program",
        "restartPolicy" => {
            "makes a native sidecar of it: it starts before the workload and ends after it"
        }
        "ports" => "probes, metrics, status and the preStop hook",
        "resources" => {
            "the webhook's setting or annotations; memory for the plugin; as the pod's QoS class needs it"
        }
        "startupProbe" => {
            "holds the workload until its configuration is in place, longer than the profile's start.cap"
        }
        "readinessProbe" => "the replica's readiness; thresholds are the profile's",
        "livenessProbe" => "whether the sidecar itself works: never the workload's liveness",
        "securityContext" => {
            "the workload's user where its container says, and the restricted Pod Security Standard"
        }
        "terminationMessagePolicy" => "why it ended is in the pod's status",
        _ => "",
    }
}

fn mount_reason(path: &str) -> &'static str {
    match path {
        FILES_DIR => "rendered files are written here",
        STATE_DIR => "the sidecar's own folder: its root is read-only",
        PROFILE_DIR => "the profile and its templates, as they are edited",
        _ if path.starts_with(SECRETS_DIR) => "a Secret that the profile names",
        _ if path.starts_with(VOLUMES_DIR) => "a volume that the profile grants to the plugin",
        _ => "",
    }
}

fn volume_reason(name: &str) -> &'static str {
    match name {
        FILES_VOLUME => "rendered files, in memory: what is rendered may be secret",
        STATE_VOLUME => "the sidecar's own folder",
        PROFILE_VOLUME => "the profile and its templates",
        _ => "a Secret that the profile names",
    }
}
