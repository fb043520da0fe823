//! Holds a change back until it has stood for a while, so that flapping replicas move nothing.
//!
//! Pure: observations and instants in, snapshots out. What changes while another change settles is waited
//! for, so that both are one piece of news and the workload is told once. What changes after that settles by
//! itself: no change waits for longer than twice its time, however much another replica flaps.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_peers::{Ordinal, PeerSet, Replica};
use tokio::time::Instant;

/// The snapshot that stands and the changes that do not yet.
#[derive(Debug)]
pub(crate) struct Settle {
    hold: Duration,
    standing: PeerSet,
    /// Whether every wanted replica has been seen at the same time once.
    was_complete: bool,
    latest: Option<PeerSet>,
    replicas: BTreeMap<Ordinal, Held<Option<Replica>>>,
    desired: Option<Held<u32>>,
}

/// A value that differs from what stands, and since when it has been this one.
#[derive(Debug)]
struct Held<T> {
    value: T,
    since: Instant,
}

impl Settle {
    /// Starts from what is known before anything was learnt.
    pub(crate) fn new(standing: PeerSet, hold: Duration) -> Self {
        Self {
            hold,
            standing,
            was_complete: false,
            latest: None,
            replicas: BTreeMap::new(),
            desired: None,
        }
    }

    /// The snapshot that stands, with the newest time of confirmation.
    pub(crate) fn standing(&self) -> &PeerSet {
        &self.standing
    }

    /// How long changes must stand from now on.
    pub(crate) fn set_hold(&mut self, hold: Duration) {
        self.hold = hold;
    }

    /// Takes an observation. Returns the next snapshot, with the next revision, when something is due
    /// now: a change that has stood long enough, the first complete observation, or the news that
    /// look-ups fail or work again.
    pub(crate) fn offer(&mut self, observed: PeerSet, now: Instant) -> Option<PeerSet> {
        self.standing.confirmed_unix_ms = observed.confirmed_unix_ms;
        let complete = observed.stale.is_none() && is_complete(&observed);
        let at_once = complete && !self.was_complete;
        self.was_complete |= complete;
        self.track(&observed, now);
        self.latest = Some(observed);
        if at_once {
            return self.release(now, Duration::ZERO);
        }
        self.release(now, self.hold)
    }

    /// Returns the next snapshot when time alone has made a change due.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<PeerSet> {
        self.release(now, self.hold)
    }

    /// When [`Settle::tick`] should be called: once everything has stood that began while the first change
    /// settled.
    pub(crate) fn due(&self) -> Option<Instant> {
        let settled = self.since().min()? + self.hold;
        let joined = self.since().filter(|since| *since < settled);
        joined.max().map(|last| last + self.hold)
    }

    /// Since when each change stands.
    fn since(&self) -> impl Iterator<Item = Instant> + '_ {
        let replicas = self.replicas.values().map(|held| held.since);
        replicas.chain(self.desired.iter().map(|held| held.since))
    }

    fn track(&mut self, observed: &PeerSet, now: Instant) {
        let mut held = std::mem::take(&mut self.replicas);
        let ordinals = observed
            .replicas
            .keys()
            .chain(self.standing.replicas.keys());
        for ordinal in ordinals.copied() {
            let seen = observed.replicas.get(&ordinal);
            if seen == self.standing.replicas.get(&ordinal) {
                continue;
            }
            let since = match held.remove(&ordinal) {
                Some(held) if held.value.as_ref() == seen => held.since,
                _ => self
                    .replicas
                    .get(&ordinal)
                    .map_or(now, |tracked| tracked.since),
            };
            let value = seen.cloned();
            self.replicas.insert(ordinal, Held { value, since });
        }
        self.desired = (observed.desired != self.standing.desired).then_some(Held {
            value: observed.desired,
            since: match &self.desired {
                Some(held) if held.value == observed.desired => held.since,
                _ => now,
            },
        });
    }

    fn release(&mut self, now: Instant, hold: Duration) -> Option<PeerSet> {
        // Without a hold nobody waits for anybody.
        let settled = hold.is_zero() || self.due().is_some_and(|due| due <= now);
        let latest = self.latest.as_ref()?;
        let mut next = self.standing.clone();
        next.identity = latest.identity.clone();
        next.start = latest.start;
        next.source = latest.source;
        next.stale.clone_from(&latest.stale);
        let is_due = |since: Instant| settled && now.saturating_duration_since(since) >= hold;
        self.replicas.retain(|ordinal, held| {
            if !is_due(held.since) {
                return true;
            }
            match held.value.take() {
                Some(replica) => next.replicas.insert(*ordinal, replica),
                None => next.replicas.remove(ordinal),
            };
            false
        });
        if let Some(held) = &self.desired
            && is_due(held.since)
        {
            next.desired = held.value;
            self.desired = None;
        }
        let news = !next.changes(&self.standing).is_empty()
            || next.replicas != self.standing.replicas
            || next.identity != self.standing.identity
            || next.start != self.standing.start
            || next.source != self.standing.source;
        if !news {
            return None;
        }
        next.revision = self.standing.revision.saturating_add(1);
        self.standing = next;
        Some(self.standing.clone())
    }
}

/// Whether every wanted replica is known to be there.
pub(crate) fn is_complete(set: &PeerSet) -> bool {
    set.desired > 0 && set.wanted().all(|replica| !replica.addresses.is_empty())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use outrigger_peers::{Phase, Staleness};

    use super::*;
    use crate::fixture::peers as expected;

    const HOLD: Duration = Duration::from_millis(500);

    /// `desired` replicas of which these are there.
    fn with(desired: u32, present: &[u32]) -> PeerSet {
        let mut set = expected(desired);
        for ordinal in present {
            let ordinal = Ordinal(*ordinal);
            let mut replica = Replica::expected(
                ordinal,
                format!("db-{ordinal}"),
                set.identity.host_of(ordinal),
            );
            replica.phase = Phase::Ready;
            replica.addresses = vec![IpAddr::from([10, 0, 0, u8::try_from(ordinal.0).unwrap()])];
            set.replicas.insert(ordinal, replica);
        }
        set
    }

    fn ms(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn the_first_complete_snapshot_passes_at_once() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(3), HOLD);
        let passed = settle.offer(with(3, &[0, 1, 2]), t).unwrap();
        assert_eq!(passed.revision, 1);
        assert_eq!(passed.seen(), 3);
        assert_eq!(settle.due(), None);
    }

    #[test]
    fn an_incomplete_first_snapshot_settles() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(3), HOLD);
        assert_eq!(settle.offer(with(3, &[0]), t), None);
        assert_eq!(settle.due(), Some(ms(t, 500)));
        assert_eq!(settle.tick(ms(t, 499)), None);
        assert_eq!(settle.tick(ms(t, 500)).unwrap().seen(), 1);
    }

    #[test]
    fn a_flapping_replica_moves_nothing() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(2), HOLD);
        settle.offer(with(2, &[0, 1]), t).unwrap();
        for round in 1..20 {
            let present: &[u32] = if round % 2 == 0 { &[0, 1] } else { &[0] };
            assert_eq!(settle.offer(with(2, present), ms(t, round * 400)), None);
        }
        assert_eq!(settle.standing().revision, 1);
    }

    #[test]
    fn one_flapping_replica_does_not_delay_the_news_of_another() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(3), HOLD);
        settle.offer(with(3, &[0, 1, 2]), t).unwrap();
        assert_eq!(settle.offer(with(3, &[0]), ms(t, 100)), None);
        assert_eq!(settle.offer(with(3, &[0, 2]), ms(t, 300)), None);
        let passed = settle.offer(with(3, &[0]), ms(t, 600)).unwrap();
        assert_eq!(passed.replicas[&Ordinal(1)].phase, Phase::Unknown);
        assert_eq!(passed.replicas[&Ordinal(2)].phase, Phase::Ready);
    }

    #[test]
    fn what_changes_together_passes_together() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(1), HOLD);
        settle.offer(with(1, &[0]), t).unwrap();
        assert_eq!(settle.offer(with(3, &[0, 1, 2]), ms(t, 10)), None);
        let passed = settle.tick(ms(t, 510)).unwrap();
        assert_eq!((passed.desired, passed.seen()), (3, 3));
        assert_eq!(settle.tick(ms(t, 900)), None);
    }

    #[test]
    fn what_changes_while_another_change_settles_passes_with_it() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(3), HOLD);
        settle.offer(with(3, &[0, 1, 2]), t).unwrap();
        settle.offer(with(5, &[0, 1, 2]), ms(t, 100));
        settle.offer(with(5, &[0, 1, 2, 4]), ms(t, 280));
        settle.offer(with(5, &[0, 1, 2, 3, 4]), ms(t, 300));
        assert_eq!(settle.due(), Some(ms(t, 800)));
        assert_eq!(settle.tick(ms(t, 799)), None);
        let passed = settle.tick(ms(t, 800)).unwrap();
        assert_eq!((passed.revision, passed.desired, passed.seen()), (2, 5, 5));
        assert_eq!(settle.due(), None);
    }

    #[test]
    fn no_change_waits_for_longer_than_twice_its_time() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(3), HOLD);
        settle.offer(with(3, &[0, 1, 2]), t).unwrap();
        settle.offer(with(3, &[0, 2]), ms(t, 100));
        // Another one flaps, and goes at the last moment at which it is waited for.
        assert_eq!(settle.offer(with(3, &[0]), ms(t, 300)), None);
        assert_eq!(settle.offer(with(3, &[0, 2]), ms(t, 500)), None);
        assert_eq!(settle.offer(with(3, &[0]), ms(t, 599)), None);
        assert_eq!(settle.due(), Some(ms(t, 1099)));
        assert_eq!(settle.offer(with(3, &[0]), ms(t, 1098)), None);
        let passed = settle.offer(with(3, &[0, 2]), ms(t, 1098)).unwrap();
        assert_eq!(passed.replicas[&Ordinal(1)].phase, Phase::Unknown);
        assert_eq!(passed.replicas[&Ordinal(2)].phase, Phase::Ready);
    }

    #[test]
    fn failing_look_ups_are_told_at_once_and_move_no_replica() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(2), HOLD);
        settle.offer(with(2, &[0, 1]), t).unwrap();
        let mut stale = with(2, &[0, 1]);
        stale.stale = Some(Staleness {
            since_unix_ms: 1,
            reason: "timeout".into(),
        });
        let passed = settle.offer(stale, ms(t, 10)).unwrap();
        assert!(passed.stale.is_some());
        assert_eq!(passed.seen(), 2);
        assert!(
            settle
                .offer(with(2, &[0, 1]), ms(t, 20))
                .unwrap()
                .stale
                .is_none()
        );
    }

    #[test]
    fn an_unchanged_observation_only_renews_the_confirmation() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(1), HOLD);
        settle.offer(with(1, &[0]), t).unwrap();
        let mut later = with(1, &[0]);
        later.confirmed_unix_ms = 77;
        assert_eq!(settle.offer(later, ms(t, 1000)), None);
        assert_eq!(settle.standing().confirmed_unix_ms, 77);
        assert_eq!(settle.standing().revision, 1);
    }

    #[test]
    fn a_replica_that_left_is_dropped_once_it_settled() {
        let t = Instant::now();
        let mut settle = Settle::new(expected(2), HOLD);
        settle.offer(with(2, &[0, 1]), t).unwrap();
        settle.offer(with(1, &[0]), ms(t, 1));
        let passed = settle.tick(ms(t, 501)).unwrap();
        assert_eq!(passed.desired, 1);
        assert!(!passed.replicas.contains_key(&Ordinal(1)));
    }
}
