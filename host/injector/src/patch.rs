//! From an injection to the operations that put it into a pod: only what is ours, and nothing where it
//! is there already.
//!
//! A pod comes again when another webhook changed it after us. Then what is missing is put back, and
//! what others changed on purpose (an image that a mirror rewrote, a probe that a mesh took over, other
//! limits) is left to them, as long as the same program injected the same profile. Another program or
//! profile brings everything up to date.

mod operations;
mod sidecar;

pub use self::operations::OPERATIONS_MAX;
pub(crate) use self::operations::Operations;

use json_patch::PatchOperation;
use outrigger_profile::env;
use outrigger_profile::layout::WORKLOAD_VARIABLE;
use serde_json::{Map, Value, json};

use crate::decision::is_rendered;
use crate::injection::{Injection, VOLUME_PREFIX};
use crate::pod::{Container, Pod, text};
use crate::status::{Status, place};

/// The operations that bring a pod to what the injection says: none where it is so already, and none
/// for what is no pod or has no container of the workload's name.
pub fn patch(pod: &Value, injection: &Injection) -> Vec<PatchOperation> {
    operations(pod, injection).bounded(pod)
}

/// The same, however many.
pub(crate) fn operations(pod: &Value, injection: &Injection) -> Operations {
    let Ok(view) = Pod::checked(pod) else {
        return Operations::default();
    };
    let Some(workload) = view.container(&injection.workload) else {
        return Operations::default();
    };
    if !pod.get("metadata").is_some_and(Value::is_object) {
        return Operations::default();
    }
    let old = view
        .annotation(Status::KEY)
        .and_then(|text| Status::parse(text).ok());
    let mut patching = Patching::new(view, workload, injection, old);
    patching.init_containers();
    patching.volumes();
    patching.workload();
    patching.share();
    patching.annotations();
    patching.operations
}

/// A patch that is being made.
struct Patching<'a> {
    pod: Pod<'a>,
    workload: Container<'a>,
    injection: &'a Injection,
    old: Option<Status>,
    /// The status as it will be.
    new: Status,
    /// Whether what others changed is left to them.
    lenient: bool,
    operations: Operations,
}

/// How the items of a list are told from each other, and which are ours.
struct Keyed<'a> {
    /// The list's place.
    at: &'a [&'a str],
    /// What is there now.
    there: Option<&'a Value>,
    /// What shall be there.
    wanted: &'a [Value],
    /// The field that tells items from each other.
    key: &'a str,
    /// Whether an item that is not wanted is ours, so that it goes.
    ours: fn(&Value) -> bool,
    /// Whether an item that differs is put right.
    insist: bool,
}

impl<'a> Patching<'a> {
    fn new(
        pod: Pod<'a>,
        workload: Container<'a>,
        injection: &'a Injection,
        old: Option<Status>,
    ) -> Self {
        let mut new = Status::of(injection);
        if let Some(old) = &old {
            new.created.clone_from(&old.created);
            new.nulls.clone_from(&old.nulls);
        }
        let lenient = old.as_ref().is_some_and(|old| old.same_source(&new));
        Self {
            pod,
            workload,
            injection,
            old,
            new,
            lenient,
            operations: Operations::default(),
        }
    }

    fn volumes(&mut self) {
        let added = reconcile(
            &mut self.operations,
            &Keyed {
                at: &["spec", "volumes"],
                there: self.pod.field("volumes"),
                wanted: &self.injection.volumes,
                key: "name",
                ours: volume_is_ours,
                insist: !self.lenient,
            },
        );
        self.new.adds(added, place::VOLUMES.to_owned());
    }

    fn workload(&mut self) {
        let injection = self.injection;
        let index = self.workload.index.to_string();
        let base = ["spec", "containers", index.as_str()];
        let before = self.operations.len();
        let mut at = base.to_vec();
        at.push("volumeMounts");
        let added = reconcile(
            &mut self.operations,
            &Keyed {
                at: &at,
                there: self.workload.value.get("volumeMounts"),
                wanted: &injection.mounts,
                key: "mountPath",
                ours: mount_is_ours,
                insist: true,
            },
        );
        self.new
            .adds(added, place::of(&injection.workload, "volumeMounts"));
        at.pop();
        at.push("env");
        let added = reconcile(
            &mut self.operations,
            &Keyed {
                at: &at,
                there: self.workload.value.get("env"),
                wanted: &injection.env,
                key: "name",
                ours: variable_is_ours,
                insist: true,
            },
        );
        self.new.adds(added, place::of(&injection.workload, "env"));
        self.pre_stop(&base);
        if self.operations.len() > before {
            let name = json!(injection.workload);
            self.operations
                .guard(before, &[base[0], base[1], base[2], "name"], name);
        }
    }

    fn pre_stop(&mut self, base: &[&str; 3]) {
        let [spec, containers, index] = *base;
        let lifecycle = [spec, containers, index, "lifecycle"];
        let hook = [spec, containers, index, "lifecycle", "preStop"];
        let parent = place::of(&self.injection.workload, "lifecycle");
        let own = place::of(&self.injection.workload, "lifecycle/preStop");
        let was_ours = self.old.as_ref().is_some_and(|old| old.made(&own));
        match (&self.injection.pre_stop, self.workload.pre_stop()) {
            (Some(wanted), None) => {
                let there = self.workload.value.get("lifecycle");
                if there.is_some_and(Value::is_object) {
                    let null = there.is_some_and(|all| all.get("preStop").is_some());
                    self.operations.add(&hook, wanted.clone());
                    self.new.adds(Some(Added { null }), own);
                } else {
                    self.operations.add(&lifecycle, json!({"preStop": wanted}));
                    self.new.adds(
                        Some(Added {
                            null: there.is_some(),
                        }),
                        parent,
                    );
                    self.new.adds(Some(Added { null: false }), own);
                }
            }
            (Some(wanted), Some(there)) => {
                if was_ours && !self.lenient && !is_within(wanted, there) {
                    self.operations.replace(&hook, wanted.clone());
                }
            }
            (None, Some(_)) if was_ours => {
                let alone = self
                    .workload
                    .value
                    .get("lifecycle")
                    .and_then(Value::as_object)
                    .is_some_and(|all| all.len() == 1);
                if alone && self.new.made(&parent) {
                    self.operations.undo(&lifecycle, &self.new, &parent);
                    self.new.forget(&parent);
                } else {
                    self.operations.undo(&hook, &self.new, &own);
                }
                self.new.forget(&own);
            }
            (None, _) => {}
        }
    }

    fn share(&mut self) {
        const AT: [&str; 2] = ["spec", "shareProcessNamespace"];
        let there = self.pod.field(AT[1]);
        let set = there.is_some_and(|value| !value.is_null());
        if self.injection.share_process_namespace {
            if !set {
                self.operations.add(&AT, json!(true));
                self.new.adds(
                    Some(Added {
                        null: there.is_some(),
                    }),
                    place::SHARE.to_owned(),
                );
            }
        } else if set && self.new.made(place::SHARE) {
            self.operations.undo(&AT, &self.new, place::SHARE);
            self.new.forget(place::SHARE);
        }
    }

    /// Comes last: the status tells what the others made.
    fn annotations(&mut self) {
        const AT: [&str; 2] = ["metadata", "annotations"];
        let there = self.pod.annotations();
        let mut new = Map::new();
        for (key, value) in &self.injection.annotations {
            let place = place::annotation(key);
            match there.and_then(|all| all.get(key)) {
                None => {
                    new.insert(key.clone(), json!(value));
                    self.new.adds(Some(Added { null: false }), place);
                }
                Some(theirs) if self.new.made(&place) && theirs != value && !self.lenient => {
                    self.operations.replace(&[AT[0], AT[1], key], json!(value));
                }
                Some(_) => {}
            }
        }
        let gone: Vec<String> = there
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
            .filter(|key| *key != Status::KEY && self.new.made(&place::annotation(key)))
            .filter(|key| {
                !self
                    .injection
                    .annotations
                    .iter()
                    .any(|(ours, _)| ours == *key)
            })
            .cloned()
            .collect();
        for key in gone {
            self.operations.remove(&[AT[0], AT[1], &key]);
            self.new.forget(&place::annotation(&key));
        }
        if there.is_none() {
            let null = self.pod.has_annotations_null();
            self.new
                .adds(Some(Added { null }), place::ANNOTATIONS.to_owned());
        }
        let unchanged = self.old.as_ref() == Some(&self.new)
            || self.operations.is_empty() && new.is_empty() && self.lenient;
        if !unchanged {
            new.insert(Status::KEY.to_owned(), json!(self.new.text()));
        }
        if new.is_empty() {
            return;
        }
        if there.is_none() {
            self.operations.add(&AT, Value::Object(new));
        } else {
            for (key, value) in new {
                if there.is_some_and(|all| all.contains_key(&key)) {
                    self.operations.replace(&[AT[0], AT[1], &key], value);
                } else {
                    self.operations.add(&[AT[0], AT[1], &key], value);
                }
            }
        }
    }
}

/// A list or a field that was not there before.
#[derive(Debug, Clone, Copy)]
struct Added {
    /// Whether `null` was there.
    null: bool,
}

impl Status {
    fn adds(&mut self, added: Option<Added>, place: String) {
        let Some(Added { null }) = added else {
            return;
        };
        if self.made(&place) {
            return;
        }
        if null {
            self.nulls.push(place);
        } else {
            self.created.push(place);
        }
    }

    fn forget(&mut self, place: &str) {
        self.created.retain(|one| one != place);
        self.nulls.retain(|one| one != place);
    }
}

/// Brings a list to what is wanted: items that differ are replaced in their place, those of ours that are
/// not wanted any more go, those that are missing come last. Others' items stay as they are. Tells when
/// the list itself was not there.
fn reconcile(operations: &mut Operations, list: &Keyed<'_>) -> Option<Added> {
    let there: &[Value] = match list.there {
        Some(Value::Array(items)) => items,
        Some(_) => &[],
        None if list.wanted.is_empty() => return None,
        None => {
            operations.add(list.at, json!(list.wanted));
            return Some(Added { null: false });
        }
    };
    if there.is_empty() && !list.there.is_some_and(Value::is_array) {
        if list.wanted.is_empty() {
            return None;
        }
        operations.add(list.at, json!(list.wanted));
        return Some(Added { null: true });
    }
    let same = |one: &Value, other: &Value| one.get(list.key) == other.get(list.key);
    for (index, item) in there.iter().enumerate() {
        let Some(wanted) = list.wanted.iter().find(|one| same(one, item)) else {
            continue;
        };
        if list.insist && !is_within(wanted, item) {
            operations.replace_item(list.at, index, list.key, item, wanted.clone());
        }
    }
    for (index, item) in there.iter().enumerate().rev() {
        if (list.ours)(item) && !list.wanted.iter().any(|one| same(one, item)) {
            operations.remove_item(list.at, index, list.key, item);
        }
    }
    for wanted in list.wanted {
        if !there.iter().any(|item| same(wanted, item)) {
            operations.append(list.at, wanted.clone());
        }
    }
    None
}

/// Whether everything that one value says holds in another, which may say more: what the API server
/// fills in by itself, what others add to an object.
pub(crate) fn is_within(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => one
            .iter()
            .all(|(key, value)| other.get(key).is_some_and(|there| is_within(value, there))),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_within(a, b))
        }
        _ => one == other,
    }
}

/// Whether a volume of an injected pod is ours.
pub(crate) fn volume_is_ours(volume: &Value) -> bool {
    text(volume, "name").is_some_and(|name| name.starts_with(VOLUME_PREFIX))
}

/// Whether a mount of an injected pod's workload is ours.
pub(crate) fn mount_is_ours(mount: &Value) -> bool {
    volume_is_ours(mount)
}

/// Whether a variable of an injected pod's workload is ours.
pub(crate) fn variable_is_ours(variable: &Value) -> bool {
    let own = [WORKLOAD_VARIABLE, env::PRE_STOP_TOKEN.name];
    is_rendered(variable) || text(variable, "name").is_some_and(|name| own.contains(&name))
}
