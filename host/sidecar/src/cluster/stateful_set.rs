//! What is kept of the StatefulSet: how many replicas there should be, from which ordinal on.

use outrigger_api_server::Metadata;
use outrigger_peers::Ordinal;
use serde::Deserialize;

use super::followed::Kept;
use crate::limits;

/// What the StatefulSet wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The object's uid.
    pub uid: String,
    /// How many replicas.
    pub replicas: u32,
    /// The first ordinal.
    pub start: Ordinal,
}

/// A StatefulSet of `apps/v1`, as far as it is read.
#[derive(Debug, Clone, Deserialize)]
pub struct StatefulSet {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<u32>,
    ordinals: Option<Ordinals>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: u32,
}

impl Kept for Wanted {
    type Object = StatefulSet;
    const SOURCE: &'static str = "stateful-set";

    fn metadata(object: &StatefulSet) -> &Metadata {
        &object.metadata
    }

    fn keep(object: &StatefulSet) -> Self {
        let Spec { replicas, ordinals } = &object.spec;
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            // What the API server fills in where nothing is said.
            replicas: replicas.unwrap_or(1).min(limits::REPLICAS_MAX),
            start: Ordinal(ordinals.as_ref().map_or(0, |ordinals| ordinals.start)),
        }
    }
}
