//! What to do next with the pods of a StatefulSet: pure, after the StatefulSet controller of
//! Kubernetes (`pkg/controller/statefulset/stateful_set_control.go`).

use std::collections::BTreeMap;

use outrigger_peers::{Ordinal, RestartPlace};

/// In which order pods come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// One after the other, each once those before it are ready.
    #[default]
    OrderedReady,
    /// All at once.
    Parallel,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The first ordinal.
    pub start: u32,
    /// How many.
    pub replicas: u32,
    /// In which order.
    pub policy: Policy,
    /// The restart of every replica, while it lasts.
    pub roll: Option<Roll>,
    /// Whether a replica has the turn to restart its workload.
    pub turn_taken: bool,
    /// Whether everything should end.
    pub down: bool,
}

/// A restart of every replica.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roll {
    /// The pods to replace, by ordinal, with the uid that they had when it began.
    pub pending: BTreeMap<u32, String>,
}

/// What is seen of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, as conditions of a pod are"
)]
pub struct PodSeen {
    /// New with each pod.
    pub uid: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is ready for `minReadySeconds`.
    pub available: bool,
    /// Whether it has been ready.
    pub was_ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The role that its sidecar published.
    pub role: Option<String>,
}

impl PodSeen {
    /// Its place in the order of restarts.
    pub(super) fn restart_place(&self, ordinal: u32) -> RestartPlace {
        RestartPlace::of(self.role.as_deref(), Ordinal(ordinal))
    }
}

/// What is seen.
pub type Observed = BTreeMap<u32, PodSeen>;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the pod with this ordinal.
    Create(u32),
    /// Delete it, in order.
    Delete(u32),
    /// Every replica was restarted.
    RollDone,
}

impl State {
    /// The ordinals that there should be.
    pub fn wanted(&self) -> std::ops::Range<u32> {
        if self.down {
            self.start..self.start
        } else {
            self.start..self.start.saturating_add(self.replicas)
        }
    }
}

/// What to do now. Doing it and asking again leads to what is wanted.
pub fn reconcile(state: &State, seen: &Observed) -> Vec<Action> {
    if state.down {
        return seen
            .iter()
            .rev()
            .filter(|(_, pod)| !pod.terminating)
            .map(|(ordinal, _)| Action::Delete(*ordinal))
            .collect();
    }
    let wanted = state.wanted();
    let ordered = state.policy == Policy::OrderedReady;
    let mut actions = Vec::new();
    for ordinal in wanted.clone() {
        match seen.get(&ordinal) {
            None => {
                actions.push(Action::Create(ordinal));
                if ordered {
                    return actions;
                }
            }
            Some(pod) if ordered && (pod.terminating || !pod.available) => return actions,
            Some(_) => {}
        }
    }
    let healthy = |pod: &PodSeen| pod.ready && !pod.terminating;
    let first_unhealthy = seen
        .iter()
        .find(|(_, pod)| !healthy(pod))
        .map(|(ordinal, _)| *ordinal);
    let mut condemned = false;
    for (ordinal, pod) in seen.iter().rev().filter(|(o, _)| !wanted.contains(o)) {
        condemned = true;
        if pod.terminating {
            if ordered {
                return actions;
            }
            continue;
        }
        // One that is not ready goes only when nothing before it is worse.
        if ordered && !healthy(pod) && first_unhealthy != Some(*ordinal) {
            return actions;
        }
        actions.push(Action::Delete(*ordinal));
        if ordered {
            return actions;
        }
    }
    if actions.is_empty() && !condemned {
        actions.extend(roll(state, seen));
    }
    actions
}

/// The next step of a roll: none while something is not ready.
fn roll(state: &State, seen: &Observed) -> Option<Action> {
    let roll = state.roll.as_ref()?;
    let all_ready = state.wanted().all(|ordinal| {
        seen.get(&ordinal)
            .is_some_and(|pod| pod.ready && pod.available && !pod.terminating)
    });
    if !all_ready || state.turn_taken {
        return None;
    }
    let next = roll
        .pending
        .iter()
        .filter_map(|(ordinal, uid)| seen.get(ordinal).map(|pod| (ordinal, uid, pod)))
        .filter(|(_, uid, pod)| pod.uid == **uid)
        .min_by_key(|(ordinal, _, pod)| pod.restart_place(**ordinal));
    Some(match next {
        Some((ordinal, _, _)) => Action::Delete(*ordinal),
        None => Action::RollDone,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Create, Delete, RollDone};

    fn state(replicas: u32, policy: Policy) -> State {
        State {
            replicas,
            policy,
            ..State::default()
        }
    }

    /// `r` ready, `s` starting, `t` terminating, `n` was ready and is not, `L` ready leader, `.`
    /// not there; the place is the ordinal.
    fn seen(word: &str) -> Observed {
        (0_u32..)
            .zip(word.chars())
            .filter(|(_, letter)| *letter != '.')
            .map(|(ordinal, letter)| {
                let ready = matches!(letter, 'r' | 'L');
                let pod = PodSeen {
                    uid: format!("u{ordinal}"),
                    ready,
                    available: ready,
                    was_ready: ready || letter == 'n',
                    terminating: letter == 't',
                    role: (letter == 'L').then(|| "leader".to_owned()),
                };
                (ordinal, pod)
            })
            .collect()
    }

    #[test]
    fn pods_come_and_go_in_the_order_of_the_policy() {
        use Policy::{OrderedReady, Parallel};
        let table = [
            ("nothing there", OrderedReady, 3, "", vec![Create(0)]),
            ("first starts", OrderedReady, 3, "s", vec![]),
            ("first ready", OrderedReady, 3, "r", vec![Create(1)]),
            (
                "a gap is filled first",
                OrderedReady,
                3,
                "r.r",
                vec![Create(1)],
            ),
            ("one before is not ready", OrderedReady, 3, "nr", vec![]),
            ("all there", OrderedReady, 3, "rrr", vec![]),
            ("down by two", OrderedReady, 1, "rrr", vec![Delete(2)]),
            ("one at a time", OrderedReady, 1, "rrt", vec![]),
            ("then the next", OrderedReady, 1, "rr", vec![Delete(1)]),
            (
                "no way down while one is not ready",
                OrderedReady,
                1,
                "nrr",
                vec![],
            ),
            (
                "the unready one itself may go",
                OrderedReady,
                1,
                "rrn",
                vec![Delete(2)],
            ),
            ("a worse one is before", OrderedReady, 1, "rnn", vec![]),
            (
                "a terminating one comes back",
                OrderedReady,
                2,
                "rt",
                vec![],
            ),
            ("to zero", OrderedReady, 0, "r", vec![Delete(0)]),
            (
                "parallel",
                Parallel,
                3,
                "",
                vec![Create(0), Create(1), Create(2)],
            ),
            (
                "parallel does not wait",
                Parallel,
                3,
                "s.n",
                vec![Create(1)],
            ),
            (
                "parallel goes at once",
                Parallel,
                1,
                "rrn",
                vec![Delete(2), Delete(1)],
            ),
            ("both ways", Parallel, 1, ".rt", vec![Create(0), Delete(1)]),
        ];
        for (name, policy, replicas, pods, expected) in table {
            assert_eq!(
                reconcile(&state(replicas, policy), &seen(pods)),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn ordinals_begin_at_start() {
        let state = State {
            start: 5,
            ..state(2, Policy::Parallel)
        };
        assert_eq!(reconcile(&state, &Observed::new()), [Create(5), Create(6)]);
    }

    #[test]
    fn everything_is_deleted_at_once_when_it_should_end() {
        let state = State {
            down: true,
            ..state(3, Policy::OrderedReady)
        };
        assert_eq!(reconcile(&state, &seen("rtn")), [Delete(2), Delete(0)]);
    }

    #[test]
    fn a_roll_goes_from_the_highest_ordinal_down_and_takes_the_leader_last() {
        let rolling = |done: &[u32]| State {
            roll: Some(Roll {
                pending: (0..3)
                    .map(|ordinal| {
                        // One that was replaced has another uid now.
                        let before = if done.contains(&ordinal) { "old" } else { "u" };
                        (ordinal, format!("{before}{ordinal}"))
                    })
                    .collect(),
            }),
            ..state(3, Policy::Parallel)
        };
        let table = [
            ("first", &[][..], "rrL", vec![Delete(1)]),
            ("waits", &[], "rtL", vec![]),
            ("waits for the new one", &[1], "rsL", vec![]),
            ("next", &[1], "rrL", vec![Delete(0)]),
            ("leader last", &[1, 0], "rrL", vec![Delete(2)]),
            ("leadership moved", &[1, 0], "Lrr", vec![Delete(2)]),
            ("no roles", &[], "rrr", vec![Delete(2)]),
            ("done", &[0, 1, 2], "Lrr", vec![RollDone]),
        ];
        for (name, done, pods, expected) in table {
            assert_eq!(reconcile(&rolling(done), &seen(pods)), expected, "{name}");
        }
        let mut taken = rolling(&[]);
        taken.turn_taken = true;
        assert_eq!(
            reconcile(&taken, &seen("rrL")),
            [],
            "a replica restarts by itself"
        );
        let mut grown = rolling(&[]);
        grown.replicas = 4;
        assert_eq!(
            reconcile(&grown, &seen("rrL")),
            [Create(3)],
            "first what is missing"
        );
    }

    #[test]
    fn whatever_is_seen_doing_what_is_decided_leads_to_what_is_wanted() {
        use proptest::prelude::*;
        proptest!(|(
            word in "[rsnt.L]{0,6}", replicas in 0_u32..6, ordered: bool, rolling: bool
        )| {
            let policy = if ordered { Policy::OrderedReady } else { Policy::Parallel };
            let mut state = state(replicas, policy);
            let mut pods = seen(&word);
            if rolling {
                let pending = pods.iter().map(|(o, p)| (*o, p.uid.clone())).collect();
                state.roll = Some(Roll { pending });
            }
            let mut fresh = 0;
            for _ in 0..100 {
                for action in reconcile(&state, &pods) {
                    match action {
                        Create(ordinal) => {
                            prop_assert!(state.wanted().contains(&ordinal));
                            fresh += 1;
                            let pod = PodSeen { uid: format!("new{fresh}"), ..PodSeen::default() };
                            prop_assert!(pods.insert(ordinal, pod).is_none());
                        }
                        Delete(ordinal) => {
                            pods.get_mut(&ordinal).unwrap().terminating = true;
                        }
                        RollDone => state.roll = None,
                    }
                }
                // Time passes: what ends is gone, what starts becomes ready.
                pods.retain(|_, pod| !pod.terminating);
                for pod in pods.values_mut() {
                    pod.ready = true;
                    pod.available = true;
                }
            }
            prop_assert_eq!(pods.keys().copied().collect::<Vec<_>>(), state.wanted().collect::<Vec<_>>());
            prop_assert!(state.roll.is_none());
        });
    }
}
