//! The operations of a patch as they come together: each with what it relies on tested before, and never
//! too many.

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation,
};
use serde_json::Value;

use crate::status::Status;

/// The most operations that one patch has. An API server takes 10,000.
pub const OPERATIONS_MAX: usize = 64;

/// Lists whose items are many.
const LISTS: [&str; 2] = ["volumeMounts", "env"];

/// Operations in their order.
#[derive(Debug, Default)]
pub(crate) struct Operations(Vec<PatchOperation>);

fn pointer(at: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(at.iter().copied())
}

fn item(at: &[&str], last: &str) -> PointerBuf {
    PointerBuf::from_tokens(at.iter().copied().chain([last]))
}

impl Operations {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, at: &[&str], value: Value) {
        let path = pointer(at);
        self.0
            .push(PatchOperation::Add(AddOperation { path, value }));
    }

    pub(crate) fn append(&mut self, list: &[&str], value: Value) {
        let path = item(list, "-");
        self.0
            .push(PatchOperation::Add(AddOperation { path, value }));
    }

    pub(crate) fn replace(&mut self, at: &[&str], value: Value) {
        let path = pointer(at);
        self.0
            .push(PatchOperation::Replace(ReplaceOperation { path, value }));
    }

    pub(crate) fn remove(&mut self, at: &[&str]) {
        let path = pointer(at);
        self.0
            .push(PatchOperation::Remove(RemoveOperation { path }));
    }

    pub(crate) fn shift(&mut self, from: &[&str], to: &[&str]) {
        let (from, path) = (pointer(from), pointer(to));
        self.0
            .push(PatchOperation::Move(MoveOperation { from, path }));
    }

    pub(crate) fn test(&mut self, at: &[&str], value: Value) {
        let path = pointer(at);
        self.0
            .push(PatchOperation::Test(TestOperation { path, value }));
    }

    /// The same, before the operation with this index.
    pub(crate) fn guard(&mut self, before: usize, at: &[&str], value: Value) {
        let path = pointer(at);
        let test = PatchOperation::Test(TestOperation { path, value });
        self.0.insert(before, test);
    }

    /// Replaces an item of a list, which must be the one that is meant.
    pub(crate) fn replace_item(
        &mut self,
        at: &[&str],
        index: usize,
        key: &str,
        there: &Value,
        value: Value,
    ) {
        let index = index.to_string();
        self.is_there(at, &index, key, there);
        let path = item(at, &index);
        self.0
            .push(PatchOperation::Replace(ReplaceOperation { path, value }));
    }

    /// Removes an item of a list, which must be the one that is meant.
    pub(crate) fn remove_item(&mut self, at: &[&str], index: usize, key: &str, there: &Value) {
        let index = index.to_string();
        self.is_there(at, &index, key, there);
        let path = item(at, &index);
        self.0
            .push(PatchOperation::Remove(RemoveOperation { path }));
    }

    fn is_there(&mut self, at: &[&str], index: &str, key: &str, there: &Value) {
        if let Some(value) = there.get(key) {
            let path = PointerBuf::from_tokens(at.iter().copied().chain([index, key]));
            let value = value.clone();
            self.0
                .push(PatchOperation::Test(TestOperation { path, value }));
        }
    }

    /// Takes back what was not there before: `null` where that stood.
    pub(crate) fn undo(&mut self, at: &[&str], status: &Status, place: &str) {
        if status.nulls.iter().any(|one| one == place) {
            self.replace(at, Value::Null);
        } else {
            self.remove(at);
        }
    }

    /// All of them, each with its own place, however many.
    pub(crate) fn all(self) -> Vec<PatchOperation> {
        self.0
    }

    /// All of them. Where they would be too many, those within one list become one that puts the whole
    /// list, tested to be the one that was seen, with others' items as they are.
    pub(crate) fn bounded(self, pod: &Value) -> Vec<PatchOperation> {
        if self.0.len() <= OPERATIONS_MAX {
            return self.0;
        }
        let mut target = pod.clone();
        if json_patch::patch(&mut target, &self.0).is_err() {
            // What cannot be applied as a whole is not sent in parts.
            return Vec::new();
        }
        let mut lists = vec![
            "/spec/volumes".to_owned(),
            "/spec/initContainers".to_owned(),
        ];
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
        for index in 0..containers.map_or(0, Vec::len) {
            lists.extend(LISTS.map(|list| format!("/spec/containers/{index}/{list}")));
        }
        let mut kept = self.0;
        let mut whole = Vec::new();
        for list in lists {
            let within = |operation: &PatchOperation| {
                let path = operation.path().as_str();
                path.strip_prefix(&*list)
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            if kept.iter().filter(|one| within(one)).count() <= 2 {
                continue;
            }
            let (Some(old), Some(new), Ok(path)) = (
                pod.pointer(&list),
                target.pointer(&list),
                PointerBuf::parse(list.as_str()),
            ) else {
                continue;
            };
            kept.retain(|one| !within(one));
            let (value, at) = (old.clone(), path.clone());
            whole.push(PatchOperation::Test(TestOperation { path: at, value }));
            let value = new.clone();
            whole.push(PatchOperation::Replace(ReplaceOperation { path, value }));
        }
        whole.extend(kept);
        whole
    }
}
