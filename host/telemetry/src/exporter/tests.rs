use std::net::SocketAddr;

use opentelemetry::trace::{Tracer as _, TracerProvider as _};
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
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::*;
use crate::{OtlpMetrics, Point, PointKind};

/// A collector that hands on what it is sent.
#[derive(Clone)]
struct Collector(mpsc::UnboundedSender<String>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                self.0.send(span.name).unwrap();
            }
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
        for resource in request.into_inner().resource_metrics {
            for metric in resource
                .scope_metrics
                .into_iter()
                .flat_map(|scope| scope.metrics)
            {
                self.0.send(metric.name).unwrap();
            }
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn collector() -> (SocketAddr, mpsc::UnboundedReceiver<String>, JoinSet<()>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector(sender.clone())))
            .add_service(MetricsServiceServer::new(Collector(sender)))
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
    (address, receiver, tasks)
}

async fn next(receiver: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(Duration::from_secs(20), receiver.recv())
        .await
        .expect("an export arrives")
        .unwrap()
}

#[tokio::test]
async fn spans_arrive_at_the_collector() {
    let (address, mut received, _tasks) = collector();
    let provider = traces(
        &format!("http://{address}"),
        Resource::builder_empty().build(),
    )
    .unwrap();
    provider.tracer("test").in_span("health.evaluate", |_| ());
    let flushed = tokio::task::spawn_blocking(move || provider.force_flush());
    assert_eq!(next(&mut received).await, "health.evaluate");
    flushed.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_newest_samples_arrive_at_the_collector() {
    let (address, mut received, _tasks) = collector();
    let provider = metrics(
        &format!("http://{address}"),
        Resource::builder_empty().build(),
    )
    .unwrap();
    let bridge = OtlpMetrics::new(provider);
    bridge.publish(vec![Point {
        name: "outrigger_peers".to_owned(),
        help: String::new(),
        kind: PointKind::Gauge,
        labels: vec![("phase".to_owned(), "ready".to_owned())],
        value: 3.0,
    }]);
    let ended = tokio::task::spawn_blocking(move || bridge.shutdown(Duration::from_secs(10)));
    assert_eq!(next(&mut received).await, "outrigger_peers");
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_nothing_but_a_line() {
    // Bound and dropped: nobody listens there.
    let address = TcpIncoming::bind("127.0.0.1:0".parse().unwrap())
        .unwrap()
        .local_addr()
        .unwrap();
    let provider = traces(
        &format!("http://{address}"),
        Resource::builder_empty().build(),
    )
    .unwrap();
    let tracer = provider.tracer("test");
    for _ in 0..SPANS_QUEUED_MAX * 3 {
        tracer.in_span("lost", |_| ());
    }
    let ended = tokio::task::spawn_blocking(move || {
        provider.shutdown_with_timeout(Duration::from_secs(10))
    });
    // It ends in any case; whether with an error is the exporter's own matter.
    drop(ended.await.unwrap());
}

#[test]
fn https_is_refused_with_the_way_out() {
    let error = traces("https://collector:4317", Resource::builder_empty().build()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`https://collector:4317`: exports over https are not built in"
    );
    assert!(error.hint().is_some());
}
