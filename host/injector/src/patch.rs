//! From an injection to the operations that put it into a pod.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::injection::Injection;

/// The most operations that one patch has.
pub const OPERATIONS_MAX: usize = 64;

/// The operations that bring a pod to what the injection says: none where it is so already.
pub fn patch(_pod: &Value, _injection: &Injection) -> Vec<PatchOperation> {
    Vec::new()
}
