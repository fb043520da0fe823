//! Pods that ask for the sidecar: whether they have it, and whether it is the webhook's.

use std::collections::BTreeMap;

use outrigger_profile::layout::CONTAINER;
use serde_json::Value;

use super::{Remark, Seen};
use crate::decide::Owner;
use crate::pod::{Pod, text};
use crate::status::Status;

/// A pod with our label, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The StatefulSet that controls it.
    pub stateful_set: Option<String>,
    /// Whether it is being deleted, or has ended.
    pub ending: bool,
    /// The sidecar's image.
    pub sidecar: Option<String>,
    /// The version that injected it.
    pub version: Option<String>,
    /// Whether it chose an image of its own.
    pub own_image: bool,
}

impl SeenPod {
    /// From the object.
    pub fn read(object: &Value) -> Self {
        let pod = Pod::lenient(object);
        let meta = |key: &str| {
            let value = object.get("metadata").and_then(|meta| meta.get(key));
            value.and_then(Value::as_str)
        };
        let owner = Owner::of(object).filter(|owner| owner.kind == "StatefulSet");
        let sidecar = pod.init_container(CONTAINER);
        let status = pod.annotation(Status::KEY);
        let phase = object.pointer("/status/phase").and_then(Value::as_str);
        Self {
            namespace: meta("namespace").unwrap_or_default().to_owned(),
            name: meta("name").unwrap_or_default().to_owned(),
            stateful_set: owner.map(|owner| owner.name.to_owned()),
            ending: meta("deletionTimestamp").is_some()
                || phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed"),
            sidecar: sidecar.and_then(|one| text(one.value, "image").map(str::to_owned)),
            version: status
                .and_then(|status| Status::parse(status).ok())
                .map(|status| status.version),
            own_image: pod.annotation("outrigger.dev/image").is_some(),
        }
    }
}

/// A namespace and a StatefulSet in it.
type Set = (String, String);

pub(super) fn remarks(seen: &Seen) -> Vec<Remark> {
    const ABOUT: &str = "pods";
    let pods = match &seen.pods {
        Err(why) => return vec![Remark::unknown(ABOUT, why)],
        Ok(pods) => pods,
    };
    let current = image(seen);
    let mut without: BTreeMap<Set, Vec<&str>> = BTreeMap::new();
    let mut other: BTreeMap<Set, Vec<String>> = BTreeMap::new();
    let mut injected = 0_usize;
    for pod in pods.iter().filter(|pod| !pod.ending) {
        // Others are skipped, as an Event tells their owner.
        let Some(set) = &pod.stateful_set else {
            continue;
        };
        let key = (pod.namespace.clone(), set.clone());
        let Some(sidecar) = pod.sidecar.as_deref().filter(|_| pod.version.is_some()) else {
            without.entry(key).or_default().push(&pod.name);
            continue;
        };
        injected += 1;
        let version = pod.version.as_deref().unwrap_or_default();
        if current.as_deref().is_some_and(|current| current != sidecar) && !pod.own_image {
            let told = format!("{} runs {sidecar} (injected by {version})", pod.name);
            other.entry(key).or_default().push(told);
        }
    }
    let mut remarks = Vec::new();
    for ((namespace, set), names) in without {
        let told = format!("{} should have a sidecar and have none", listed(&names));
        remarks.push(Remark::bad(ABOUT, told).mend(roll(&namespace, &set)));
    }
    for ((namespace, set), told) in other {
        let now = current.as_deref().unwrap_or_default();
        let told = format!("{}; new pods get {now}", listed(&told));
        remarks.push(Remark::doubtful("sidecars", told).mend(roll(&namespace, &set)));
    }
    if remarks.is_empty() {
        let told = format!(
            "every replica that asks has its sidecar, as the webhook injects it now: {injected}"
        );
        remarks.push(Remark::good(ABOUT, told));
    }
    remarks
}

fn roll(namespace: &str, set: &str) -> String {
    format!("kubectl -n {namespace} rollout restart statefulset/{set}")
}

/// At most three of them by name.
fn listed<T: AsRef<str>>(all: &[T]) -> String {
    const MOST: usize = 3;
    let named: Vec<&str> = all.iter().take(MOST).map(AsRef::as_ref).collect();
    match all.len().saturating_sub(MOST) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// The image of the sidecars that the webhook injects now, as its Deployment says.
fn image(seen: &Seen) -> Option<String> {
    let container = seen.of_deployment("/spec/template/spec/containers/0")?;
    let args = container.get("args")?.as_array()?;
    let said = args
        .iter()
        .filter_map(Value::as_str)
        .find_map(|arg| arg.strip_prefix("--image="))?;
    let Some(variable) = said
        .strip_prefix("$(")
        .and_then(|rest| rest.strip_suffix(')'))
    else {
        return Some(said.to_owned());
    };
    let env = container.get("env")?.as_array()?;
    let named = env.iter().find(|one| text(one, "name") == Some(variable))?;
    text(named, "value").map(str::to_owned)
}
