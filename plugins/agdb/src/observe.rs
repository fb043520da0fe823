//! Asking agdb: this replica's server for the cluster, the peers whether they are there.

use outrigger_plugin_sdk::endpoint::{Request, Response, Target, send_all};
use outrigger_plugin_sdk::{Failure, Membership, Replica, state};

use crate::settings::{ENDPOINT, Settings};
use crate::status::{Look, MISSES_MAX, Row, Seen, leader};

/// The own server answers at once, or, without a leader, after up to 5 s per member that does not.
const OWN_TIMEOUT_MS: u32 = 1_500;

/// Peers are near, and are asked each time.
const PEER_TIMEOUT_MS: u32 = 400;

/// How long a peer's table may take before a start or a stop: nothing else is waiting then.
const START_TIMEOUT_MS: u32 = 1_200;

/// The state's key of how many looks in a row each peer missed.
const MISSES: &str = "misses";

type Answer = Result<Response, Failure>;

fn status(settings: &Settings, target: Target, timeout: u32) -> Request {
    Request::get(ENDPOINT, target, settings.path("status")).timeout(timeout)
}

fn table(settings: &Settings, target: Target, timeout: u32) -> Request {
    Request::get(ENDPOINT, target, settings.path("cluster/status")).timeout(timeout)
}

fn answers(answer: &Answer) -> bool {
    answer.as_ref().is_ok_and(Response::is_success)
}

fn rows(answer: &Answer) -> Option<Vec<Row>> {
    let response = answer
        .as_ref()
        .ok()
        .filter(|response| response.is_success())?;
    match response.json() {
        Ok(rows) => Some(rows),
        Err(failure) => {
            outrigger_plugin_sdk::warn!("agdb's cluster status is not understood", "error" => failure.message);
            None
        }
    }
}

fn seen(settings: &Settings, now: &Membership, replica: &Replica) -> Seen {
    Seen {
        ordinal: replica.ordinal,
        name: replica.name.clone(),
        url: settings.url(replica),
        wanted: now.is_wanted(replica.ordinal),
        answers: false,
        misses: 0,
        table: None,
    }
}

fn own(settings: &Settings, now: &Membership) -> Result<Seen, Failure> {
    let own = now.require_own()?;
    Ok(seen(settings, now, own))
}

/// Whether this replica's server answers.
pub fn is_alive(settings: &Settings, timeout: u32) -> bool {
    answers(&status(settings, Target::Local, timeout).send())
}

/// A look without peers, for liveness.
pub fn own_only(settings: &Settings, now: &Membership) -> Result<Look, Failure> {
    let mut own = own(settings, now)?;
    own.answers = is_alive(settings, OWN_TIMEOUT_MS);
    Ok(Look {
        own,
        peers: Vec::new(),
        wanted: settings.cluster(now),
    })
}

/// A full look. `remember` keeps the count of missed answers: for one caller only, the readiness probe.
pub fn look(settings: &Settings, now: &Membership, remember: bool) -> Result<Look, Failure> {
    let mut own = own(settings, now)?;
    let mut peers: Vec<Seen> = now.peers().map(|peer| seen(settings, now, peer)).collect();

    let mut requests = vec![
        status(settings, Target::Local, OWN_TIMEOUT_MS),
        table(settings, Target::Local, OWN_TIMEOUT_MS),
    ];
    requests.extend(status_of(settings, &peers));
    let mut given = send_all(&requests).into_iter();
    own.answers = given.next().as_ref().is_some_and(answers);
    own.table = given.next().as_ref().and_then(rows);
    note_answers(&mut peers, given);
    count_misses(&mut peers, remember);

    // Whether the others follow, or run with another list, is told only by themselves. A follower's
    // table is its leader's, so there is nothing to ask for.
    let leads_or_lost = own
        .table
        .as_deref()
        .is_none_or(|rows| leader(rows).is_none_or(|l| l == own.url));
    if own.answers && leads_or_lost {
        ask_tables(settings, &mut peers, PEER_TIMEOUT_MS);
    }
    Ok(Look {
        own,
        peers,
        wanted: settings.cluster(now),
    })
}

fn ask_tables(settings: &Settings, peers: &mut [Seen], timeout: u32) {
    let mut asked: Vec<&mut Seen> = peers.iter_mut().filter(|peer| peer.answers).collect();
    let requests: Vec<Request> = asked
        .iter()
        .map(|peer| table(settings, Target::Peer(peer.ordinal), timeout))
        .collect();
    for (peer, answer) in asked.iter_mut().zip(send_all(&requests)) {
        peer.table = rows(&answer);
    }
}

fn count_misses(peers: &mut [Seen], remember: bool) {
    // Pairs of an ordinal and its count.
    let before: Vec<Vec<u32>> = state::load(MISSES).unwrap_or_default();
    let missed = |ordinal: u32| {
        let known = before.iter().find(|pair| pair.first() == Some(&ordinal));
        known
            .and_then(|pair| pair.get(1))
            .copied()
            .unwrap_or_default()
    };
    for peer in peers.iter_mut().filter(|peer| !peer.answers) {
        let missed = missed(peer.ordinal);
        // Beyond the limit the count says nothing more, and a steady state is not written each second.
        peer.misses = if remember {
            (missed + 1).min(MISSES_MAX)
        } else {
            missed.max(1)
        };
    }
    if !remember {
        return;
    }
    let after: Vec<Vec<u32>> = peers
        .iter()
        .filter(|peer| peer.misses > 0)
        .map(|peer| vec![peer.ordinal, peer.misses])
        .collect();
    if after != before
        && let Err(failure) = state::store(MISSES, &after)
    {
        outrigger_plugin_sdk::warn!("Missed answers are not counted", "error" => failure.message);
    }
}

/// What the peers answer before this replica's start.
pub fn before_start(settings: &Settings, now: &Membership) -> Vec<Seen> {
    let mut peers: Vec<Seen> = now.peers().map(|peer| seen(settings, now, peer)).collect();
    let given = send_all(&status_of(settings, &peers));
    note_answers(&mut peers, given);
    ask_tables(settings, &mut peers, START_TIMEOUT_MS);
    peers
}

/// Who is there, and with which list, before this replica's server is stopped.
pub fn before_stop(settings: &Settings, now: &Membership) -> Result<Look, Failure> {
    let mut own = own(settings, now)?;
    let mut peers: Vec<Seen> = now.peers().map(|peer| seen(settings, now, peer)).collect();
    let mut requests = vec![table(settings, Target::Local, OWN_TIMEOUT_MS)];
    requests.extend(status_of(settings, &peers));
    let mut given = send_all(&requests).into_iter();
    own.answers = true;
    own.table = given.next().as_ref().and_then(rows);
    note_answers(&mut peers, given);
    ask_tables(settings, &mut peers, START_TIMEOUT_MS);
    Ok(Look {
        own,
        peers,
        wanted: settings.cluster(now),
    })
}

fn status_of(settings: &Settings, peers: &[Seen]) -> Vec<Request> {
    peers
        .iter()
        .map(|peer| status(settings, Target::Peer(peer.ordinal), PEER_TIMEOUT_MS))
        .collect()
}

fn note_answers(peers: &mut [Seen], given: impl IntoIterator<Item = Answer>) {
    for (peer, answer) in peers.iter_mut().zip(given) {
        peer.answers = answers(&answer);
    }
}
