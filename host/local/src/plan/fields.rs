//! What `fieldRef` and `resourceFieldRef` name.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, ResourceFieldSelector};

use super::{Machine, quantity};

/// The facts of a pod that the downward API tells.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
    pub(super) ip: Ipv4Addr,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) annotations: &'a BTreeMap<String, String>,
    pub(super) service_account: &'a str,
    pub(super) machine: Machine,
}

impl Fields<'_> {
    /// The value of a field; none for one that there is not. Labels that are missing are empty, as
    /// in a cluster.
    pub(super) fn field(&self, path: &str) -> Option<String> {
        Some(match path {
            "metadata.name" => self.name.to_owned(),
            "metadata.namespace" => self.namespace.to_owned(),
            "metadata.uid" => self.uid.to_owned(),
            "metadata.labels" => listed(self.labels),
            "metadata.annotations" => listed(self.annotations),
            "spec.nodeName" => "localhost".to_owned(),
            "spec.serviceAccountName" => self.service_account.to_owned(),
            "status.podIP" | "status.podIPs" => self.ip.to_string(),
            "status.hostIP" | "status.hostIPs" => "127.0.0.1".to_owned(),
            _ => {
                let (map, rest) = match path.strip_prefix("metadata.labels") {
                    Some(rest) => (self.labels, rest),
                    None => (self.annotations, path.strip_prefix("metadata.annotations")?),
                };
                let key = rest.strip_prefix("['")?.strip_suffix("']")?;
                map.get(key).cloned().unwrap_or_default()
            }
        })
    }

    /// The value of a resource of one of the containers.
    pub(super) fn resource(
        &self,
        selector: &ResourceFieldSelector,
        own: Option<&Container>,
        containers: &[&Container],
    ) -> Option<String> {
        let container = match selector
            .container_name
            .as_deref()
            .filter(|name| !name.is_empty())
        {
            Some(name) => containers.iter().find(|c| c.name == name).copied()?,
            None => own?,
        };
        let (kind, resource) = selector.resource.split_once('.')?;
        let resources = container.resources.as_ref();
        let map = match kind {
            "limits" => resources.and_then(|r| r.limits.as_ref()),
            "requests" => resources.and_then(|r| r.requests.as_ref()),
            _ => return None,
        };
        let value = match map.and_then(|map| map.get(resource)) {
            Some(value) => quantity::milli(&value.0)?,
            None if kind == "requests" => 0,
            // Without a limit it is what the machine has.
            None => match resource {
                "cpu" => u128::from(self.machine.cpus) * 1000,
                "memory" => u128::from(self.machine.memory) * 1000,
                _ => 0,
            },
        };
        quantity::in_units(
            value,
            selector.divisor.as_ref().map(|divisor| divisor.0.as_str()),
        )
    }
}

/// Labels or annotations as a downward API volume lists them.
fn listed(map: &BTreeMap<String, String>) -> String {
    map.iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect::<Vec<_>>()
        .join("\n")
}
