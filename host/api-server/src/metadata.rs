//! What every object has, as far as it is looked at.

use serde::Deserialize;

/// `metadata`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Empty in a manifest that leaves it to the context.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// Who it is, however it is called.
    pub uid: Option<String>,
    /// The version that was read.
    pub resource_version: Option<String>,
}
