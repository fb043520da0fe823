//! Traces and metrics of the binary, as a collector receives them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use outrigger_tests::{SidecarPod, eventually};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What was sent, by its names.
#[derive(Debug, Default)]
struct Received {
    /// Each span's name, whether it begins a trace, and its text attributes.
    spans: BTreeSet<(String, bool, BTreeMap<String, String>)>,
    metrics: BTreeSet<String>,
    /// The attributes of each resource.
    resources: BTreeSet<BTreeMap<String, String>>,
}

/// A collector that remembers what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Received>>);

impl Collector {
    /// Serves on a free port of the loopback interface, as long as the tasks are held.
    fn serve(&self) -> (SocketAddr, JoinSet<()>) {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        (address, tasks)
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.0.lock().unwrap()
    }
}

/// Attributes with a text as their value.
fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |attribute: KeyValue| match attribute.value?.value? {
        any_value::Value::StringValue(text) => Some((attribute.key, text)),
        _ => None,
    };
    attributes.into_iter().filter_map(text).collect()
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.received();
        for part in request.into_inner().resource_spans {
            received
                .resources
                .insert(texts(part.resource.unwrap().attributes));
            let spans = part.scope_spans.into_iter().flat_map(|scope| scope.spans);
            received.spans.extend(spans.map(|span| {
                (
                    span.name,
                    span.parent_span_id.is_empty(),
                    texts(span.attributes),
                )
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut received = self.received();
        for part in request.into_inner().resource_metrics {
            received
                .resources
                .insert(texts(part.resource.unwrap().attributes));
            let metrics = part
                .scope_metrics
                .into_iter()
                .flat_map(|scope| scope.metrics);
            received.metrics.extend(metrics.map(|metric| metric.name));
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tokio::test]
async fn a_collector_gets_traces_and_metrics_with_the_replicas_name() {
    let collector = Collector::default();
    let (address, _tasks) = collector.serve();
    let pod = SidecarPod::new(
        "apiVersion: outrigger.dev/v1alpha1\n\
         kind: Profile\n\
         metadata: {name: db}\n\
         spec:\n\
         \x20 workload: {container: db, ports: {api: 9}}\n\
         \x20 discovery: {source: fixed, peers: [127.0.0.1]}\n\
         \x20 plugin: {source: \"builtin:agdb\"}\n",
    )
    .env("POD_NAMESPACE", "shop")
    .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    let sidecar = pod.start();
    let http = pod.http();
    eventually(
        Duration::from_secs(20),
        "the plugin was asked",
        async || {
            let status = http.get("/status").await.map_err(|e| e.to_string())?;
            let status: Value = status.json();
            if status["plugin"]["calls"].as_u64() > Some(2) {
                Ok(())
            } else {
                Err(status.to_string())
            }
        },
    )
    .await;
    // What is not sent yet is sent at the end.
    let output = sidecar.terminate().await;
    assert_eq!(output.code, Some(0), "{output}");

    let received = collector.received();
    let replica = [
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "db-0"),
        ("k8s.statefulset.name", "db"),
        ("service.name", "outrigger-sidecar"),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let replica = replica.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(received.resources, [BTreeMap::from(replica)].into());
    for name in ["outrigger_peers", "outrigger_plugin_info", "agdb_quorum"] {
        assert!(received.metrics.contains(name), "{received:#?}");
    }
    let calls: Vec<&str> = received
        .spans
        .iter()
        .filter(|(name, begins, _)| name == "plugin-call" && *begins)
        .filter(|(.., attributes)| attributes["plugin.name"] == "agdb")
        .filter_map(|(.., attributes)| Some(attributes.get("function")?.as_str()))
        .collect();
    for function in ["discovery.resolve", "metrics.derive"] {
        assert!(calls.contains(&function), "{received:#?}");
    }
    // A trace is a piece of work, not a life.
    let of_discovery = |attributes: &BTreeMap<String, String>| {
        attributes
            .get("task.name")
            .is_some_and(|name| name == "discovery")
    };
    let lives = received
        .spans
        .iter()
        .any(|(.., attributes)| of_discovery(attributes));
    assert!(!lives, "{received:#?}");
}
