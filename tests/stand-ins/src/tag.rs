//! TAG: a cache whose members find each other by a seed, and whose ring keeps who crashed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::gossip::{Member, Record, Rules, State};
use crate::http::{Answer, answer, fill, listen, parameter, serve};
use crate::log;

const METRICS: &str = include_str!("../tag/metrics.prom");
const MEMBERSHIP: &str = include_str!("../tag/membership.prom");

/// As captured: a death is noticed after 23 to 31 s, and the ring never forgets it.
const RULES: Rules = Rules {
    unreachable_after: Duration::from_secs(25),
    forget_after: None,
    id_may_return: true,
};

/// From the start to the first answer, with an empty cache.
const OPENING: Duration = Duration::from_secs(1);

/// From the signal to the end, with an empty cache.
const CLOSING: Duration = Duration::from_millis(3_900);

/// How long requests in flight get at the end.
const IN_FLIGHT: Duration = Duration::from_secs(30);

/// Between two look-ups of a seed that does not resolve: the real one makes none.
const SEED_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug, Clone)]
struct Gateway {
    /// None without a node ID or without seeds: then it runs alone.
    member: Option<Member>,
    started: f64,
    keys: Arc<Mutex<BTreeSet<String>>>,
    hits: Arc<AtomicU64>,
    misses: Arc<AtomicU64>,
    in_flight: Arc<AtomicU64>,
}

/// A variable; one that is empty counts as not set.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    (!value.is_empty()).then_some(value)
}

pub(crate) async fn run() -> Result<(), String> {
    let disk = variable("TAG_CACHE_DISK_PATH").unwrap_or_else(|| "/data/cache".to_owned());
    let cap = variable("TAG_CACHE_MAX_DISK_USAGE")
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or_default();
    log::line(
        "info",
        "Creating embedded cache client",
        &[("max_disk_usage", &cap.to_string())],
    );
    let _locked_until_the_end = lock(Path::new(&disk))?;
    tokio::time::sleep(OPENING).await;

    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seeds: Vec<String> = variable("TAG_CACHE_SEED_NODES")
        .iter()
        .flat_map(|list| list.split(','))
        .map(|seed| seed.trim().to_owned())
        .collect();
    let mut tasks = JoinSet::new();
    let mut member = None;
    if let Some(id) = variable("TAG_CACHE_NODE_ID").filter(|_| !seeds.is_empty()) {
        let bind = variable("TAG_CACHE_CLUSTER_ADDR").unwrap_or_else(|| ":7000".to_owned());
        let listener = listen(&bind).await?;
        let own = Record {
            id,
            gossip: listener.local_addr().map_err(|error| error.to_string())?,
            started: since_1970.as_nanos(),
            left: false,
            facts: BTreeMap::new(),
        };
        let one = Member::new(own.clone(), RULES);
        tasks.spawn(one.clone().run(listener));
        tasks.spawn(join(one.clone(), seeds, own.gossip));
        member = Some(one);
    }
    let gateway = Gateway {
        member: member.clone(),
        started: since_1970.as_secs_f64(),
        keys: Arc::default(),
        hits: Arc::default(),
        misses: Arc::default(),
        in_flight: Arc::default(),
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let one = gateway.clone();
    let serving = serve(listen(":8080").await?, move |request| {
        one.clone().answer(request)
    });
    log::line("info", "TAG is ready", &[]);
    {
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            () = &mut serving => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let until = Instant::now() + IN_FLIGHT;
        while gateway.in_flight.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            let soon = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                () = &mut serving => {}
                () = soon => {}
            }
        }
    }
    let until = Instant::now() + CLOSING;
    if let Some(member) = member {
        member.leave().await;
    }
    tokio::time::sleep_until(until).await;
    log::line("info", "segment manager closed", &[]);
    Ok(())
}

/// The store's lock, which another process may hold that has not ended.
fn lock(disk: &Path) -> Result<File, String> {
    const FAILED: &str = "Init: internal storage error";
    let open = || {
        fs::create_dir_all(disk)?;
        File::create(disk.join("LOCK"))
    };
    let file = open().map_err(|error| format!("{FAILED}: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!("{FAILED}: LOCK is held")),
        Err(TryLockError::Error(error)) => Err(format!("{FAILED}: {error}")),
    }
}

/// Tries until a seed resolves and somebody was reached, this one itself included; then never again.
async fn join(member: Member, seeds: Vec<String>, own: SocketAddr) {
    loop {
        let mut reached = 0;
        for seed in &seeds {
            let Ok(found) = tokio::net::lookup_host(seed.as_str()).await else {
                continue;
            };
            for address in found {
                if address == own || member.call(address).await.is_ok() {
                    reached += 1;
                }
            }
        }
        if reached > 0 {
            let reached = reached.to_string();
            log::line(
                "info",
                "joining memberlist cluster succeeded",
                &[("reached_nodes", &reached)],
            );
            return;
        }
        tokio::time::sleep(SEED_AGAIN).await;
    }
}

impl Gateway {
    async fn answer(self, request: Request<Incoming>) -> Answer {
        match request.uri().path() {
            "/health" => answer(StatusCode::OK, "OK"),
            "/metrics" => answer(StatusCode::OK, self.metrics()),
            _ => self.object(&request).await,
        }
    }

    fn metrics(&self) -> String {
        let number = |count: &AtomicU64| count.load(Ordering::SeqCst).to_string();
        let mut text = fill(
            METRICS,
            &[
                ("started", self.started.to_string()),
                ("hits", number(&self.hits)),
                ("misses", number(&self.misses)),
                ("in_flight", number(&self.in_flight)),
            ],
        );
        if let Some(member) = &self.member {
            let members = member.members();
            let count = |counts: fn(State) -> bool| {
                let counted = members.iter().filter(|(_, state)| counts(*state));
                counted.count().to_string()
            };
            text += &fill(
                MEMBERSHIP,
                &[
                    ("members", count(|state| state == State::Active)),
                    ("ring", count(|state| state != State::Left)),
                ],
            );
        }
        text
    }

    /// An object: a miss the first time, a hit from then on; after `?ms=…`.
    async fn object(self, request: &Request<Incoming>) -> Answer {
        let span = Duration::from_millis(parameter(request, "ms").unwrap_or_default());
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(span).await;
        let is_new = self
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(request.uri().path().to_owned());
        let (counted, word) = if is_new {
            (&self.misses, "MISS")
        } else {
            (&self.hits, "HIT")
        };
        counted.fetch_add(1, Ordering::SeqCst);
        let mut answer = answer(StatusCode::OK, "an object\n");
        let header = HeaderValue::from_static(word);
        answer.headers_mut().insert("x-cache", header);
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}
