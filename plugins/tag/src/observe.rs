//! Asking TAG, its peers, its disk and its upstream.

use outrigger_plugin_sdk::endpoint::{Method, Request, Response, Target, send_all};
use outrigger_plugin_sdk::files::{self, FsUsage};
use outrigger_plugin_sdk::{Failure, FailureKind, Membership};

use crate::counts::{Counts, counts};
use crate::health::{Look, Peer};
use crate::settings::{ENDPOINT, Settings, UPSTREAM};

/// The own server answers in a few milliseconds, its metrics have a few hundred lines.
const OWN_TIMEOUT_MS: u32 = 1_000;

/// Peers are near, and are asked often.
const PEER_TIMEOUT_MS: u32 = 400;

/// The upstream is far.
const UPSTREAM_TIMEOUT_MS: u32 = 1_500;

fn get(target: Target, path: &str, timeout: u32) -> Request {
    Request::get(ENDPOINT, target, path).timeout(timeout)
}

fn is_ok(answer: &Result<Response, Failure>) -> bool {
    answer.as_ref().is_ok_and(Response::is_success)
}

fn read(answer: Result<Response, Failure>) -> Option<Counts> {
    let response = answer.ok().filter(Response::is_success)?;
    std::str::from_utf8(&response.body).ok().map(counts)
}

/// Whether this replica's server answers.
pub fn is_alive() -> bool {
    is_ok(&get(Target::Local, "/health", OWN_TIMEOUT_MS).send())
}

/// The own server's numbers.
pub fn own_counts() -> Option<Counts> {
    read(get(Target::Local, "/metrics", OWN_TIMEOUT_MS).send())
}

/// The peers whose server answers now, by ordinal.
pub fn running(now: &Membership) -> Vec<u32> {
    let peers = peers(now);
    let running = peers.into_iter().filter(|peer| peer.runs);
    running.map(|peer| peer.ordinal).collect()
}

fn peers(now: &Membership) -> Vec<Peer> {
    let ordinals: Vec<u32> = now.peers().map(|peer| peer.ordinal).collect();
    let requests: Vec<Request> = ordinals
        .iter()
        .map(|ordinal| get(Target::Peer(*ordinal), "/health", PEER_TIMEOUT_MS))
        .collect();
    ordinals
        .into_iter()
        .zip(send_all(&requests))
        .map(|(ordinal, given)| Peer {
            ordinal,
            runs: is_ok(&given),
            members: None,
        })
        .collect()
}

/// A look at this replica and, in a cluster, at who else runs. The peers' own counts are asked for only
/// where members are missing: they cost tens of kilobytes each.
pub fn look(now: &Membership, cluster: bool) -> Look {
    let requests = ["/health", "/metrics"].map(|path| get(Target::Local, path, OWN_TIMEOUT_MS));
    let mut given = send_all(&requests).into_iter();
    let mut look = Look {
        own: now.self_ordinal,
        wanted: now.desired,
        healthy: given.next().as_ref().is_some_and(is_ok),
        counts: given.next().and_then(read),
        peers: Vec::new(),
    };
    if cluster && look.healthy {
        look.peers = peers(now);
        if look.is_short() {
            ask_counts(&mut look.peers);
        }
    }
    look
}

fn ask_counts(peers: &mut [Peer]) {
    let mut asked: Vec<&mut Peer> = peers.iter_mut().filter(|peer| peer.runs).collect();
    let requests: Vec<Request> = asked
        .iter()
        .map(|peer| get(Target::Peer(peer.ordinal), "/metrics", PEER_TIMEOUT_MS))
        .collect();
    for (peer, given) in asked.iter_mut().zip(send_all(&requests)) {
        peer.members = read(given).and_then(|counts| counts.members);
    }
}

/// The cache's disk; none where the volume is not granted or cannot be looked at.
pub fn disk(settings: &Settings) -> Option<FsUsage> {
    files::usage(&settings.volume).ok()
}

/// Why the upstream does not answer; none when it does, whatever it says, or is not granted.
pub fn upstream(settings: &Settings) -> Option<Result<(), String>> {
    let request = Request::new(
        Method::Head,
        UPSTREAM,
        Target::Local,
        &settings.upstream_path,
    )
    .timeout(UPSTREAM_TIMEOUT_MS);
    match request.send() {
        // Who refuses a request without credentials is there.
        Ok(answer) if answer.status < 500 => Some(Ok(())),
        Ok(answer) => Some(Err(format!("status {}", answer.status))),
        Err(failure) if failure.kind == FailureKind::Denied => None,
        Err(failure) => Some(Err(failure.message)),
    }
}
