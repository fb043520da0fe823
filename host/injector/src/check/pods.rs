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
    /// Who controls it: a kind and a name; none = nobody.
    pub owner: Option<(String, String)>,
    /// Whether that is a StatefulSet, whose pods alone are injected.
    pub replica: bool,
    /// What a Deployment adds to the name of its `ReplicaSet`.
    pub template_hash: Option<String>,
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
        let owner = Owner::of(object);
        let sidecar = pod.init_container(CONTAINER);
        let status = pod.annotation(Status::KEY);
        let phase = object.pointer("/status/phase").and_then(Value::as_str);
        Self {
            namespace: meta("namespace").unwrap_or_default().to_owned(),
            name: meta("name").unwrap_or_default().to_owned(),
            owner: owner.map(|owner| (owner.kind.to_owned(), owner.name.to_owned())),
            replica: owner.is_some_and(|owner| {
                owner.kind == "StatefulSet" && owner.api_version.starts_with("apps/")
            }),
            template_hash: pod.label("pod-template-hash").map(str::to_owned),
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

impl SeenPod {
    /// The workload that makes pods like this: a kind as `kubectl` takes it, and a name.
    fn made_by(&self) -> (String, &str) {
        let Some((kind, name)) = &self.owner else {
            return ("pod".to_owned(), &self.name);
        };
        let hash = self.template_hash.as_deref();
        let deployment = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
        match (kind.as_str(), deployment) {
            ("ReplicaSet", Some(deployment)) => ("deployment".to_owned(), deployment),
            _ => (kind.to_lowercase(), name),
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
    let mut others: BTreeMap<(String, String, String), Vec<&str>> = BTreeMap::new();
    let mut injected = 0_usize;
    for pod in pods.iter().filter(|pod| !pod.ending) {
        let Some((_, set)) = pod.owner.as_ref().filter(|_| pod.replica) else {
            let (kind, name) = pod.made_by();
            let key = (pod.namespace.clone(), kind, name.to_owned());
            others.entry(key).or_default().push(&pod.name);
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
    let as_injected = remarks.is_empty();
    // API servers do not even ask the webhook about them, so that no Event tells it.
    for ((namespace, kind, name), names) in others {
        let whose = match kind.as_str() {
            "pod" => format!("{namespace}/{name}"),
            _ => format!("{} of the {kind} {namespace}/{name}", listed(&names)),
        };
        let told =
            format!("{whose}: labelled, and only pods of an apps/v1 StatefulSet get a sidecar");
        let mend = unlabel(&namespace, &kind, &name, &names);
        remarks.push(Remark::doubtful(ABOUT, told).mend(mend));
    }
    if as_injected {
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

/// Takes the label away: where it comes from, or else from the pods.
fn unlabel(namespace: &str, kind: &str, name: &str, pods: &[&str]) -> String {
    const MOST: usize = 10;
    let kubectl = format!("kubectl -n {namespace}");
    match kind {
        "deployment" | "daemonset" | "replicaset" | "replicationcontroller" => {
            let merge =
                r#"{"spec":{"template":{"metadata":{"labels":{"outrigger.dev/inject":null}}}}}"#;
            format!("{kubectl} patch {kind} {name} --type=merge -p '{merge}'")
        }
        // The template of a Job does not change, and who makes others is not known here.
        _ => {
            let pods = pods.get(..MOST).unwrap_or(pods).join(" ");
            format!("{kubectl} label pod {pods} outrigger.dev/inject-")
        }
    }
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
