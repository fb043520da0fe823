//! What is kept of an EndpointSlice: which pods it names, where they are, and how they are.

use std::net::IpAddr;

use outrigger_api_server::Metadata;
use serde::Deserialize;

use super::followed::Kept;
use crate::limits;

/// One slice of a Service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Grows with each change of the slice, where the API server numbers them; 0 where it does not.
    pub version: u64,
    /// The pods.
    pub endpoints: Vec<Endpoint>,
}

/// One pod in one slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod's name.
    pub pod: String,
    /// The pod's uid; empty where the slice does not tell.
    pub uid: String,
    /// Its addresses of the slice's family.
    pub addresses: Vec<IpAddr>,
    /// Whether it is ready, by its own probes. What the API calls `ready` is true for every pod of a
    /// Service with `publishNotReadyAddresses`, and false for all that terminate; `serving` is neither.
    pub is_serving: bool,
    /// Whether it is being deleted.
    pub is_terminating: bool,
}

/// An EndpointSlice of `discovery.k8s.io/v1`, as far as it is read.
#[derive(Debug, Clone, Deserialize)]
pub struct EndpointSlice {
    metadata: Metadata,
    endpoints: Option<Vec<RawEndpoint>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEndpoint {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
    hostname: Option<String>,
    target_ref: Option<TargetRef>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
struct TargetRef {
    kind: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

impl Kept for Slice {
    type Object = EndpointSlice;
    const SOURCE: &'static str = "endpoint-slice";

    fn metadata(object: &EndpointSlice) -> &Metadata {
        &object.metadata
    }

    fn keep(object: &EndpointSlice) -> Self {
        let endpoints = object.endpoints.iter().flatten();
        let version = object.metadata.resource_version.as_deref();
        Self {
            version: version
                .and_then(|version| version.parse().ok())
                .unwrap_or_default(),
            endpoints: endpoints
                .filter_map(kept)
                .take(limits::ENDPOINTS_MAX)
                .collect(),
        }
    }
}

/// None for what is no pod.
fn kept(raw: &RawEndpoint) -> Option<Endpoint> {
    let target = raw.target_ref.as_ref();
    let is_pod = |target: &TargetRef| target.kind.as_deref() == Some("Pod");
    let pod = match target {
        Some(target) if is_pod(target) => target.name.clone()?,
        Some(_) => return None,
        // Whoever makes slices by hand names hosts alone.
        None => raw.hostname.clone()?,
    };
    let Conditions {
        ready,
        serving,
        terminating,
    } = raw.conditions;
    Some(Endpoint {
        pod,
        uid: target
            .and_then(|target| target.uid.clone())
            .unwrap_or_default(),
        addresses: raw
            .addresses
            .iter()
            .filter_map(|address| address.parse().ok())
            .take(limits::ADDRESSES_MAX)
            .collect(),
        // The API's own rules for what is not said.
        is_serving: serving.or(ready).unwrap_or(true),
        is_terminating: terminating.unwrap_or(false),
    })
}
