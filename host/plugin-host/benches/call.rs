//! What one health evaluation of a small guest costs: everything between the sidecar's call and its
//! answer (queue, thread, fresh store and instance, arguments, verdict, counting).
//!
//! `cargo bench -p outrigger-plugin-host`. Prints the least and the median of many calls; the least says
//! what it costs, the median how busy the machine was.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrigger_peers::{Identity, Ordinal, PeerSet};
use outrigger_plugin_host::{
    BoxFuture, Compiler, ComponentSource, EndpointRequest, EndpointResponse, HostConfig, Plugin,
    PluginHost, PluginSetup, Probe, RelatedReader, SecretError, SecretReader, StateStore,
    Transport, TransportError,
};
use outrigger_profile::{ByteSize, Grants, PluginLimits};
use tokio::time::Instant;

const CALLS: usize = 5000;

/// The guest's liveness probe asks for nothing.
struct Nothing;

impl Transport for Nothing {
    fn send(
        &self,
        request: EndpointRequest,
    ) -> BoxFuture<'_, Result<EndpointResponse, TransportError>> {
        Box::pin(async move { Err(TransportError::Timeout(request.timeout)) })
    }
}

impl SecretReader for Nothing {
    fn read(&self, secret: &str, _key: &str) -> Result<Vec<u8>, SecretError> {
        Err(SecretError::NoSecret(secret.to_owned()))
    }

    fn exists(&self, _secret: &str) -> bool {
        false
    }
}

impl RelatedReader for Nothing {
    fn related(&self, _name: &str) -> Option<Arc<PeerSet>> {
        None
    }
}

fn peers(replicas: u32) -> PeerSet {
    let identity = Identity {
        stateful_set: "db".into(),
        ordinal: Ordinal(0),
        namespace: "default".into(),
        service: "db".into(),
        cluster_domain: "cluster.local".into(),
        ip: None,
        uid: String::new(),
    };
    PeerSet::expected(identity, Ordinal(0), replicas)
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let host = PluginHost::new(HostConfig {
        cache_dir: None,
        compiler: Compiler::InProcess,
    })?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = ComponentSource::File {
        path: here.join("tests/fixtures/v0.1.0/everything.wasm"),
        digest: None,
    };
    let setup = PluginSetup {
        name: "bench".into(),
        related: Arc::new(Nothing),
        settings: BTreeMap::new(),
        grants: Grants::default(),
        limits: PluginLimits {
            memory: ByteSize(64 << 20),
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(5),
        },
        transport: Arc::new(Nothing),
        secrets: Arc::new(Nothing),
        volumes: BTreeMap::new(),
        state: Arc::new(StateStore::in_memory()),
        dropped_lines: Arc::default(),
    };
    runtime.block_on(async {
        let plugin = Plugin::new(host.load(&source, setup).await?);
        for replicas in [3, 100] {
            let peers = peers(replicas);
            let mut spans = Vec::with_capacity(CALLS);
            for _ in 0..CALLS {
                let began = Instant::now();
                plugin.evaluate(Probe::Liveness, &peers).await?;
                spans.push(began.elapsed());
            }
            spans.sort();
            let at = |index: usize| spans.get(index).copied().unwrap_or_default();
            println!(
                "health.evaluate, {replicas} replicas: least {:?}, median {:?}, 99 % {:?}",
                at(0),
                at(CALLS / 2),
                at(CALLS * 99 / 100)
            );
        }
        Ok(())
    })
}
