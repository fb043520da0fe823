//! What stands in for the sidecar around the host: a transport, secrets, and setups.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use outrigger_peers::{Identity, Ordinal, PeerSet};
use outrigger_plugin_host::{
    BoxFuture, Compiler, ComponentSource, EndpointRequest, EndpointResponse, Generation,
    HostConfig, LoadError, Plugin, PluginHost, PluginSetup, RelatedReader, SecretError,
    SecretReader, StateStore, Transport, TransportError,
};
use outrigger_profile::{
    ByteSize, EndpointAt, EndpointGrant, Grants, Method, PluginLimits, VolumeGrant,
};
use serde_json::{Value, json};

use crate::guests;

/// Answers 200 to everything but `/slow`, which it never answers.
#[derive(Default)]
pub(crate) struct FakeTransport {
    pub(crate) sent: Mutex<Vec<EndpointRequest>>,
    in_flight: AtomicUsize,
    pub(crate) most_in_flight: AtomicUsize,
}

impl Transport for FakeTransport {
    fn send(
        &self,
        request: EndpointRequest,
    ) -> BoxFuture<'_, Result<EndpointResponse, TransportError>> {
        Box::pin(async move {
            let slow = request.path == "/slow";
            self.sent.lock().unwrap().push(request);
            if slow {
                std::future::pending::<()>().await;
            }
            let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_in_flight.fetch_max(now, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            Ok(EndpointResponse {
                status: 200,
                headers: Vec::new(),
                body: b"ok".to_vec(),
            })
        })
    }
}

/// One secret, `admin`, with one key, `token`.
pub(crate) struct FakeSecrets;

impl SecretReader for FakeSecrets {
    fn read(&self, secret: &str, key: &str) -> Result<Vec<u8>, SecretError> {
        match (secret, key) {
            ("admin", "token") => Ok(b"hidden\n".to_vec()),
            ("store", "ca.crt") => Ok(b"an authority".to_vec()),
            _ => Err(SecretError::NoKey {
                secret: secret.into(),
                key: key.into(),
            }),
        }
    }

    fn exists(&self, secret: &str) -> bool {
        secret == "admin"
    }
}

/// One related StatefulSet, `servers`, of two replicas.
pub(crate) struct FakeRelated;

impl RelatedReader for FakeRelated {
    fn related(&self, name: &str) -> Option<Arc<PeerSet>> {
        let identity = Identity {
            stateful_set: "store".into(),
            ordinal: Ordinal(0),
            ..peers().identity
        };
        (name == "servers").then(|| Arc::new(PeerSet::expected(identity, Ordinal(0), 2)))
    }
}

/// One host for all tests, as in the program.
pub(crate) fn host() -> PluginHost {
    static HOST: OnceLock<PluginHost> = OnceLock::new();
    guests::keep_logs();
    let host = HOST.get_or_init(|| {
        PluginHost::new(HostConfig {
            cache_dir: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled")),
            compiler: Compiler::InProcess,
        })
        .unwrap()
    });
    host.clone()
}

/// Everything a plugin is given, to be changed by the test.
pub(crate) fn setup(name: &str, settings: &Value) -> PluginSetup {
    let settings = settings.as_object().unwrap().clone();
    let mut grants = Grants::default();
    grants.endpoints.insert(
        "api".into(),
        EndpointGrant {
            at: EndpointAt::Workload { peers: true },
            tls: None,
            port: 3000,
            methods: vec![Method::Get],
            paths: vec!["/ok".into(), "/slow".into()],
            secret: None,
            timeout: Duration::from_secs(5),
        },
    );
    grants
        .volumes
        .insert("data".into(), VolumeGrant { write: false });
    PluginSetup {
        name: name.into(),
        settings: settings.into_iter().collect(),
        grants,
        limits: PluginLimits {
            memory: ByteSize(16 << 20),
            cpu: Duration::from_millis(200),
            wall: Duration::from_secs(20),
        },
        transport: Arc::new(FakeTransport::default()),
        secrets: Arc::new(FakeSecrets),
        related: Arc::new(FakeRelated),
        volumes: BTreeMap::from([("data".into(), PathBuf::from(env!("CARGO_TARGET_TMPDIR")))]),
        state: Arc::new(StateStore::in_memory()),
        dropped_lines: Arc::default(),
    }
}

pub(crate) fn from_file(path: PathBuf) -> ComponentSource {
    ComponentSource::File { path, digest: None }
}

pub(crate) async fn load(path: PathBuf, setup: PluginSetup) -> Result<Generation, LoadError> {
    host().load(&from_file(path), setup).await
}

/// The guest `misbehaving` with one behaviour, under a name of the test's own.
pub(crate) async fn misbehaving(name: &str, behaviour: &str) -> Plugin {
    let setup = setup(name, &json!({"behaviour": behaviour}));
    Plugin::new(load(guests::misbehaving(), setup).await.unwrap())
}

/// Three replicas, seen from the second.
pub(crate) fn peers() -> PeerSet {
    let identity = Identity {
        stateful_set: "db".into(),
        ordinal: Ordinal(1),
        namespace: "default".into(),
        service: "db".into(),
        cluster_domain: "cluster.local".into(),
        ip: None,
        uid: "u".into(),
    };
    PeerSet::expected(identity, Ordinal(0), 3)
}
