//! What a cluster's DNS answers for Services and the pods of a StatefulSet: pure.
//!
//! Follows the *Kubernetes DNS-Based Service Discovery* specification (version 1.1.0), with two
//! differences: a Service with a cluster IP answers with its ready pods' addresses, since `up` has
//! no virtual addresses; and a Service without endpoints exists (no data) where some servers say
//! that it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A Service and what it selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Whether endpoints that are not ready have names and addresses too.
    pub publish_not_ready_addresses: bool,
    /// Its ports; those without a name have no SRV record.
    pub ports: Vec<Port>,
    /// The pods that it selects, ready or not.
    pub endpoints: Vec<Endpoint>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Over what.
    pub protocol: Protocol,
    /// The number on the pods (a headless Service has no other).
    pub port: u16,
}

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `_tcp`.
    Tcp,
    /// `_udp`.
    Udp,
    /// `_sctp`.
    Sctp,
}

impl Protocol {
    fn label(self) -> &'static str {
        match self {
            Self::Tcp => "_tcp",
            Self::Udp => "_udp",
            Self::Sctp => "_sctp",
        }
    }
}

/// A pod behind a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod's name, where the Service is the one that governs its StatefulSet.
    pub hostname: Option<String>,
    /// The pod's address.
    pub address: IpAddr,
    /// Whether the pod is ready.
    pub ready: bool,
}

/// The type of record that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Where a port is.
    Srv,
    /// The name of an address.
    Ptr,
    /// The zone's own record.
    Soa,
    /// All of the above.
    Any,
    /// A type that no name here has.
    Other,
}

/// Where a port is. Priority is always 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// The endpoints share 100 evenly.
    pub weight: u16,
    /// The port's number.
    pub port: u16,
    /// An absolute name without the trailing dot.
    pub target: String,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Where a port is.
    Srv(Srv),
    /// An absolute name without the trailing dot.
    Ptr(String),
}

impl Data {
    fn is(&self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::A(_), Kind::A)
                | (Self::Aaaa(_), Kind::Aaaa)
                | (Self::Srv(_), Kind::Srv)
                | (Self::Ptr(_), Kind::Ptr)
                | (_, Kind::Any)
        )
    }
}

impl From<IpAddr> for Data {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

/// A name and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// An absolute name without the trailing dot.
    pub name: String,
    /// What it says.
    pub data: Data,
}

/// The answer to a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Records of the name, and addresses that its records lead to.
    Found {
        /// At least one.
        records: Vec<Record>,
        /// The addresses of SRV targets.
        additional: Vec<Record>,
    },
    /// The zone's own record is asked for.
    Apex,
    /// The name exists and has no record of this type.
    NoData,
    /// The zone has no such name.
    NoName,
    /// The name is in no zone of this cluster, which has no way outside.
    Outside,
}

/// A snapshot of all names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    domain: String,
    records: BTreeMap<String, Vec<Data>>,
    /// Names without records that lie above names with some.
    between: BTreeSet<String>,
}

impl Zone {
    /// The names of `services` in a cluster whose domain is, for example, `cluster.local`.
    pub fn new(domain: &str, services: &[Service]) -> Self {
        let mut zone = Self {
            domain: normal(domain),
            records: BTreeMap::new(),
            between: BTreeSet::new(),
        };
        // A resolver that cuts search domains off one by one asks for these.
        zone.between.insert(format!("svc.{}", zone.domain));
        zone.between.insert(zone.domain.clone());
        for service in services {
            zone.add_service(service);
        }
        zone
    }

    /// The cluster's domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The search list of a pod in `namespace`, for `/etc/resolv.conf`.
    pub fn search_list(domain: &str, namespace: &str) -> [String; 3] {
        [
            format!("{namespace}.svc.{domain}"),
            format!("svc.{domain}"),
            domain.to_owned(),
        ]
    }

    /// Answers for an absolute name, with or without the trailing dot, in any case of letters.
    pub fn lookup(&self, name: &str, kind: Kind) -> Answer {
        let name = normal(name);
        if name == self.domain && matches!(kind, Kind::Soa | Kind::Any) {
            return Answer::Apex;
        }
        if let Some(all) = self.records.get(&name) {
            let records: Vec<Record> = all
                .iter()
                .filter(|data| data.is(kind))
                .map(|data| Record {
                    name: name.clone(),
                    data: data.clone(),
                })
                .collect();
            if records.is_empty() {
                return Answer::NoData;
            }
            let additional = self.targets_of(&records);
            return Answer::Found {
                records,
                additional,
            };
        }
        if self.between.contains(&name) {
            Answer::NoData
        } else if below(&name, &self.domain) || is_reverse(&name) {
            Answer::NoName
        } else {
            Answer::Outside
        }
    }

    fn targets_of(&self, records: &[Record]) -> Vec<Record> {
        let names: BTreeSet<&str> = records
            .iter()
            .filter_map(|record| match &record.data {
                Data::Srv(srv) => Some(srv.target.as_str()),
                _ => None,
            })
            .collect();
        names
            .into_iter()
            .flat_map(|name| {
                self.records
                    .get(name)
                    .into_iter()
                    .flatten()
                    .map(move |data| Record {
                        name: name.to_owned(),
                        data: data.clone(),
                    })
            })
            .collect()
    }

    fn add_service(&mut self, service: &Service) {
        let base = format!(
            "{}.{}.svc.{}",
            service.name.to_ascii_lowercase(),
            service.namespace.to_ascii_lowercase(),
            self.domain
        );
        // Even without endpoints the Service exists.
        self.exists(&base);
        let seen: Vec<(&Endpoint, String)> = service
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.ready || service.publish_not_ready_addresses)
            .map(|endpoint| {
                let label = endpoint.hostname.as_ref().map_or_else(
                    || endpoint.address.to_string().replace(['.', ':'], "-"),
                    |name| name.to_ascii_lowercase(),
                );
                (endpoint, format!("{label}.{base}"))
            })
            .collect();
        let weight = u16::try_from(100 / seen.len().max(1)).unwrap_or(1).max(1);
        for (endpoint, host) in &seen {
            self.add(&base, endpoint.address.into());
            self.add(host, endpoint.address.into());
            if endpoint.hostname.is_some() {
                self.add(&reverse(endpoint.address), Data::Ptr(host.clone()));
            }
        }
        for port in &service.ports {
            let Some(name) = &port.name else { continue };
            let owner = format!(
                "_{}.{}.{base}",
                name.to_ascii_lowercase(),
                port.protocol.label()
            );
            self.exists(&owner);
            for (_, host) in &seen {
                let srv = Srv {
                    weight,
                    port: port.port,
                    target: host.clone(),
                };
                self.add(&owner, Data::Srv(srv));
            }
        }
    }

    fn add(&mut self, name: &str, data: Data) {
        self.exists(name);
        let all = self.records.entry(name.to_owned()).or_default();
        if !all.contains(&data) {
            all.push(data);
        }
    }

    /// Notes a name and those between it and the cluster's domain.
    fn exists(&mut self, name: &str) {
        let mut rest = name;
        while self.between.insert(rest.to_owned()) {
            match rest.split_once('.') {
                Some((_, above)) if below(above, &self.domain) => rest = above,
                _ => break,
            }
        }
    }
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_reverse(name: &str) -> bool {
    below(name, "in-addr.arpa") || below(name, "ip6.arpa")
}

fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles: Vec<String> = address
                .octets()
                .iter()
                .rev()
                .map(|octet| format!("{:x}.{:x}", octet & 15, octet >> 4))
                .collect();
            format!("{}.ip6.arpa", nibbles.join("."))
        }
    }
}

#[cfg(test)]
mod tests;
