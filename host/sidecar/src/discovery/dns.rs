//! Asks DNS: one question at a time, nothing kept from one round to the next.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use futures_util::{StreamExt as _, stream};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use outrigger_telemetry::names;

use super::answers::{Answer, Reply};
use crate::limits;
use crate::metrics::Recorder;

/// Which servers are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsServers {
    /// Those of a `resolv.conf`, read again when it changes.
    ResolvConf(PathBuf),
    /// These.
    Fixed(Vec<SocketAddr>),
}

impl Default for DnsServers {
    fn default() -> Self {
        Self::ResolvConf(PathBuf::from("/etc/resolv.conf"))
    }
}

/// A client of the servers.
#[derive(Debug)]
pub(crate) struct Dns {
    servers: DnsServers,
    hosts_file: bool,
    /// The configuration that the present resolver was made from.
    made_from: Vec<u8>,
    resolver: Option<TokioResolver>,
    recorder: Recorder,
}

impl Dns {
    /// A client; `hosts_file` says whether `/etc/hosts` counts. It must not for the names of replicas:
    /// the kubelet writes a pod's own name into it, whether DNS knows the pod or not. Look-ups that fail
    /// are counted by `recorder`.
    pub(crate) fn new(servers: DnsServers, hosts_file: bool, recorder: Recorder) -> Self {
        Self {
            servers,
            hosts_file,
            made_from: Vec::new(),
            resolver: None,
            recorder,
        }
    }

    /// Gets ready for a round: reads the servers again where they may have changed.
    ///
    /// # Errors
    /// A sentence, when there are no servers to ask. The previous ones stay in use where there are any.
    pub(crate) async fn refresh(&mut self) -> Result<(), String> {
        match &self.servers {
            DnsServers::Fixed(addresses) => {
                if self.resolver.is_none() {
                    let servers = addresses.iter().map(|address| at(*address)).collect();
                    let config = ResolverConfig::from_name_servers(servers);
                    self.resolver = Some(self.build(config)?);
                }
                Ok(())
            }
            DnsServers::ResolvConf(path) => {
                let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let text = tokio::fs::read(path).await.map_err(|error| fault(&error))?;
                if self.resolver.is_some() && text == self.made_from {
                    return Ok(());
                }
                let (config, _) = parse_resolv_conf(&text).map_err(|error| fault(&error))?;
                self.resolver = Some(self.build(config)?);
                self.made_from = text;
                Ok(())
            }
        }
    }

    fn build(&self, config: ResolverConfig) -> Result<TokioResolver, String> {
        let mut options = ResolverOpts::default();
        options.timeout = limits::DNS_TIMEOUT / 2;
        options.attempts = 1;
        options.cache_size = 0;
        options.num_concurrent_reqs = 1;
        options.use_hosts_file = if self.hosts_file {
            ResolveHosts::Always
        } else {
            ResolveHosts::Never
        };
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|error| error.to_string())
    }

    /// Asks for the addresses of names, eight questions at a time. The answers come in any order.
    ///
    /// # Cancel safety
    /// Safe: a round that is dropped leaves nothing behind.
    pub(crate) async fn addresses<K: Clone>(
        &self,
        names: impl IntoIterator<Item = (K, String)>,
    ) -> Vec<(K, Answer)> {
        let questions = names.into_iter().map(|(key, name)| async move {
            let v4 = self.reply(&name, RecordType::A).await;
            let v6 = self.reply(&name, RecordType::AAAA).await;
            (key, Answer { v4, v6 })
        });
        stream::iter(questions)
            .buffer_unordered(limits::DNS_CONCURRENCY)
            .collect()
            .await
    }

    async fn reply(&self, name: &str, kind: RecordType) -> Reply {
        match self.lookup(name, kind).await {
            Ok(data) => {
                let addresses: Vec<IpAddr> = data.iter().filter_map(RData::ip_addr).collect();
                if addresses.is_empty() {
                    Reply::Nothing
                } else {
                    Reply::Addresses(addresses)
                }
            }
            Err(Miss::Denied) => Reply::Nothing,
            Err(Miss::Failed(_, why)) => Reply::Failed(why),
        }
    }

    /// The targets of a Service's SRV records, without the trailing dot; empty when it has none or
    /// nobody answers: this is a hint, never a proof of absence.
    pub(crate) async fn targets(&self, name: &str) -> Vec<String> {
        let data = self.lookup(name, RecordType::SRV).await.unwrap_or_default();
        data.iter()
            .filter_map(|record| match record {
                RData::SRV(srv) => Some(
                    srv.target
                        .to_ascii()
                        .trim_end_matches('.')
                        .to_ascii_lowercase(),
                ),
                _ => None,
            })
            .collect()
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Miss> {
        let found = self.ask(name, kind).await;
        if let Err(Miss::Failed(kind, _)) = &found {
            self.recorder.count(
                names::DISCOVERY_FAILURES,
                &[("source", "dns"), ("kind", kind)],
            );
        }
        found
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Miss> {
        let Some(resolver) = &self.resolver else {
            let why = "there is no DNS server to ask".to_owned();
            return Err(Miss::Failed("no-server", why));
        };
        let asked = tokio::time::timeout(limits::DNS_TIMEOUT, resolver.lookup(name, kind)).await;
        match asked {
            Err(_) | Ok(Err(NetError::Timeout)) => Err(Miss::Failed(
                "timeout",
                format!("no answer within {} s", limits::DNS_TIMEOUT.as_secs()),
            )),
            Ok(Ok(lookup)) => Ok(lookup
                .answers()
                .iter()
                .map(|record| record.data.clone())
                .collect()),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => match none.response_code {
                ResponseCode::NXDomain | ResponseCode::NoError => Err(Miss::Denied),
                code => Err(answered(code)),
            },
            Ok(Err(NetError::Dns(DnsError::ResponseCode(code)))) => Err(answered(code)),
            Ok(Err(error)) => Err(Miss::Failed("network", error.to_string())),
        }
    }
}

/// Why there are no records.
enum Miss {
    /// A server said so.
    Denied,
    /// Nobody said anything that can be believed: the kind for metrics, and a sentence.
    Failed(&'static str, String),
}

/// A server that says that it cannot tell.
fn answered(code: ResponseCode) -> Miss {
    let kind = match code {
        ResponseCode::ServFail => "server-failure",
        ResponseCode::Refused => "refused",
        _ => "bad-answer",
    };
    Miss::Failed(kind, format!("the server answered {code}"))
}

/// A server at an address with its port, over UDP and TCP.
fn at(address: SocketAddr) -> NameServerConfig {
    let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    udp.port = address.port();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}
