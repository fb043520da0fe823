//! What is seen of a StatefulSet and its pods, as far as a roll looks at it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use outrigger_api_server::read_time;
use outrigger_peers::{Ordinal, ReplicaName, RestartPlace};
use serde_json::Value;

use crate::note::{ANNOTATION, Note, NoteError};
use crate::why;

/// The label with a replica's role.
const ROLE_LABEL: &str = "outrigger.dev/role";
/// The label with the revision of the template that a pod was made from.
const REVISION_LABEL: &str = "controller-revision-hash";

/// Everything at one look: the StatefulSet was read before its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The StatefulSet.
    pub set: SetSeen,
    /// Its pods, by ordinal.
    pub pods: BTreeMap<u32, PodSeen>,
    /// The replica that restarts by itself for a new configuration; none where that is not known.
    pub turn: Option<String>,
    /// When, by the API server's clock.
    pub time: SystemTime,
}

/// What is seen of the StatefulSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSeen {
    /// Its name.
    pub name: String,
    /// Who it is, however it is called.
    pub uid: String,
    /// The version that was read.
    pub version: String,
    /// Whether its controller has seen it as it is now.
    pub is_observed: bool,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// The first ordinal.
    pub start: u32,
    /// How many replicas there should be.
    pub replicas: u32,
    /// How its controller replaces pods of an older template.
    pub strategy: Strategy,
    /// The newest revision of its template.
    pub revision: String,
    /// How long a pod must be ready to count as available.
    pub min_ready: Duration,
    /// Which pods are its own, as a label selector.
    pub selector: String,
    /// The roll that was begun.
    pub note: Result<Option<Note>, NoteError>,
}

/// What a StatefulSet's controller does about pods of an older template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// It replaces them, but for so many of the lowest ordinals.
    RollingUpdate {
        /// How many places from the first ordinal on keep the template of before.
        partition: u32,
    },
    /// It waits until somebody else deletes them.
    OnDelete,
}

/// What is seen of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodSeen {
    /// New with each pod.
    pub uid: String,
    /// The version that was read.
    pub version: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Since when, by the API server's clock.
    pub ready_since: Option<SystemTime>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The role that its sidecar published.
    pub role: Option<String>,
    /// The revision of the template that it was made from.
    pub revision: String,
    /// Why it is not ready, in words; empty where nothing is said.
    pub why: String,
}

impl Seen {
    /// Whether a pod is ready for as long as is asked for, and stays.
    pub fn is_available(&self, pod: &PodSeen) -> bool {
        let long_enough = || {
            let since = pod.ready_since?;
            self.time.duration_since(since).ok()
        };
        pod.ready
            && !pod.terminating
            && (self.set.min_ready.is_zero()
                || long_enough().is_some_and(|long| long >= self.set.min_ready))
    }
}

impl SetSeen {
    /// The ordinals that there should be.
    pub fn wanted(&self) -> std::ops::Range<u32> {
        self.start..self.start.saturating_add(self.replicas)
    }

    /// The name of the pod with this ordinal.
    pub fn pod(&self, ordinal: u32) -> String {
        ReplicaName::new(&self.name, Ordinal(ordinal)).to_string()
    }

    /// Reads the object.
    pub(crate) fn read(set: &Value) -> Self {
        let text = |pointer: &str| text(set, pointer);
        let number = |pointer: &str| set.pointer(pointer).and_then(Value::as_u64);
        let ordinal = |pointer: &str| number(pointer).and_then(|number| u32::try_from(number).ok());
        let strategy = match text("/spec/updateStrategy/type").as_str() {
            "OnDelete" => Strategy::OnDelete,
            _ => Strategy::RollingUpdate {
                partition: ordinal("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0),
            },
        };
        let note = set["metadata"]["annotations"][ANNOTATION].as_str();
        Self {
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            version: text("/metadata/resourceVersion"),
            is_observed: number("/status/observedGeneration") >= number("/metadata/generation"),
            leaving: set["metadata"]["deletionTimestamp"].is_string(),
            start: ordinal("/spec/ordinals/start").unwrap_or(0),
            replicas: ordinal("/spec/replicas").unwrap_or(1),
            strategy,
            revision: text("/status/updateRevision"),
            min_ready: Duration::from_secs(number("/spec/minReadySeconds").unwrap_or(0)),
            selector: selector(&set["spec"]["selector"]),
            note: note.map(Note::parse).transpose(),
        }
    }
}

impl PodSeen {
    /// Its place in the order of restarts.
    pub(crate) fn restart_place(&self, ordinal: u32) -> RestartPlace {
        RestartPlace::of(self.role.as_deref(), Ordinal(ordinal))
    }

    /// Whether it leads.
    pub(crate) fn leads(&self) -> bool {
        self.restart_place(0).leads()
    }

    /// Reads a pod of the StatefulSet with this name and uid; none where it is not one.
    pub(crate) fn read(pod: &Value, set: &str, uid: &str) -> Option<(u32, Self)> {
        let owners = pod["metadata"]["ownerReferences"].as_array()?;
        let is_own = |owner: &Value| owner["controller"] == true && owner["uid"] == uid;
        let name: ReplicaName = pod["metadata"]["name"].as_str()?.parse().ok()?;
        if !owners.iter().any(is_own) || name.stateful_set != set {
            return None;
        }
        let ready = condition(pod, "Ready").filter(|ready| ready["status"] == "True");
        let since = ready.and_then(|ready| ready["lastTransitionTime"].as_str());
        let labels = &pod["metadata"]["labels"];
        let seen = Self {
            uid: text(pod, "/metadata/uid"),
            version: text(pod, "/metadata/resourceVersion"),
            ready: ready.is_some(),
            ready_since: since.and_then(read_time),
            terminating: pod["metadata"]["deletionTimestamp"].is_string(),
            role: labels[ROLE_LABEL].as_str().map(str::to_owned),
            revision: labels[REVISION_LABEL].as_str().unwrap_or("").to_owned(),
            why: if ready.is_some() {
                String::new()
            } else {
                why::from_status(pod)
            },
        };
        Some((name.ordinal.0, seen))
    }
}

/// A condition of a pod.
pub(crate) fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn text(object: &Value, pointer: &str) -> String {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// A selector as it is written in a request.
fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> = expression["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let values = values.join(",");
        match expression["operator"].as_str() {
            Some("In") => terms.push(format!("{key} in ({values})")),
            Some("NotIn") => terms.push(format!("{key} notin ({values})")),
            Some("Exists") => terms.push(key.to_owned()),
            Some("DoesNotExist") => terms.push(format!("!{key}")),
            // It only narrows what is read: whose pods they are, their owner tells.
            _ => {}
        }
    }
    terms.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stateful_set_and_its_pods_are_read_and_pods_of_others_are_not() {
        let set = SetSeen::read(&json!({
            "metadata": {"name": "db", "uid": "s", "resourceVersion": "7", "generation": 3},
            "spec": {
                "replicas": 2, "ordinals": {"start": 5}, "minReadySeconds": 4,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
                "selector": {
                    "matchLabels": {"app": "db"},
                    "matchExpressions": [
                        {"key": "tier", "operator": "In", "values": ["a", "b"]},
                        {"key": "old", "operator": "DoesNotExist"},
                    ],
                },
            },
            "status": {"observedGeneration": 2, "updateRevision": "db-1"},
        }));
        assert_eq!(set.selector, "app=db,tier in (a,b),!old");
        assert_eq!(set.wanted(), 5..7);
        assert_eq!(set.strategy, Strategy::RollingUpdate { partition: 1 });
        assert!(!set.is_observed);
        assert_eq!(set.note, Ok(None));

        let mut pod = json!({
            "metadata": {
                "name": "db-5", "uid": "p", "resourceVersion": "9",
                "labels": {"outrigger.dev/role": "leader", "controller-revision-hash": "db-1"},
                "ownerReferences": [{"controller": true, "uid": "s"}],
            },
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-06-01T00:00:02Z"},
            ]},
        });
        let (ordinal, read) = PodSeen::read(&pod, "db", "s").unwrap();
        assert_eq!(ordinal, 5);
        assert!(read.leads() && read.ready, "{read:?}");
        let mut seen = Seen {
            set,
            pods: BTreeMap::new(),
            turn: None,
            time: read_time("2026-06-01T00:00:05Z").unwrap(),
        };
        assert!(!seen.is_available(&read), "ready for three seconds of four");
        seen.time += Duration::from_secs(1);
        assert!(seen.is_available(&read));
        assert_eq!(PodSeen::read(&pod, "db", "other"), None);
        pod["metadata"]["name"] = json!("db-copy");
        assert_eq!(PodSeen::read(&pod, "db", "s"), None);
    }
}
