//! What is observed, and when it is published.

use std::net::IpAddr;

use outrigger_peers::{Ordinal, Phase};

use super::*;
use crate::fixture;

/// `db-0` sees this many of its own, each ready.
fn seen(desired: u32, present: &[u8]) -> PeerSet {
    let mut set = fixture::peers(desired);
    for ordinal in present {
        let replica = set.replicas.get_mut(&Ordinal(u32::from(*ordinal)));
        let replica = replica.unwrap();
        replica.phase = Phase::Ready;
        replica.addresses = vec![IpAddr::from([10, 0, 0, *ordinal])];
    }
    set
}

#[tokio::test(start_paused = true)]
async fn a_scale_and_the_newcomers_that_follow_it_are_one_piece_of_news() {
    let (out, mut published) = watch::channel(Arc::new(seen(3, &[])));
    let mut publisher = Publisher {
        settle: Settle::new(seen(3, &[]), Duration::from_millis(500)),
        out: Out::Own(out),
        timeline: Timeline::in_memory(),
        whose: None,
    };
    let (observed, observations) = mpsc::channel(1);
    let start = Instant::now();
    let observe = async move {
        for (after_ms, set) in [
            (0, seen(3, &[0, 1, 2])),
            (60_000, seen(5, &[0, 1, 2])),
            (180, seen(5, &[0, 1, 2, 4])),
            (20, seen(5, &[0, 1, 2, 3, 4])),
            (60_000, seen(5, &[0, 1, 2, 3, 4])),
        ] {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            observed.send(set).await.unwrap();
        }
    };
    let follow = async move {
        publisher.follow(observations).await;
    };
    let news = async move {
        let mut news = Vec::new();
        while published.changed().await.is_ok() {
            let set = published.borrow_and_update();
            let at_ms = start.elapsed().as_millis();
            news.push((at_ms, set.desired, set.seen()));
        }
        news
    };
    let (news, (), ()) = tokio::join!(news, follow, observe);
    assert_eq!(news, [(0, 3, 3), (60_700, 5, 5)]);
}
