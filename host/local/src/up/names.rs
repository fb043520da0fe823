//! From objects and pods to the names of the cluster: pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::controller::SetSnapshot;
use crate::dns::{Endpoint, Port, Protocol, Service, Zone};
use crate::manifest::{Manifests, namespace_of};
use crate::plan::DOMAIN;

/// All Services with the pods that they select.
pub(super) fn zone(manifests: &Manifests, sets: &[SetSnapshot]) -> Zone {
    let services: Vec<Service> = manifests
        .services
        .iter()
        .map(|placed| {
            let object = &placed.object;
            let namespace = namespace_of(object.metadata.namespace.as_deref()).to_owned();
            let name = object.metadata.name.clone().unwrap_or_default();
            let spec = object.spec.as_ref();
            let selector = spec.and_then(|spec| spec.selector.as_ref());
            let endpoints = sets
                .iter()
                .filter(|set| set.namespace == namespace)
                .flat_map(|set| {
                    let governs = manifests.stateful_sets.iter().any(|owner| {
                        owner.object.metadata.name.as_deref() == Some(&set.name)
                            && owner.object.spec.service_name.as_deref() == Some(&name)
                    });
                    set.pods
                        .iter()
                        .map(move |(pod, labels)| (governs, pod, labels))
                })
                .filter(|(_, pod, labels)| pod.linked && !pod.gone && selects(selector, labels))
                .map(|(governs, pod, _)| Endpoint {
                    hostname: governs.then(|| pod.name.clone()),
                    address: pod.ip.into(),
                    ready: pod.ready(),
                })
                .collect();
            Service {
                publish_not_ready_addresses: spec
                    .and_then(|spec| spec.publish_not_ready_addresses)
                    .unwrap_or(false),
                ports: ports(object),
                name,
                namespace,
                endpoints,
            }
        })
        .collect();
    Zone::new(DOMAIN, &services)
}

/// A Service without a selector selects nothing.
fn selects(
    selector: Option<&BTreeMap<String, String>>,
    labels: &Arc<BTreeMap<String, String>>,
) -> bool {
    selector.is_some_and(|selector| {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    })
}

fn ports(service: &k8s_openapi::api::core::v1::Service) -> Vec<Port> {
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            // Behind the name are the pods themselves, so it is their port that counts.
            let number = match &port.target_port {
                Some(IntOrString::Int(number)) if *number > 0 => *number,
                _ => port.port,
            };
            Some(Port {
                name: port.name.clone(),
                protocol: match port.protocol.as_deref() {
                    Some("UDP") => Protocol::Udp,
                    Some("SCTP") => Protocol::Sctp,
                    _ => Protocol::Tcp,
                },
                port: u16::try_from(number).ok()?,
            })
        })
        .collect()
}
