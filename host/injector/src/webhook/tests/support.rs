//! A webhook in memory or on loopback, and clients of it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use outrigger_api_server::EventCounts;
use outrigger_shutdown::{Shutdown, Tasks};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate::ServingCert;
use crate::certificate::state::Validity;
use crate::cluster::KindStatus;
use crate::entropy::FixedEntropy;
use crate::facts::{Catalog, ProfileEntry, ServiceFacts, StatefulSetFacts};
use crate::settings::Settings;
use crate::webhook::{Occasion, PATH, Server, TlsMin, Webhook, WebhookConfig, World, connection};

pub(super) const REVIEW: &str = include_str!("../../../tests/data/review.json");
pub(super) const UID: &str = "c1d6a5f0-2b6e-4c0b-9b7e-5a8f1e6f0d11";

/// A world that knows nothing, whose owners may be waited for, and that writes down what it is told.
#[derive(Debug, Default)]
pub(super) struct Empty {
    pub(super) missing: AtomicBool,
    /// Whether the profile of the review is there: not before it was waited for.
    profile: AtomicBool,
    /// Owners do not come before this is notified.
    pub(super) hold_owners: AtomicBool,
    pub(super) owners: Notify,
    pub(super) waiting: AtomicUsize,
    pub(super) told: Mutex<Vec<String>>,
}

impl Catalog for Empty {
    fn profile(&self, _: &str, _: &str) -> Option<Arc<ProfileEntry>> {
        let there = self.profile.load(Ordering::Relaxed);
        there.then(|| Arc::new(ProfileEntry::read("agdb-outrigger", [], [])))
    }

    fn stateful_set(&self, _: &str, _: &str) -> Option<Arc<StatefulSetFacts>> {
        None
    }

    fn service(&self, _: &str, _: &str) -> Option<Arc<ServiceFacts>> {
        None
    }
}

impl World for Empty {
    fn missing(&self) -> Vec<String> {
        if self.missing.load(Ordering::Relaxed) {
            vec!["the profiles are missing".to_owned()]
        } else {
            Vec::new()
        }
    }

    fn following(&self) -> Vec<KindStatus> {
        vec![KindStatus {
            kind: "configmaps",
            listed: true,
            objects: 2,
            bytes: 7000,
            bytes_max: 8 << 20,
            refused: 1,
            silent: Duration::from_millis(61_500),
            trouble: None,
            lists: 3,
            failures: 4,
        }]
    }

    fn told(&self) -> Option<EventCounts> {
        Some(EventCounts {
            sent: 5,
            repeated: 6,
            dropped: 7,
            failed: 8,
        })
    }

    fn profiles_with_errors(&self) -> usize {
        3
    }

    fn wait_for_owner<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<&'a str>,
        within: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            if self.hold_owners.load(Ordering::Relaxed) {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                let came = tokio::time::timeout(within, self.owners.notified()).await;
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                came.is_ok()
            } else {
                false
            }
        })
    }

    fn wait_for_profile<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        // It is there as soon as anybody waits for it.
        Box::pin(async {
            self.profile.store(true, Ordering::Relaxed);
            true
        })
    }

    fn tell(&self, occasion: &Occasion<'_>) {
        let line = format!(
            "{}/{} of {}: {}",
            occasion.namespace,
            occasion.pod,
            occasion.owner.name,
            occasion.told.reason()
        );
        self.told.lock().unwrap().push(line);
    }
}

/// A certificate for `localhost`, and a client's trust in it.
pub(super) struct Identity {
    pub(super) serving: ServingCert,
    trust: Arc<RootCertStore>,
}

impl Identity {
    pub(super) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(vec![certificate.clone()], key, &provider).unwrap();
        let mut trust = RootCertStore::empty();
        trust.add(certificate).unwrap();
        let now = SystemTime::now();
        let validity = Validity {
            from: now,
            until: now + Duration::from_hours(90 * 24),
        };
        let serving = ServingCert::new();
        serving.serve(certified, validity);
        Self {
            serving,
            trust: Arc::new(trust),
        }
    }

    /// A client that speaks these protocols, the first if it can.
    pub(super) fn connector(&self, protocols: &[&str]) -> TlsConnector {
        self.connector_of(protocols, rustls::DEFAULT_VERSIONS)
    }

    pub(super) fn connector_of(
        &self,
        protocols: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(Arc::clone(&self.trust))
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// A webhook whose connections are pipes in memory.
pub(super) struct InMemory {
    pub(super) server: Arc<Server>,
    pub(super) world: Arc<Empty>,
    pub(super) identity: Identity,
    pub(super) tasks: Tasks,
}

impl InMemory {
    pub(super) fn new() -> Self {
        Self::with(&config(Duration::ZERO))
    }

    pub(super) fn with(config: &WebhookConfig) -> Self {
        let tasks = Tasks::new(Shutdown::new());
        let identity = Identity::new();
        let world = Arc::new(Empty::default());
        let server = Server::new(
            Arc::clone(&world) as Arc<dyn World>,
            Settings::default(),
            Box::new(FixedEntropy(7)),
            identity.serving.clone(),
            config,
            &tasks,
        );
        Self {
            server: Arc::new(server.unwrap()),
            world,
            identity,
            tasks,
        }
    }

    /// The client's end of a new connection, before TLS.
    pub(super) fn pipe(&self) -> DuplexStream {
        let (ours, theirs) = duplex(64 << 10);
        let server = Arc::clone(&self.server);
        self.tasks.spawn_short("connection", async move {
            connection::serve(&server, theirs).await;
        });
        ours
    }

    /// The client's end of a new connection, after TLS.
    pub(super) async fn connect(&self, protocol: &str) -> TlsStream<DuplexStream> {
        handshake(&self.identity.connector(&[protocol]), self.pipe()).await
    }

    /// How often something was turned away, or `0` where never.
    pub(super) fn metric(&self, line: &str) -> u64 {
        let text = self
            .server
            .metrics
            .exposition(&self.server, SystemTime::now());
        text.lines()
            .find_map(|found| found.strip_prefix(line))
            .map_or(0, |count| count.trim().parse().unwrap())
    }
}

pub(super) async fn handshake<S>(connector: &TlsConnector, stream: S) -> TlsStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, stream).await.unwrap()
}

/// As it is by default, on loopback.
pub(super) fn config(linger: Duration) -> WebhookConfig {
    let local = "127.0.0.1:0".parse().unwrap();
    WebhookConfig {
        listen: local,
        admin: local,
        tls_min: TlsMin::V1_3,
        connection_life: None,
        linger,
    }
}

/// A webhook on loopback.
pub(super) struct OnLoopback {
    pub(super) address: std::net::SocketAddr,
    pub(super) admin: std::net::SocketAddr,
    pub(super) identity: Identity,
    pub(super) world: Arc<Empty>,
    pub(super) tasks: Tasks,
}

impl OnLoopback {
    pub(super) async fn start(linger: Duration) -> Self {
        let webhook = Webhook::bind(config(linger)).await.unwrap();
        let identity = Identity::new();
        let tasks = Tasks::new(Shutdown::new());
        let world = Arc::new(Empty::default());
        let (address, admin) = (webhook.address().unwrap(), webhook.admin_address().unwrap());
        webhook
            .serve(
                Arc::clone(&world) as Arc<dyn World>,
                Settings::default(),
                identity.serving.clone(),
                &tasks,
            )
            .unwrap();
        Self {
            address,
            admin,
            identity,
            world,
            tasks,
        }
    }

    pub(super) async fn connect(&self, protocol: &str) -> TlsStream<tokio::net::TcpStream> {
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        handshake(&self.identity.connector(&[protocol]), stream).await
    }
}

/// A client of one connection, in either protocol.
pub(super) enum Client {
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(super) async fn over<S>(stream: TlsStream<S>, tasks: &Tasks) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        if http2 {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .unwrap();
            tasks.spawn_short("client", async { drop(connection.await) });
            Self::Two(sender)
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tasks.spawn_short("client", async { drop(connection.await) });
            Self::One(sender)
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Bytes>> {
        let response = match self {
            Self::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// A request as an API server sends it.
pub(super) fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("https://localhost{PATH}?timeout=10s"))
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

/// The answer's text.
pub(super) fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

/// Waits until something holds, for at most a minute: machines are busy.
pub(super) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
