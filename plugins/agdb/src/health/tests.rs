//! The states of clusters, and what a replica says of itself in each.

use super::*;
use crate::status::tests::look;
use outrigger_plugin_sdk::Status;

/// A case: what the own server and the peers answer (short tables, `Some("")` = only `/status`),
/// and what the verdict is: status, role, codes.
struct Case {
    name: &'static str,
    own: (u32, Option<&'static str>),
    peers: &'static [(u32, Option<&'static str>)],
    desired: u32,
    verdict: (Status, Option<&'static str>, &'static [&'static str]),
}

fn check(cases: &[Case]) {
    for case in cases {
        let look = look(case.own, case.peers, case.desired);
        let verdict = judge(Probe::Readiness, &look, Sync::Done, 100);
        let codes: Vec<&str> = verdict.reasons.iter().map(|r| r.code.as_str()).collect();
        let found = (verdict.status, verdict.role.as_deref(), codes.as_slice());
        assert_eq!(found, case.verdict, "{}", case.name);
    }
}

const HEALTHY: &str = "0:UL5 1:U-5 2:U-5";
const UNLED: &str = "0:U-0 1:U-0 2:U-0";

#[test]
fn the_states_of_three_replicas_are_told_apart() {
    check(&[
        Case {
            name: "a leader with all others",
            own: (0, Some(HEALTHY)),
            peers: &[(1, Some(HEALTHY)), (2, Some(HEALTHY))],
            desired: 3,
            verdict: (Status::Pass, Some("leader"), &[]),
        },
        Case {
            name: "a follower",
            own: (2, Some(HEALTHY)),
            peers: &[(0, Some("")), (1, Some(""))],
            desired: 3,
            verdict: (Status::Pass, Some("follower"), &[]),
        },
        Case {
            name: "before the first leader",
            own: (0, Some(UNLED)),
            peers: &[(1, Some(UNLED)), (2, Some(UNLED))],
            desired: 3,
            verdict: (Status::Fail, None, &["no-leader"]),
        },
        Case {
            name: "the leader was killed, seen from a follower",
            own: (0, Some("0:U-2 1:d-0 2:U-0")),
            peers: &[(1, None), (2, Some("0:U-0 1:d-0 2:U-2"))],
            desired: 3,
            verdict: (Status::Fail, None, &["no-leader"]),
        },
        Case {
            name: "a new leader without the killed one",
            own: (0, Some("0:UL7 1:d-0 2:U-6")),
            peers: &[(1, None), (2, Some("0:UL7 1:d-0 2:U-6"))],
            desired: 3,
            verdict: (Status::Pass, Some("leader"), &[]),
        },
        Case {
            name: "two of three killed, at once: the leader's table has not noticed",
            own: (0, Some("0:UL7 1:d-0 2:U-6")),
            peers: &[(1, None), (2, None)],
            desired: 3,
            verdict: (Status::Fail, None, &["no-quorum"]),
        },
        Case {
            name: "two of three killed, later: it calls itself leader for ever",
            own: (0, Some("0:UL7 1:d-0 2:d-6")),
            peers: &[(1, None), (2, None)],
            desired: 3,
            verdict: (Status::Fail, None, &["no-quorum"]),
        },
        Case {
            name: "a follower survives alone",
            own: (1, Some("0:d-0 1:U-11 2:d-0")),
            peers: &[(0, None), (2, None)],
            desired: 3,
            verdict: (Status::Fail, None, &["no-quorum", "no-leader"]),
        },
        Case {
            name: "the others are back, one lags within the limit",
            own: (1, Some("0:UL10 1:U-3 2:U-7")),
            peers: &[(0, Some("")), (2, Some(""))],
            desired: 3,
            verdict: (Status::Pass, Some("follower"), &[]),
        },
        Case {
            name: "too far behind",
            own: (1, Some("0:UL104 1:U-3 2:U-104")),
            peers: &[(0, Some("")), (2, Some(""))],
            desired: 3,
            verdict: (Status::Fail, None, &["lagging"]),
        },
        Case {
            name: "taking a snapshot",
            own: (2, Some("0:UL12 1:U-12 2:UR0")),
            peers: &[(0, Some("")), (1, Some(""))],
            desired: 3,
            verdict: (Status::Fail, None, &["resyncing"]),
        },
        Case {
            name: "the leader does not hear this follower",
            own: (2, Some("0:UL12 1:U-12 2:d-12")),
            peers: &[(0, Some("")), (1, Some(""))],
            desired: 3,
            verdict: (Status::Fail, None, &["unseen-by-leader"]),
        },
        Case {
            name: "the others have a leader that still tries this one's former address",
            own: (1, Some("0:U-0 1:U-4 2:U-0")),
            peers: &[
                (0, Some("0:UL5 1:d-0 2:U-5")),
                (2, Some("0:UL5 1:d-0 2:U-5")),
            ],
            desired: 3,
            verdict: (Status::Fail, None, &["unled"]),
        },
        Case {
            name: "one that calls itself leader is no majority",
            own: (1, Some("0:U-0 1:U-4 2:U-0")),
            peers: &[
                (0, Some("0:UL5 1:d-0 2:d-0")),
                (2, Some("0:U-0 1:U-0 2:U-5")),
            ],
            desired: 3,
            verdict: (Status::Fail, None, &["no-leader"]),
        },
        Case {
            name: "two name themselves leader with the same list",
            own: (0, Some(HEALTHY)),
            peers: &[(1, Some("0:U-5 1:UL5 2:U-5")), (2, Some(HEALTHY))],
            desired: 3,
            verdict: (Status::Fail, None, &["several-leaders"]),
        },
        Case {
            name: "agdb is there and waits for members before it tells of the cluster",
            own: (1, Some("")),
            peers: &[(0, None), (2, None)],
            desired: 3,
            verdict: (Status::Fail, None, &["no-quorum", "no-leader"]),
        },
        Case {
            name: "agdb is not there",
            own: (1, None),
            peers: &[(0, Some("")), (2, Some(""))],
            desired: 3,
            verdict: (Status::Fail, None, &["not-answering"]),
        },
    ]);
}

#[test]
fn a_single_replica_is_healthy_alone() {
    check(&[
        Case {
            name: "without a list, under whatever address",
            own: (0, Some("7:UL3")),
            peers: &[],
            desired: 1,
            verdict: (Status::Pass, Some("leader"), &[]),
        },
        Case {
            name: "without a list beside others: their data would part",
            own: (0, Some("0:UL3")),
            peers: &[(1, Some("")), (2, None)],
            desired: 3,
            verdict: (Status::Fail, None, &["standalone", "membership-change"]),
        },
        Case {
            name: "on the way from one to three it goes on until its restart",
            own: (0, Some("0:UL3")),
            peers: &[(1, None), (2, None)],
            desired: 3,
            verdict: (Status::Degraded, Some("leader"), &["membership-change"]),
        },
    ]);
}

#[test]
fn three_to_five_progresses_with_a_gate_between_the_restarts() {
    const OLD: &str = "0:UL5 1:U-5 2:U-5";
    const NEW: &str = "0:U-0 1:U-0 2:U-5 3:d-0 4:d-0";
    check(&[
        Case {
            name: "an old member before any restart is healthy and says what is coming",
            own: (0, Some(OLD)),
            peers: &[(1, Some(OLD)), (2, Some(OLD)), (3, None), (4, None)],
            desired: 5,
            verdict: (Status::Degraded, Some("leader"), &["membership-change"]),
        },
        Case {
            name: "the first with the new list does not hold up the next",
            own: (2, Some(NEW)),
            peers: &[(0, Some(OLD)), (1, Some(OLD)), (3, None), (4, None)],
            desired: 5,
            verdict: (
                Status::Degraded,
                None,
                &["membership-change", "no-quorum", "no-leader"],
            ),
        },
        Case {
            name: "the old leader still has a majority of the old list",
            own: (0, Some(OLD)),
            peers: &[(1, Some(OLD)), (2, Some(NEW)), (3, None), (4, None)],
            desired: 5,
            verdict: (Status::Degraded, Some("leader"), &["membership-change"]),
        },
        Case {
            name: "then it has none, though its own table says that all are up",
            own: (0, Some(OLD)),
            peers: &[
                (1, Some("0:U-0 1:U-5 2:U-0 3:d-0 4:d-0")),
                (2, Some(NEW)),
                (3, None),
                (4, None),
            ],
            desired: 5,
            verdict: (Status::Degraded, None, &["membership-change", "no-quorum"]),
        },
        Case {
            name: "three of five have a leader, the newcomers may come",
            own: (0, Some("0:UL6 1:U-5 2:U-5 3:d-0 4:d-0")),
            peers: &[
                (1, Some("0:UL6 1:U-5 2:U-5 3:d-0 4:d-0")),
                (2, Some("0:UL6 1:U-5 2:U-5 3:d-0 4:d-0")),
                (3, None),
                (4, None),
            ],
            desired: 5,
            verdict: (Status::Pass, Some("leader"), &[]),
        },
        Case {
            name: "a newcomer takes its snapshot",
            own: (3, Some("0:UL600 1:U-600 2:U-600 3:UR0 4:U-600")),
            peers: &[(0, Some("")), (1, Some("")), (2, Some("")), (4, Some(""))],
            desired: 5,
            verdict: (Status::Fail, None, &["resyncing", "lagging"]),
        },
    ]);
}

#[test]
fn five_to_three_progresses_too() {
    check(&[
        Case {
            name: "the two are gone, the list is still that of five",
            own: (1, Some("0:UL8 1:U-8 2:U-8 3:d-7 4:d-7")),
            peers: &[(0, Some("")), (2, Some(""))],
            desired: 3,
            verdict: (Status::Degraded, Some("follower"), &["membership-change"]),
        },
        Case {
            name: "the first with the new list",
            own: (2, Some("0:U-0 1:U-0 2:U-8")),
            peers: &[
                (0, Some("0:UL8 1:U-8 2:U-8 3:d-7 4:d-7")),
                (1, Some("0:UL8 1:U-8 2:U-8 3:d-7 4:d-7")),
            ],
            desired: 3,
            verdict: (
                Status::Degraded,
                None,
                &["membership-change", "no-quorum", "no-leader"],
            ),
        },
        Case {
            name: "the new list has a leader beside the last old one",
            own: (1, Some("0:U-8 1:UL9 2:U-9")),
            peers: &[
                (0, Some("0:UL8 1:U-9 2:U-9 3:d-0 4:d-0")),
                (2, Some("0:U-8 1:UL9 2:U-9")),
            ],
            desired: 3,
            verdict: (Status::Degraded, Some("leader"), &["membership-change"]),
        },
    ]);
}

#[test]
fn liveness_and_startup_ask_only_whether_the_server_answers() {
    let alone = look((0, Some("0:UL7 1:d-0 2:d-0")), &[(1, None), (2, None)], 3);
    assert_eq!(
        judge(Probe::Liveness, &alone, Sync::Unknown, 100),
        Verdict::pass()
    );
    assert_eq!(
        judge(Probe::Startup, &alone, Sync::Unknown, 100),
        Verdict::pass()
    );
    let dead = look((0, None), &[], 3);
    assert_eq!(
        judge(Probe::Liveness, &dead, Sync::Unknown, 100).reasons[0].code,
        code::NOT_ANSWERING
    );
}

#[test]
fn one_missed_answer_of_a_peer_is_a_hiccup() {
    let mut look = look((0, Some(HEALTHY)), &[(1, None), (2, None)], 3);
    for peer in &mut look.peers {
        peer.misses = 1;
    }
    let verdict = judge(Probe::Readiness, &look, Sync::Done, 100);
    assert_eq!(
        (verdict.status, verdict.next_check),
        (Status::Pass, Some(SOON))
    );
}

#[test]
fn a_replica_that_never_caught_up_is_not_ready_however_large_the_lag_limit_is() {
    let followers = |own: &'static str| look((2, Some(own)), &[(0, Some("")), (1, Some(""))], 3);
    let codes = |look: &Look, sync: Sync| {
        let verdict = judge(Probe::Readiness, look, sync, 1_000_000);
        let codes: Vec<String> = verdict.reasons.into_iter().map(|r| r.code).collect();
        (verdict.status, verdict.role, codes.join(" "))
    };
    let failed = |codes: &str| (Status::Fail, None, codes.to_owned());
    let empty = followers("0:UL12 1:U-12 2:U-0");
    let first = Sync::Unknown.after(&empty);
    assert_eq!(codes(&empty, first), failed("never-synced"));
    let some = followers("0:UL14 1:U-14 2:U-7");
    assert_eq!(codes(&some, first.after(&some)), failed("never-synced"));
    let snapshot = followers("0:UL12 1:U-12 2:UR0");
    assert_eq!(
        codes(&snapshot, Sync::Unknown.after(&snapshot)),
        failed("resyncing"),
        "one reason is enough"
    );
    let even = followers("0:UL20 1:U-20 2:U-13");
    assert_eq!(
        codes(&even, first.after(&even)),
        (Status::Pass, Some("follower".to_owned()), String::new()),
        "what its leader had at first is reached, the rest is lag"
    );
}
