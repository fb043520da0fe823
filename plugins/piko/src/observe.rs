//! Asking Piko: this replica's server for itself, all of them for their lists.

use outrigger_plugin_sdk::endpoint::{Request, Response, Target, send_all};
use outrigger_plugin_sdk::{Failure, Membership, exposition};

use crate::cluster::{Answer, Look};
use crate::nodes::LocalNode;
use crate::settings::ENDPOINT;

/// The own server answers in a millisecond.
const OWN_TIMEOUT_MS: u32 = 1_000;

/// Peers are near, and are asked often.
const PEER_TIMEOUT_MS: u32 = 400;

const NODES: &str = "/status/cluster/nodes";

fn get(target: Target, path: &str, timeout: u32) -> Request {
    Request::get(ENDPOINT, target, path).timeout(timeout)
}

fn is_ok(answer: &Result<Response, Failure>) -> bool {
    answer.as_ref().is_ok_and(Response::is_success)
}

/// Whether this replica's server runs at all.
pub fn is_alive() -> bool {
    is_ok(&get(Target::Local, "/health", OWN_TIMEOUT_MS).send())
}

/// How many requests the own server has in flight; none when it does not tell.
pub fn in_flight() -> Option<f64> {
    let answer = get(Target::Local, "/metrics", OWN_TIMEOUT_MS).send().ok()?;
    let text = std::str::from_utf8(&answer.body).ok()?;
    exposition::value(text, "piko_proxy_requests_in_flight")
}

fn answer(given: Result<Response, Failure>) -> Option<Answer> {
    let response = given.ok().filter(Response::is_success)?;
    let nodes = match response.json() {
        Ok(nodes) => Some(nodes),
        Err(failure) => {
            outrigger_plugin_sdk::warn!("Piko's list of nodes is not understood", "error" => failure.message);
            None
        }
    };
    Some(Answer { nodes })
}

/// The peers whose server answers now, by ordinal.
pub fn running(now: &Membership) -> Vec<u32> {
    let ordinals: Vec<u32> = now.peers().map(|peer| peer.ordinal).collect();
    let requests: Vec<Request> = ordinals
        .iter()
        .map(|ordinal| get(Target::Peer(*ordinal), NODES, PEER_TIMEOUT_MS))
        .collect();
    let given = send_all(&requests);
    ordinals
        .into_iter()
        .zip(given)
        .filter_map(|(ordinal, given)| is_ok(&given).then_some(ordinal))
        .collect()
}

/// This replica's own server alone: whether it is ready, who it is, whom it sees.
pub fn own(now: &Membership) -> Look {
    let mut look = Look::new(now);
    let requests = ["/ready", "/status/cluster/nodes/local", NODES]
        .map(|path| get(Target::Local, path, OWN_TIMEOUT_MS));
    let mut given = send_all(&requests).into_iter();
    look.ready = given.next().as_ref().is_some_and(is_ok);
    look.id = given
        .next()
        .and_then(Result::ok)
        .filter(Response::is_success)
        .and_then(|response| response.json().ok())
        .map(|LocalNode(id)| id);
    let nodes = given.next().and_then(answer);
    let own = look.own;
    if let Some(member) = look
        .members
        .iter_mut()
        .find(|member| member.replica.ordinal == own)
    {
        member.answer = nodes;
    }
    look
}

/// Asks the peers too.
pub fn ask_peers(look: &mut Look) {
    let own = look.own;
    let mut peers: Vec<_> = look
        .members
        .iter_mut()
        .filter(|member| member.replica.ordinal != own)
        .collect();
    let requests: Vec<Request> = peers
        .iter()
        .map(|peer| get(Target::Peer(peer.replica.ordinal), NODES, PEER_TIMEOUT_MS))
        .collect();
    for (peer, given) in peers.iter_mut().zip(send_all(&requests)) {
        peer.answer = answer(given);
    }
}
