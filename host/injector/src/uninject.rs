//! Takes an injection out of a pod again: exactly what it put in, so that the original is left.

use json_patch::PatchOperation;
use outrigger_profile::layout::{CONTAINER, PRE_STOP_PATH};
use serde_json::{Value, json};

use crate::patch::{Operations, mount_is_ours, variable_is_ours, volume_is_ours};
use crate::pod::{Container, Misshapen, Pod, text};
use crate::status::{Status, place};

/// Why a pod cannot be brought back to what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UninjectError {
    /// It was never injected.
    #[error("the pod has no annotation outrigger.dev/status, so nothing was injected")]
    NotInjected,
    /// What the status says cannot be read.
    #[error("the annotation outrigger.dev/status cannot be read: {0}")]
    Status(String),
    /// It is no pod.
    #[error("{0} is not what Kubernetes takes there")]
    Malformed(String),
}

/// Whether an item of a list is ours.
type Ours = dyn Fn(&Value) -> bool;

/// Where a mesh puts a hook that it took over.
const TAKEN_OVER: &str = "/app-lifecycle/";

/// The operations that give back exactly the original.
///
/// # Errors
/// When the pod was not injected, or its status was tampered with.
pub fn uninject(pod: &Value) -> Result<Vec<PatchOperation>, UninjectError> {
    Ok(taking_out(pod)?.bounded(pod))
}

/// The same, however many.
pub(crate) fn taking_out(pod: &Value) -> Result<Operations, UninjectError> {
    let view = Pod::checked(pod).map_err(|Misshapen(at)| UninjectError::Malformed(at))?;
    let text = view
        .annotation(Status::KEY)
        .ok_or(UninjectError::NotInjected)?;
    let status = Status::parse(text).map_err(UninjectError::Status)?;
    let mut operations = Operations::default();
    if let Some(workload) = view.container(&status.workload) {
        of_workload(&mut operations, &workload, &status);
    }
    let named = |value: &Value| self::text(value, "name") == Some(CONTAINER);
    let lists: [(&str, &str, &Ours); 2] = [
        ("initContainers", place::INIT_CONTAINERS, &named),
        ("volumes", place::VOLUMES, &volume_is_ours),
    ];
    for (list, place, ours) in lists {
        let there = view.field(list);
        take(
            &mut operations,
            &["spec", list],
            there,
            "name",
            ours,
            place,
            &status,
        );
    }
    if status.made(place::SHARE) && view.flag("shareProcessNamespace") {
        let at = ["spec", "shareProcessNamespace"];
        operations.undo(&at, &status, place::SHARE);
    }
    annotations(&mut operations, view, &status);
    Ok(operations)
}

fn of_workload(operations: &mut Operations, workload: &Container<'_>, status: &Status) {
    let before = operations.len();
    let index = workload.index.to_string();
    let base = ["spec", "containers", &index];
    let lists: [(&str, &str, &Ours); 2] = [
        ("volumeMounts", "mountPath", &mount_is_ours),
        ("env", "name", &variable_is_ours),
    ];
    for (list, key, ours) in lists {
        let at = [base[0], base[1], base[2], list];
        let place = place::of(&status.workload, list);
        let there = workload.value.get(list);
        take(operations, &at, there, key, ours, &place, status);
    }
    let own = place::of(&status.workload, "lifecycle/preStop");
    if status.made(&own) && workload.pre_stop().is_some_and(is_our_hook) {
        let parent = place::of(&status.workload, "lifecycle");
        let lifecycle = workload.value.get("lifecycle").and_then(Value::as_object);
        if status.made(&parent) && lifecycle.is_some_and(|all| all.len() == 1) {
            operations.undo(&[base[0], base[1], base[2], "lifecycle"], status, &parent);
        } else {
            let at = [base[0], base[1], base[2], "lifecycle", "preStop"];
            operations.undo(&at, status, &own);
        }
    }
    if operations.len() > before {
        let at = [base[0], base[1], base[2], "name"];
        operations.guard(before, &at, json!(status.workload));
    }
}

fn is_our_hook(hook: &Value) -> bool {
    hook.get("httpGet")
        .and_then(|get| text(get, "path"))
        .is_some_and(|path| path == PRE_STOP_PATH || path.starts_with(TAKEN_OVER))
}

/// Takes our items out of a list, and the list too where it was not there before and nothing is left.
fn take(
    operations: &mut Operations,
    at: &[&str],
    there: Option<&Value>,
    key: &str,
    ours: &Ours,
    place: &str,
    status: &Status,
) {
    let Some(items) = there.and_then(Value::as_array) else {
        return;
    };
    if status.made(place) && items.iter().all(ours) {
        operations.undo(at, status, place);
        return;
    }
    for (index, item) in items.iter().enumerate().rev() {
        if ours(item) {
            operations.remove_item(at, index, key, item);
        }
    }
}

fn annotations(operations: &mut Operations, pod: Pod<'_>, status: &Status) {
    const AT: [&str; 2] = ["metadata", "annotations"];
    let ours = |key: &str| key == Status::KEY || status.made(&place::annotation(key));
    let Some(all) = pod.annotations() else {
        return;
    };
    if status.made(place::ANNOTATIONS) && all.keys().all(|key| ours(key)) {
        operations.undo(&AT, status, place::ANNOTATIONS);
        return;
    }
    for key in all.keys().filter(|key| ours(key)) {
        operations.remove(&[AT[0], AT[1], key]);
    }
}
