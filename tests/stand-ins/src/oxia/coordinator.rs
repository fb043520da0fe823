//! The coordinator: looks after the list and the servers, and writes down what there is.

use std::collections::BTreeMap;
use std::fs;
use std::future::ready;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::cluster::{Cluster, Server, list};
use super::{ASSIGN_PORT, Config};
use crate::grpc::health;
use crate::http::{answer, fill, listen, serve};
use crate::log;

const METRICS: &str = include_str!("../../oxia/coordinator.prom");
const RUNNING: &str = include_str!("../../oxia/running.prom");
const TERM: &str = include_str!("../../oxia/term.prom");

/// Between two rounds. The real one hears of a stop at once, and of a changed list within seconds.
const ROUND: Duration = Duration::from_millis(200);

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_millis(500);

/// Between two elections of a shard that has no quorum.
const ELECTION: Duration = Duration::from_secs(1);

/// The text of the metrics; empty until the first round, when it leads.
type Shown = Arc<Mutex<String>>;

pub(super) async fn run(config: &Config) -> Result<(), String> {
    let public = listen(&config.public).await?;
    let internal = listen(&config.internal).await?;
    let metrics = listen(&config.metrics).await?;
    let shown = Shown::default();
    let read = Arc::clone(&shown);
    let serving = async {
        tokio::join!(
            health(public, |service: &str| service.is_empty()),
            health(internal, |service: &str| service.is_empty()),
            serve(metrics, move |_| {
                let text = read.lock().unwrap_or_else(PoisonError::into_inner).clone();
                ready(answer(StatusCode::OK, text))
            }),
        )
    };
    tokio::select! {
        _ = serving => Ok(()),
        ended = rounds(config, &shown) => ended,
    }
}

async fn rounds(config: &Config, shown: &Shown) -> Result<(), String> {
    let mut cluster = Cluster::default();
    let mut written = String::new();
    let mut elected = Instant::now();
    loop {
        let content = fs::read_to_string(&config.list)
            .map_err(|error| format!("panic: {}: {error}", config.list))?;
        let list = list(&content)?;
        let mut running = BTreeMap::new();
        for server in &list.servers {
            let runs = tell(server, cluster.of(&server.name)).await;
            running.insert(server.name.clone(), runs);
        }
        let again = elected.elapsed() >= ELECTION;
        if again {
            elected = Instant::now();
        }
        cluster.step(&list, &running, again);
        let status = cluster.status();
        if status != written {
            put(Path::new(&config.status), &status)?;
            log::line("info", "Status changed", &[]);
            written = status;
        }
        *shown.lock().unwrap_or_else(PoisonError::into_inner) = metrics(&cluster, &running);
        tokio::time::sleep(ROUND).await;
    }
}

fn metrics(cluster: &Cluster, running: &BTreeMap<String, bool>) -> String {
    let running = running.iter().map(|(name, runs)| {
        let runs = u8::from(*runs).to_string();
        fill(RUNNING, &[("name", name.clone()), ("running", runs)])
    });
    let terms = cluster.terms().map(|(namespace, shard, term)| {
        let values = [
            ("namespace", namespace.to_owned()),
            ("shard", shard.to_string()),
            ("term", term.to_string()),
        ];
        fill(TERM, &values)
    });
    let lines = |text: String| text.trim_end().to_owned();
    fill(
        METRICS,
        &[
            ("running", lines(running.collect())),
            ("terms", lines(terms.collect())),
        ],
    )
}

/// Tells a server its shards. Whether it answers.
async fn tell(server: &Server, (leads, follows): (usize, usize)) -> bool {
    let told = async {
        let (host, _) = server.internal.rsplit_once(':')?;
        let mut stream = TcpStream::connect((host, ASSIGN_PORT)).await.ok()?;
        let request = format!(
            "GET /assign?leads={leads}&follows={follows} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        head.ends_with(b" 200").then_some(())
    };
    matches!(timeout(ANSWER, told).await, Ok(Some(())))
}

/// Puts the file in place at once.
fn put(path: &Path, content: &str) -> Result<(), String> {
    let beside = path.with_extension("new");
    fs::write(&beside, content)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|error| format!("{}: {error}", path.display()))
}
