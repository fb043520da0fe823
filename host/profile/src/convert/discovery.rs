//! `spec.discovery`: source, fixed peers, times; and `spec.related`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Convert;
use crate::document::path;
use crate::host::is_dns_name;
use crate::structure::cut;
use crate::{Discovery, DiscoverySource, FixedPeer, Related, defaults, raw};

/// How often a related StatefulSet may be named: each is followed by two watches.
const RELATED_MAX: usize = 8;

impl Convert {
    pub(super) fn discovery(&mut self, discovery: raw::Discovery) -> Discovery {
        const AT: &str = "spec.discovery";
        const RANGE: (Duration, Duration) = (Duration::ZERO, Duration::from_mins(5));
        let at = |key: &str| path::key(AT, key);
        let service = discovery
            .service
            .map(|name| self.name(&at("service"), Some(name), 63));
        if let Some(port) = &discovery.port {
            self.port_name(&at("port"), port);
        }
        let settle = self.span(
            &at("settle"),
            discovery.settle.as_ref(),
            defaults::SETTLE,
            RANGE,
        );
        let interval = (Duration::from_millis(100), Duration::from_hours(1));
        let interval = self.span(
            &at("interval"),
            discovery.interval.as_ref(),
            defaults::INTERVAL,
            interval,
        );
        let replicas = match discovery.replicas {
            Some(raw::Replicas::Number(number)) => Some(number),
            Some(raw::Replicas::Auto(_)) | None => None,
        };
        let given = discovery.peers.is_some();
        let peers = self.fixed_peers(discovery.peers.unwrap_or_default());
        let source = match discovery.source.unwrap_or(raw::DiscoverySource::Auto) {
            raw::DiscoverySource::Fixed => {
                if peers.is_empty() {
                    self.error(
                        at("peers"),
                        "`source: fixed` needs the replicas' names or addresses",
                        "list them in ordinal order: peers: [10.0.0.1, 10.0.0.2]",
                    );
                }
                let known = peers.len();
                if let Some(wanted) = replicas
                    .filter(|wanted| usize::try_from(*wanted).is_ok_and(|wanted| wanted > known))
                {
                    self.error(
                        at("replicas"),
                        format!("{wanted} replicas are wanted and {known} are listed"),
                        "list all in peers, or leave `replicas` out",
                    );
                }
                DiscoverySource::Fixed(peers)
            }
            other => {
                if given {
                    self.error(
                        at("peers"),
                        "`peers` has no meaning without `source: fixed`",
                        "add `source: fixed`, or remove the list",
                    );
                }
                match other {
                    raw::DiscoverySource::Dns => DiscoverySource::Dns,
                    raw::DiscoverySource::EndpointSlices => DiscoverySource::EndpointSlices,
                    _ => DiscoverySource::Auto,
                }
            }
        };
        Discovery {
            service,
            port: discovery.port,
            source,
            settle,
            interval,
            replicas,
        }
    }

    pub(super) fn related(
        &mut self,
        related: BTreeMap<String, raw::Related>,
    ) -> BTreeMap<String, Related> {
        const AT: &str = "spec.related";
        if related.len() > RELATED_MAX {
            self.error(
                AT,
                format!("{} StatefulSets, the most is {RELATED_MAX}", related.len()),
                "name those whose replicas are used",
            );
        }
        let mut known = BTreeMap::new();
        for (name, one) in related {
            let at = path::key(AT, &name);
            let name = self.name(&at, Some(name), 63);
            let stateful_set = self.name(&path::key(&at, "statefulset"), one.statefulset, 63);
            let service = match one.service {
                Some(service) => self.name(&path::key(&at, "service"), Some(service), 63),
                None => stateful_set.clone(),
            };
            let port = one
                .port
                .map(|port| self.name(&path::key(&at, "port"), Some(port), 15));
            let replicas = match one.replicas {
                Some(raw::Replicas::Number(number)) => Some(number),
                Some(raw::Replicas::Auto(_)) | None => None,
            };
            let one = Related {
                stateful_set,
                service,
                port,
                replicas,
            };
            known.insert(name, one);
        }
        known
    }

    fn fixed_peers(&mut self, peers: Vec<String>) -> Vec<FixedPeer> {
        let mut seen: Vec<FixedPeer> = Vec::new();
        for (index, host) in peers.into_iter().enumerate() {
            let at = path::item("spec.discovery.peers", index);
            let address: Option<std::net::IpAddr> = host.parse().ok();
            if address.is_none() && !is_dns_name(&host) {
                let hint = if host.contains("://") || host.contains(':') {
                    "leave scheme and port out; the port is `discovery.port`"
                } else {
                    "write a name such as db-0.example.com or an address"
                };
                self.error(
                    &at,
                    format!("`{}` is neither a DNS name nor an address", cut(&host)),
                    hint,
                );
            }
            let peer = FixedPeer { host, address };
            if seen.contains(&peer) {
                self.error(
                    at,
                    format!("`{}` stands twice", cut(&peer.host)),
                    "list each replica once",
                );
            }
            seen.push(peer);
        }
        seen
    }
}
