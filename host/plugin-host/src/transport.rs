//! What the host needs from outside to serve a plugin's imports: a way to send HTTP requests, a way to
//! read secrets, and what is known of each related StatefulSet. Grants, limits and placeholders are dealt
//! with before these are called.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use outrigger_peers::{Ordinal, PeerSet};
use outrigger_profile::Method;

/// A boxed future that can change threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// This replica's own workload.
    Local,
    /// That of the replica with this ordinal.
    Peer(Ordinal),
    /// Another service, by its name or address.
    Host(String),
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of the authorities that browsers trust.
    Public,
    /// Those of these authorities alone, in PEM.
    Only(Vec<u8>),
}

/// One HTTP request, granted and complete.
///
/// Headers and body may hold secrets: its `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointRequest {
    /// To whom.
    pub target: Target,
    /// Over TLS, with whose certificates; none for plain HTTP.
    pub tls: Option<Trust>,
    /// The port.
    pub port: u16,
    /// The method.
    pub method: Method,
    /// Path and query, visible ASCII, starting with `/`.
    pub path: String,
    /// Names (lower case, valid) and values (no control characters). `host`, `content-length` and
    /// the hop-by-hop headers are never among them: the transport sets them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// For the whole exchange.
    pub timeout: Duration,
    /// The most bytes of body that the answer may have: more is [`TransportError::TooLarge`], without
    /// reading on.
    pub response_bytes_max: usize,
}

impl fmt::Debug for EndpointRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointRequest")
            .field("target", &self.target)
            .field("port", &self.port)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The answer to an [`EndpointRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointResponse {
    /// The HTTP status, whatever it is.
    pub status: u16,
    /// Names and values; a value that is not text is left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No replica with this ordinal is known, or it has no address.
    #[error("replica {0} is not known or has no address")]
    UnknownPeer(Ordinal),
    /// No connection.
    #[error("no connection to {address}: {reason}")]
    Connect {
        /// With whom.
        address: String,
        /// Why.
        reason: String,
    },
    /// The name of another service stands for an address of the machine's own link.
    #[error("{host} is {address}, {}", outrigger_profile::LINK_LOCAL)]
    LinkLocal {
        /// The name.
        host: String,
        /// The address.
        address: IpAddr,
    },
    /// Somebody is there, and is not trusted or speaks no TLS.
    #[error("no TLS with {address}: {reason}")]
    Tls {
        /// With whom.
        address: String,
        /// Why.
        reason: String,
    },
    /// No whole answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The answer's body is longer than it may be.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// What came back is not HTTP, or broke off.
    #[error("the exchange broke off: {0}")]
    Broken(String),
}

/// Sends requests to workloads and other services.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request and reads the whole answer.
    ///
    /// The future is polled on the plugin thread, whose runtime has IO and time; a connection opened
    /// by it belongs to that runtime and must not be handed to another one.
    ///
    /// # Cancel safety
    /// The future is dropped when the call's deadline passes: the exchange must end with it.
    fn send(
        &self,
        request: EndpointRequest,
    ) -> BoxFuture<'_, Result<EndpointResponse, TransportError>>;
}

/// Why a secret cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The Secret is not there.
    #[error("there is no secret `{0}`")]
    NoSecret(String),
    /// It has no such key.
    #[error("the secret `{secret}` has no key `{key}`")]
    NoKey {
        /// Which Secret.
        secret: String,
        /// Which key.
        key: String,
    },
    /// It is there and cannot be read.
    #[error("the key `{key}` of the secret `{secret}` cannot be read: {reason}")]
    Unreadable {
        /// Which Secret.
        secret: String,
        /// Which key.
        key: String,
        /// Why.
        reason: String,
    },
}

/// Reads secrets by the name that the profile gives them (`Profile::secrets`). Called anew for each
/// request, so that a rotated Secret counts at once.
pub trait SecretReader: Send + Sync + 'static {
    /// The value of one key.
    fn read(&self, secret: &str, key: &str) -> Result<Vec<u8>, SecretError>;
    /// Whether the Secret is there now.
    fn exists(&self, secret: &str) -> bool;
}

/// Knows each StatefulSet that a profile names besides its own.
pub trait RelatedReader: Send + Sync + 'static {
    /// What is known of one by its name in the profile; none where nothing was learnt yet.
    fn related(&self, name: &str) -> Option<Arc<PeerSet>>;
}
