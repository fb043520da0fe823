//! Who is there by the list of the profile.

use std::collections::BTreeMap;
use std::future::pending;

use outrigger_peers::{Identity, Ordinal, PeerSet, Source};
use outrigger_profile::{Discovery, FixedPeer};

use super::answers::{self, Answer, Reply};
use super::dns::Dns;
use super::settle::is_complete;
use super::{DiscoverySetup, Observer, pause};
use crate::timeline::unix_ms;

/// Takes the list, and asks for the addresses of those that it gives by name.
pub(super) async fn observe(
    setup: &DiscoverySetup,
    settings: &Discovery,
    identity: Identity,
    peers: &[FixedPeer],
    observer: &mut Observer,
) {
    let mut client = Dns::new(setup.servers.clone(), true, setup.recorder.clone());
    let expected = fixed_set(&identity, setup.config.start, peers);
    let by_ordinal = || {
        peers
            .iter()
            .zip(setup.config.start.0..)
            .map(|(peer, n)| (Ordinal(n), peer))
    };
    let names: Vec<(Ordinal, String)> = by_ordinal()
        .filter(|(_, peer)| peer.address.is_none())
        .map(|(ordinal, peer)| (ordinal, absolute(&peer.host)))
        .collect();
    loop {
        let failed = if names.is_empty() {
            None
        } else {
            client.refresh().await.err()
        };
        let mut answers: BTreeMap<Ordinal, Answer> = client
            .addresses(names.iter().cloned())
            .await
            .into_iter()
            .collect();
        answers.extend(by_ordinal().filter_map(|(ordinal, peer)| {
            let address = peer.address?;
            let v4 = Reply::Addresses(vec![address]);
            let v6 = Reply::Nothing;
            Some((ordinal, Answer { v4, v6 }))
        }));
        let mut set = answers::fold(
            expected.clone(),
            &observer.memory,
            &answers,
            Source::Fixed,
            unix_ms(),
        );
        if let (Some(reason), Some(stale)) = (failed, &mut set.stale) {
            stale.reason = reason;
        }
        let complete = is_complete(&set) && set.stale.is_none();
        if !observer.tell(set).await {
            return;
        }
        if names.is_empty() {
            // Addresses never change without a new profile.
            pending::<()>().await;
        }
        tokio::time::sleep(pause(settings.interval, complete)).await;
    }
}

/// The set of a fixed list: its hosts in the place of the names that a cluster would give.
fn fixed_set(identity: &Identity, start: Ordinal, peers: &[FixedPeer]) -> PeerSet {
    let desired = u32::try_from(peers.len()).unwrap_or(u32::MAX);
    let mut set = PeerSet::expected(identity.clone(), start, desired);
    for (peer, ordinal) in peers.iter().zip(start.0..) {
        if let Some(replica) = set.replicas.get_mut(&Ordinal(ordinal)) {
            replica.host.clone_from(&peer.host);
        }
    }
    set
}

/// A name with dots is asked for as it stands; one without through the search list.
fn absolute(host: &str) -> String {
    if host.contains('.') && !host.ends_with('.') {
        format!("{host}.")
    } else {
        host.to_owned()
    }
}
