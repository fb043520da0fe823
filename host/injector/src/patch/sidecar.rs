//! The sidecar among the init containers: put in, put right, put back to its place.

use outrigger_profile::env;
use outrigger_profile::layout::{CONTAINER, VOLUMES_DIR};
use serde_json::{Value, json};

use super::{Keyed, Patching, is_within, mount_is_ours, reconcile};
use crate::injection::Order;
use crate::pod::{Container, text};
use crate::status::place;

const AT: [&str; 2] = ["spec", "initContainers"];

impl Patching<'_> {
    pub(super) fn init_containers(&mut self) {
        match self.pod.init_container(CONTAINER) {
            Some(there) => {
                let before = self.operations.len();
                self.repair(&there);
                self.move_back(&there);
                if self.operations.len() > before {
                    let index = there.index.to_string();
                    let at = [AT[0], AT[1], &index, "name"];
                    self.operations.guard(before, &at, json!(CONTAINER));
                }
            }
            None => self.insert(),
        }
    }

    fn insert(&mut self) {
        let sidecar = self.injection.sidecar.clone();
        let there = self.pod.field(AT[1]);
        let count = match there {
            Some(Value::Array(items)) => items.len(),
            other => {
                self.operations.add(&AT, json!([sidecar]));
                let added = super::Added {
                    null: other.is_some(),
                };
                self.new
                    .adds(Some(added), place::INIT_CONTAINERS.to_owned());
                return;
            }
        };
        let index = self.target(count, None);
        if let Order::Before(name) | Order::After(name) = &self.injection.order
            && let Some(other) = self.pod.init_container(name)
        {
            let at = [AT[0], AT[1], &other.index.to_string(), "name"];
            self.operations.test(&at, json!(name));
        }
        if index >= count {
            self.operations.append(&AT, sidecar);
        } else {
            self.operations
                .add(&[AT[0], AT[1], &index.to_string()], sidecar);
        }
    }

    /// The index that the order asks for, in a list of so many others. `own` is where the sidecar stands
    /// now, and so not among the others.
    fn target(&self, count: usize, own: Option<usize>) -> usize {
        let place_of = |name: &str| {
            let other = self.pod.init_container(name)?.index;
            Some(other - usize::from(own.is_some_and(|own| own < other)))
        };
        match &self.injection.order {
            Order::Default | Order::First => 0,
            Order::Last => count,
            Order::Before(name) => place_of(name).unwrap_or(count),
            Order::After(name) => place_of(name).map_or(count, |other| other + 1),
        }
    }

    fn move_back(&mut self, there: &Container<'_>) {
        let own = there.index;
        let count = self.pod.init_containers().count();
        let other = |name: &str| self.pod.init_container(name).map(|one| one.index);
        let right = match &self.injection.order {
            Order::Default => true,
            Order::First => own == 0,
            Order::Last => own + 1 == count,
            Order::Before(name) => other(name).is_none_or(|other| own < other),
            Order::After(name) => other(name).is_none_or(|other| own > other),
        };
        if !right {
            let target = self.target(count - 1, Some(own)).to_string();
            let from = [AT[0], AT[1], &own.to_string()];
            self.operations.shift(&from, &[AT[0], AT[1], &target]);
        }
    }

    /// What the sidecar cannot work without is put right always, the rest as [`Patching`] says.
    fn repair(&mut self, there: &Container<'_>) {
        let index = there.index.to_string();
        let wanted = self.injection.sidecar.as_object();
        for (key, value) in wanted.into_iter().flatten() {
            let at = [AT[0], AT[1], index.as_str(), key.as_str()];
            let found = there.value.get(key);
            let list = |key: &'static str, ours: fn(&Value) -> bool, insist| Keyed {
                at: &at,
                there: found,
                wanted: value.as_array().map_or(&[][..], Vec::as_slice),
                key,
                ours,
                insist,
            };
            let list = match key.as_str() {
                "env" => list("name", variable_is_ours, true),
                "volumeMounts" => list("mountPath", own_mount_is_ours, true),
                "ports" => list("containerPort", |_| false, false),
                _ => {
                    let insist = !self.lenient || matches!(&**key, "args" | "restartPolicy");
                    match found {
                        None | Some(Value::Null) => self.operations.add(&at, value.clone()),
                        Some(found) if insist && !is_within(value, found) => {
                            self.operations.replace(&at, value.clone());
                        }
                        Some(_) => {}
                    }
                    continue;
                }
            };
            reconcile(&mut self.operations, &list);
        }
    }
}

/// Whether a variable of the sidecar is one that only injections write.
fn variable_is_ours(variable: &Value) -> bool {
    text(variable, "name").is_some_and(|name| env::ALL.iter().any(|one| one.name == name))
}

/// Whether a mount of the sidecar is one that only injections make.
fn own_mount_is_ours(mount: &Value) -> bool {
    let path = text(mount, "mountPath").unwrap_or_default();
    let granted = path
        .strip_prefix(VOLUMES_DIR)
        .is_some_and(|rest| rest.starts_with('/'));
    granted || mount_is_ours(mount)
}
