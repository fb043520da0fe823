//! Piko's server: joins once at its start, tells whom it knows, closes everything at SIGTERM.

mod config;

use std::collections::BTreeMap;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::config::Config;
use crate::gossip::{Member, Record, Rules, State};
use crate::http::{Answer, answer, fill, listen, parameter, serve};
use crate::log;

const NODE: &str = include_str!("../piko/node.json");
const LOCAL: &str = include_str!("../piko/local.json");
const METRICS: &str = include_str!("../piko/metrics.prom");
const UNREACHABLE: &str = include_str!("../piko/upstream-unreachable.json");

/// As captured: unreachable within 1.7 s, forgotten after 60 s, an ID that left stays so.
const RULES: Rules = Rules {
    unreachable_after: Duration::from_millis(1_400),
    forget_after: Some(Duration::from_mins(1)),
    id_may_return: false,
};

#[derive(Debug, Clone)]
struct Server {
    member: Member,
    config: Arc<Config>,
    id: String,
    in_flight: Arc<AtomicU64>,
    stopping: watch::Receiver<bool>,
}

pub(crate) async fn run(arguments: &[String]) -> Result<(), String> {
    let path = arguments
        .windows(2)
        .find(|pair| pair[0] == "--config.path")
        .map(|pair| pair[1].clone())
        .ok_or("no --config.path")?;
    let config = Arc::new(config::read(&path)?);
    let id = config.node_id()?;
    log::line("info", "starting piko server", &[("node-id", &id)]);

    let gossip = listen(&config.gossip.bind).await?;
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let own = Record {
        id: id.clone(),
        gossip: address_of(&config.gossip.told).await?,
        started,
        left: false,
        facts: BTreeMap::from([
            ("proxy_addr".to_owned(), config.proxy.told.clone()),
            ("admin_addr".to_owned(), config.admin.told.clone()),
        ]),
    };
    let (stop, stopping) = watch::channel(false);
    let server = Server {
        member: Member::new(own.clone(), RULES),
        config: Arc::clone(&config),
        id,
        in_flight: Arc::default(),
        stopping,
    };
    let admin = listen(&config.admin.bind).await?;
    let proxy = listen(&config.proxy.bind).await?;
    let upstream = listen(&config.upstream.bind).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;

    let mut tasks = JoinSet::new();
    tasks.spawn(server.member.clone().run(gossip));
    let one = server.clone();
    tasks.spawn(serve(admin, move |request| ready(one.admin(&request))));
    let one = server.clone();
    tasks.spawn(serve(proxy, move |request| one.clone().proxy(request)));
    tasks.spawn(async move {
        // Agents may connect; there are none here.
        while let Ok(_agent) = upstream.accept().await {}
    });

    // Signals are looked at once the join is over, as captured.
    join(&server.member, &config, own.gossip).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    log::line("info", "starting shutdown", &[]);
    // Those in flight are answered before anything is closed: with 502.
    stop.send_replace(true);
    let deadline = Instant::now() + Duration::from_millis(200);
    while server.in_flight.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    server.member.leave().await;
    log::line("info", "shutdown complete", &[]);
    Ok(())
}

/// Tries to join until somebody answered, this one itself included, or the time is over.
async fn join(member: &Member, config: &Config, own: SocketAddr) -> Result<(), String> {
    if config.join.is_empty() {
        return Ok(());
    }
    let until = Instant::now() + config.join_timeout;
    let mut pause = Duration::from_secs(1);
    loop {
        let why = match try_join(member, config, own).await {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        log::line(
            "warn",
            "failed to join cluster; retrying",
            &[("error", &why)],
        );
        if Instant::now() + pause > until {
            tokio::time::sleep_until(until).await;
            return if config.abort_if_join_fails {
                Err(format!("cluster join: {why}"))
            } else {
                Ok(())
            };
        }
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(2.1);
    }
}

async fn try_join(member: &Member, config: &Config, own: SocketAddr) -> Result<(), String> {
    let mut addresses = Vec::new();
    for host in &config.join {
        let found = tokio::net::lookup_host(host.as_str())
            .await
            .map_err(|error| format!("resolve: {host}: {error}"))?;
        addresses.extend(found);
    }
    let mut joined = false;
    let mut last = "nobody to join".to_owned();
    for address in addresses {
        if address == own {
            joined = true;
            continue;
        }
        match member.call(address).await {
            Ok(()) => joined = true,
            Err(error) => {
                log::line("warn", "failed to join node", &[("error", &error)]);
                last = error;
            }
        }
    }
    if joined { Ok(()) } else { Err(last) }
}

async fn address_of(host: &str) -> Result<SocketAddr, String> {
    tokio::net::lookup_host(host)
        .await
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| format!("advertise addr: {host}"))
}

impl Server {
    fn admin(&self, request: &Request<Incoming>) -> Answer {
        let ok = |body: String| answer(StatusCode::OK, body);
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/ready") if *self.stopping.borrow() => {
                answer(StatusCode::SERVICE_UNAVAILABLE, "")
            }
            (&Method::GET, "/ready" | "/health") => ok(String::new()),
            (&Method::GET, "/status/cluster/nodes") => ok(self.nodes()),
            (&Method::GET, "/status/cluster/nodes/local") => ok(fill(
                LOCAL,
                &[
                    ("id", self.id.clone()),
                    ("proxy_addr", self.config.proxy.told.clone()),
                    ("admin_addr", self.config.admin.told.clone()),
                ],
            )),
            (&Method::GET, "/metrics") => ok(self.metrics()),
            // For tests alone.
            (&Method::POST, "/stand-in/split") => {
                self.member.split();
                ok("split\n".to_owned())
            }
            _ => answer(StatusCode::NOT_FOUND, ""),
        }
    }

    fn nodes(&self) -> String {
        let fact =
            |record: &Record, name: &str| record.facts.get(name).cloned().unwrap_or_default();
        let row = |(record, state): (Record, State)| {
            let row = fill(
                NODE,
                &[
                    ("id", record.id.clone()),
                    ("status", word(state).to_owned()),
                    ("proxy_addr", fact(&record, "proxy_addr")),
                    ("admin_addr", fact(&record, "admin_addr")),
                    ("endpoints", "0".to_owned()),
                    ("upstreams", "0".to_owned()),
                ],
            );
            row.trim_end().to_owned()
        };
        let rows: Vec<String> = self.member.members().into_iter().map(row).collect();
        format!("[{}]", rows.join(","))
    }

    fn metrics(&self) -> String {
        let members = self.member.members();
        let nodes: Vec<String> = [State::Active, State::Unreachable, State::Left]
            .into_iter()
            .filter_map(|state| {
                let count = members.iter().filter(|(_, s)| *s == state).count();
                (count > 0)
                    .then(|| format!("piko_cluster_nodes{{status=\"{}\"}} {count}", word(state)))
            })
            .collect();
        let entries: Vec<String> = members
            .iter()
            .map(|(record, _)| {
                format!(
                    "piko_gossip_entries{{deleted=\"false\",internal=\"false\",node_id=\"{}\"}} 2",
                    record.id
                )
            })
            .collect();
        let in_flight = self.in_flight.load(Ordering::SeqCst);
        fill(
            METRICS,
            &[
                ("nodes", nodes.join("\n")),
                ("entries", entries.join("\n")),
                ("in_flight", in_flight.to_string()),
            ],
        )
    }

    /// Answers after `?ms=…`, unless the server stops before.
    async fn proxy(mut self, request: Request<Incoming>) -> Answer {
        let span = Duration::from_millis(parameter(&request, "ms").unwrap_or_default());
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let answer = tokio::select! {
            () = tokio::time::sleep(span) => answer(StatusCode::OK, "hello\n"),
            _ = self.stopping.wait_for(|stopping| *stopping) => {
                answer(StatusCode::BAD_GATEWAY, UNREACHABLE)
            }
        };
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Unreachable => "unreachable",
        State::Left => "left",
    }
}
