//! Who may restart its workload now: one replica at a time, the leader last. Pure but for the time
//! that is handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::reconcile::Observed;

/// How long the others' readiness is waited for.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How long a turn lasts that nobody gives back.
const HOLD_MAX: Duration = Duration::from_mins(3);
/// A waiting replica asks again within 25 s; one that does not is gone.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// A replica that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// When it asked first.
    pub since: Instant,
    /// When it asked last.
    pub asked: Instant,
    /// Why.
    pub reason: String,
}

/// The turns of a StatefulSet.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    waiting: BTreeMap<u32, Waiting>,
    holder: Option<(u32, String, Instant)>,
}

impl Turns {
    /// A replica asks, or asks again.
    pub fn ask(&mut self, ordinal: u32, reason: &str, now: Instant) {
        if self.holder() == Some(ordinal) {
            return;
        }
        self.waiting
            .entry(ordinal)
            .and_modify(|waiting| waiting.asked = now)
            .or_insert_with(|| Waiting {
                since: now,
                asked: now,
                reason: reason.to_owned(),
            });
    }

    /// A replica gives its turn back, or no longer waits.
    pub fn give_back(&mut self, ordinal: u32) {
        self.waiting.remove(&ordinal);
        if self.holder() == Some(ordinal) {
            self.holder = None;
        }
    }

    /// Who has the turn.
    pub fn holder(&self) -> Option<u32> {
        self.holder.as_ref().map(|(ordinal, _, _)| *ordinal)
    }

    /// Gives the turn to the next one that may have it. The answer is a sentence for the log when
    /// something was not as it should be.
    pub fn advance(
        &mut self,
        wanted: std::ops::Range<u32>,
        seen: &Observed,
        now: Instant,
    ) -> Option<String> {
        let mut told = None;
        self.waiting.retain(|ordinal, waiting| {
            seen.contains_key(ordinal) && now.duration_since(waiting.asked) < ASK_AGAIN
        });
        if let Some((ordinal, uid, since)) = &self.holder {
            let same = seen
                .get(ordinal)
                .is_some_and(|pod| pod.uid == *uid && !pod.terminating);
            if !same {
                self.holder = None;
            } else if now.duration_since(*since) >= HOLD_MAX {
                told = Some(format!(
                    "replica {ordinal} did not give its turn back within {} s",
                    HOLD_MAX.as_secs()
                ));
                self.holder = None;
            }
        }
        if self.holder.is_some() {
            return told;
        }
        let next = self
            .waiting
            .iter()
            .filter_map(|(ordinal, waiting)| Some((*ordinal, waiting, seen.get(ordinal)?)))
            .min_by_key(|(ordinal, _, pod)| pod.restart_place(*ordinal));
        let (ordinal, waiting, pod) = next?;
        let others: Vec<u32> = wanted.filter(|other| *other != ordinal).collect();
        let not_ready: Vec<String> = others
            .iter()
            .filter(|other| {
                // One that has never been ready is no loss: perhaps it waits for this restart.
                seen.get(other)
                    .is_some_and(|pod| pod.was_ready && (!pod.ready || pod.terminating))
            })
            .map(ToString::to_string)
            .collect();
        if !not_ready.is_empty() {
            if now.duration_since(waiting.since) < WAIT_MAX {
                return told;
            }
            told = Some(format!(
                "replica {ordinal} restarts though {} is not ready: it has waited for {} s",
                not_ready.join(", "),
                WAIT_MAX.as_secs()
            ));
        }
        self.holder = Some((ordinal, pod.uid.clone(), now));
        self.waiting.remove(&ordinal);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::PodSeen;

    fn seen(word: &str) -> Observed {
        (0_u32..)
            .zip(word.chars())
            .map(|(ordinal, letter)| {
                let pod = PodSeen {
                    uid: format!("u{ordinal}"),
                    ready: matches!(letter, 'r' | 'L'),
                    was_ready: letter != 's',
                    role: (letter == 'L').then(|| "leader".to_owned()),
                    ..PodSeen::default()
                };
                (ordinal, pod)
            })
            .collect()
    }

    #[test]
    fn turns_go_from_the_highest_ordinal_down_the_leader_last() {
        let mut turns = Turns::default();
        let now = Instant::now();
        (0..3).for_each(|ordinal| turns.ask(ordinal, "changed", now));
        let mut order = Vec::new();
        for _ in 0..3 {
            turns.advance(0..3, &seen("rrL"), now);
            let holder = turns.holder().unwrap();
            turns.advance(0..3, &seen("rrL"), now);
            assert_eq!(turns.holder(), Some(holder), "one at a time");
            order.push(holder);
            turns.give_back(holder);
        }
        assert_eq!(order, [1, 0, 2]);
    }

    #[test]
    fn a_turn_waits_until_those_in_service_are_ready_and_not_longer_than_a_minute() {
        let mut turns = Turns::default();
        let now = Instant::now();
        turns.ask(0, "changed", now);
        assert_eq!(turns.advance(0..3, &seen("rnr"), now), None);
        assert_eq!(turns.holder(), None);
        let later = now + Duration::from_secs(25);
        turns.ask(0, "changed", later);
        turns.advance(0..3, &seen("rnr"), later);
        assert_eq!(turns.holder(), None);
        let late = now + Duration::from_mins(1);
        turns.ask(0, "changed", late - Duration::from_secs(10));
        turns.ask(0, "changed", late);
        // It was forgotten in between unless it asked again: here it did.
        let told = turns.advance(0..3, &seen("rnr"), late).unwrap();
        assert!(told.contains("though 1 is not ready"), "{told}");
        assert_eq!(turns.holder(), Some(0));
    }

    #[test]
    fn replicas_that_have_never_been_ready_hold_nobody_up() {
        let mut turns = Turns::default();
        let now = Instant::now();
        turns.ask(0, "two more replicas", now);
        turns.advance(0..3, &seen("rss"), now);
        assert_eq!(turns.holder(), Some(0));
    }

    #[test]
    fn a_turn_ends_with_its_pod() {
        let mut turns = Turns::default();
        let now = Instant::now();
        turns.ask(1, "changed", now);
        turns.advance(0..2, &seen("rr"), now);
        let mut replaced = seen("rr");
        replaced.get_mut(&1).unwrap().uid = "new".to_owned();
        turns.advance(0..2, &replaced, now);
        assert_eq!(turns.holder(), None);
    }
}
