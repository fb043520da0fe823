//! A data server: up at once, ready when it was first told its shards, and never unready again.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hyper::body::Incoming;
use hyper::{Request, StatusCode};

use super::{ASSIGN_PORT, Config};
use crate::grpc::health;
use crate::http::{Answer, answer, fill, listen, parameter, serve};
use crate::log;

const METRICS: &str = include_str!("../../oxia/server.prom");

#[derive(Debug, Clone, Default)]
struct Server {
    told: Arc<AtomicBool>,
    leads: Arc<AtomicU64>,
    follows: Arc<AtomicU64>,
}

pub(super) async fn run(config: &Config) -> Result<(), String> {
    let server = Server::default();
    let host = config
        .internal
        .rsplit_once(':')
        .map_or("", |(host, _)| host);
    let assigned = listen(&format!("{host}:{ASSIGN_PORT}")).await?;
    let public = listen(&config.public).await?;
    let internal = listen(&config.internal).await?;
    let metrics = listen(&config.metrics).await?;
    log::line(
        "info",
        "Started Grpc server",
        &[("bindAddress", &config.internal)],
    );
    let told = Arc::clone(&server.told);
    let serves = move |service: &str| match service {
        "" => true,
        "oxia-readiness" => told.load(Ordering::SeqCst),
        _ => false,
    };
    let one = server.clone();
    tokio::join!(
        health(public, |service: &str| service.is_empty()),
        health(internal, serves),
        serve(assigned, move |request| ready(one.assigned(&request))),
        serve(metrics, move |_| ready(server.metrics())),
    );
    Ok(())
}

impl Server {
    fn assigned(&self, request: &Request<Incoming>) -> Answer {
        let count = |name| parameter(request, name).unwrap_or_default();
        self.leads.store(count("leads"), Ordering::SeqCst);
        self.follows.store(count("follows"), Ordering::SeqCst);
        self.told.store(true, Ordering::SeqCst);
        answer(StatusCode::OK, "")
    }

    fn metrics(&self) -> Answer {
        let number = |count: &AtomicU64| count.load(Ordering::SeqCst).to_string();
        let values = [
            ("leads", number(&self.leads)),
            ("follows", number(&self.follows)),
        ];
        answer(StatusCode::OK, fill(METRICS, &values))
    }
}
