//! HTTP requests from plugins to the workload, its peers and other services.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use outrigger_peers::PeerSet;
use outrigger_plugin_host::{
    BoxFuture, EndpointRequest, EndpointResponse, Target, Transport, TransportError,
};
use outrigger_profile::{Method, is_link_local};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

mod exchange;
mod tls;

pub(crate) use exchange::{ExchangeError, exchange, exchange_status};

/// The port that URLs of `https` leave out.
const HTTPS: u16 = 443;

/// Sends requests over TCP, one connection each: to this replica's workload, to the addresses under which
/// the newest peer set knows a peer, or to another service, where TLS may be spoken. Redirects are answers
/// like all others.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    workload_host: String,
    peers: watch::Receiver<Arc<PeerSet>>,
}

impl HttpTransport {
    /// `workload_host` is the address or name of this replica's own workload.
    pub fn new(workload_host: impl Into<String>, peers: watch::Receiver<Arc<PeerSet>>) -> Self {
        Self {
            workload_host: workload_host.into(),
            peers,
        }
    }

    /// Where a target is: its addresses where they are known, a name to look up otherwise.
    fn place(&self, target: &Target) -> Result<Place, TransportError> {
        let ordinal = match target {
            Target::Local => return Ok(Place::of(&self.workload_host, &[])),
            Target::Host(host) => return Ok(Place::of(host, &[])),
            Target::Peer(ordinal) => *ordinal,
        };
        let peers = self.peers.borrow();
        if ordinal == peers.identity.ordinal {
            return Ok(Place::of(&self.workload_host, &[]));
        }
        let replica = peers
            .replicas
            .get(&ordinal)
            .ok_or(TransportError::UnknownPeer(ordinal))?;
        Ok(Place::of(&replica.host, &replica.addresses))
    }

    /// A connection to another service, at none but the addresses that were looked at here.
    async fn connect_elsewhere(&self, host: &str, port: u16) -> Result<TcpStream, TransportError> {
        let failed = |error: &dyn std::fmt::Display| TransportError::Connect {
            address: authority(host, port),
            reason: error.to_string(),
        };
        let domain = format!(".{}", self.peers.borrow().identity.cluster_domain);
        // A whole name of the cluster is no reason to go through the search list.
        let name = if host.ends_with(&domain) {
            format!("{host}.")
        } else {
            host.to_owned()
        };
        let found = tokio::net::lookup_host((name, port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(|error| failed(&error))?.collect();
        if let Some(address) = addresses.iter().find(|found| is_link_local(found.ip())) {
            return Err(TransportError::LinkLocal {
                host: host.to_owned(),
                address: address.ip(),
            });
        }
        TcpStream::connect(addresses.as_slice())
            .await
            .map_err(|error| failed(&error))
    }

    async fn exchange(&self, request: EndpointRequest) -> Result<EndpointResponse, TransportError> {
        let place = self.place(&request.target)?;
        let broken = |reason: String| TransportError::Broken(reason);
        let bytes_max = request.response_bytes_max;
        let name = place.host.trim_end_matches('.');
        let called = match (&request.tls, request.port) {
            // As browsers write it; some servers know themselves by that alone.
            (Some(_), HTTPS) => bracketed(name),
            (_, port) => authority(name, port),
        };
        let mut head = Request::builder()
            .method(method(request.method))
            .uri(&request.path)
            .header(header::HOST, &called)
            .header(header::CONNECTION, "close");
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        let message = head
            .body(Full::new(Bytes::from(request.body)))
            .map_err(|error| broken(error.to_string()))?;
        let stream = match &request.target {
            Target::Host(host) => self.connect_elsewhere(host, request.port).await?,
            other => place.connect(other, request.port).await?,
        };
        let answer = match &request.tls {
            None => exchange(stream, message, bytes_max).await,
            Some(trust) => {
                let address = authority(name, request.port);
                let stream = tls::handshake(stream, name, &address, trust).await?;
                exchange(stream, message, bytes_max).await
            }
        };
        let response = answer.map_err(|error| match error {
            ExchangeError::TooLarge(max) => TransportError::TooLarge(max),
            ExchangeError::Broken(error) => broken(error.to_string()),
        })?;
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| {
                Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
            })
            .collect();
        Ok(EndpointResponse {
            status: response.status().as_u16(),
            headers,
            body: response.into_body().into(),
        })
    }
}

impl Transport for HttpTransport {
    fn send(
        &self,
        request: EndpointRequest,
    ) -> BoxFuture<'_, Result<EndpointResponse, TransportError>> {
        Box::pin(async move {
            let timeout = request.timeout;
            // From before the connection: it is part of the exchange.
            let until = Instant::now() + timeout;
            tokio::time::timeout_at(until, self.exchange(request))
                .await
                .map_err(|_| TransportError::Timeout(timeout))?
        })
    }
}

/// Where a workload listens.
struct Place {
    host: String,
    addresses: Vec<IpAddr>,
}

impl Place {
    fn of(host: &str, addresses: &[IpAddr]) -> Self {
        Self {
            host: host.to_owned(),
            addresses: addresses.to_vec(),
        }
    }

    async fn connect(&self, target: &Target, port: u16) -> Result<TcpStream, TransportError> {
        let connected = if self.addresses.is_empty() {
            TcpStream::connect((self.host.as_str(), port)).await
        } else {
            let all: Vec<SocketAddr> = self
                .addresses
                .iter()
                .map(|address| SocketAddr::new(*address, port))
                .collect();
            TcpStream::connect(all.as_slice()).await
        };
        connected.map_err(
            |error| match (target, self.addresses.is_empty(), error.kind()) {
                // The name did not resolve: there is nobody by this name now.
                (Target::Peer(ordinal), true, kind) if !is_refusal(kind) => {
                    TransportError::UnknownPeer(*ordinal)
                }
                _ => TransportError::Connect {
                    address: authority(&self.host, port),
                    reason: error.to_string(),
                },
            },
        )
    }
}

/// Whether somebody was asked and did not want.
fn is_refusal(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind;
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

/// Host and port as URLs and the `Host` header write them.
pub(crate) fn authority(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// HTTP's word for a method that can be granted.
pub(crate) fn method(method: Method) -> hyper::Method {
    match method {
        Method::Get => hyper::Method::GET,
        Method::Head => hyper::Method::HEAD,
        Method::Post => hyper::Method::POST,
        Method::Put => hyper::Method::PUT,
        Method::Delete => hyper::Method::DELETE,
        Method::Patch => hyper::Method::PATCH,
    }
}

#[cfg(test)]
mod tests;
