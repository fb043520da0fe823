//! Every field of an injection and why it is there.

use serde_json::Value;

use crate::injection::Injection;

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
pub fn explain(_pod: &Value, _injection: &Injection) -> Vec<Explained> {
    Vec::new()
}
