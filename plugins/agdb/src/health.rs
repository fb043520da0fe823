//! Whether a replica is healthy, and whose fault it is when it is not. Pure: a look in, a verdict out.

use outrigger_plugin_sdk::{Probe, Reason, Verdict, quorum};

use crate::status::{Look, Row, leader, members, members_of};
use crate::sync::Sync;

/// When to look again while something is wrong, in milliseconds.
const SOON: u32 = 500;

/// The codes of reasons, which are labels of metrics.
pub mod code {
    /// Own: `/api/v1/status` does not answer.
    pub const NOT_ANSWERING: &str = "not-answering";
    /// Own: it runs alone although it should be one of several that run.
    pub const STANDALONE: &str = "standalone";
    /// Own: it runs with a list in which it does not stand under the address that its peers use.
    pub const NOT_A_MEMBER: &str = "not-a-member";
    /// Own: it is taking a snapshot.
    pub const RESYNCING: &str = "resyncing";
    /// Own: it has not caught up with its leader since it started.
    pub const NEVER_SYNCED: &str = "never-synced";
    /// Own: it is further behind the leader than the setting allows.
    pub const LAGGING: &str = "lagging";
    /// Own: its leader has not heard from it.
    pub const UNSEEN_BY_LEADER: &str = "unseen-by-leader";
    /// Cluster: fewer than a majority are up.
    pub const NO_QUORUM: &str = "no-quorum";
    /// Cluster: nobody leads.
    pub const NO_LEADER: &str = "no-leader";
    /// Cluster: not all name the same leader.
    pub const SEVERAL_LEADERS: &str = "several-leaders";
    /// Cluster: replicas run with different lists, because the number of replicas changes.
    pub const MEMBERSHIP_CHANGE: &str = "membership-change";
}

/// The verdict for a probe. `sync` counts for readiness alone.
pub fn judge(probe: Probe, look: &Look, sync: Sync, lag_limit: u64) -> Verdict {
    if !look.own.answers {
        let reason = Reason::own(code::NOT_ANSWERING, "agdb does not answer /api/v1/status");
        return soon(Verdict::fail(vec![reason]));
    }
    match probe {
        // Liveness never depends on peers, and a start is over when the server answers.
        Probe::Startup | Probe::Liveness => Verdict::pass(),
        Probe::Readiness => match &look.own.table {
            Some(rows) => readiness(look, rows, sync, lag_limit),
            None => without_table(look),
        },
    }
}

fn soon(verdict: Verdict) -> Verdict {
    Verdict {
        next_check: Some(SOON),
        ..verdict
    }
}

/// agdb answers, but tells nothing of the cluster in time: it waits up to 5 s for each member that it
/// cannot reach, which it does only when it has no leader.
fn without_table(look: &Look) -> Verdict {
    let mut reasons = Vec::new();
    let up = 1 + look
        .peers
        .iter()
        .filter(|peer| peer.wanted && peer.answers)
        .count();
    reasons.extend(too_few(up, look.wanted.len()));
    reasons.push(Reason::cluster(
        code::NO_LEADER,
        "no leader: agdb waits for members that do not answer before it tells of the cluster",
    ));
    soon(Verdict::fail(reasons))
}

fn too_few(up: usize, members: usize) -> Option<Reason> {
    let needed = majority(members);
    (up < needed).then(|| {
        Reason::cluster(
            code::NO_QUORUM,
            format!(
                "{up} of {members} replicas are up and {needed} are needed: nothing can be written"
            ),
        )
    })
}

fn majority(members: usize) -> usize {
    quorum(u32::try_from(members).unwrap_or(u32::MAX)) as usize
}

fn readiness(look: &Look, rows: &[Row], sync: Sync, lag_limit: u64) -> Verdict {
    let alone = rows.len() == 1;
    let own = if alone && look.wanted.len() <= 1 {
        rows.first()
    } else {
        rows.iter().find(|row| row.address == look.own.url)
    };
    let leader = leader(rows);
    let up = rows.iter().filter(|row| look.is_up(row, rows)).count();
    let strangers: Vec<_> = look.strangers(rows).collect();
    let as_wanted = look.wanted.len() <= 1 || members(rows) == members_of(&look.wanted);

    let mut reasons = Vec::new();
    reasons.extend(own_reasons(look, rows, own, sync, lag_limit));
    let own_fault = !reasons.is_empty();
    let cluster = cluster_reasons(look, rows, up);
    let cluster_fault = !cluster.is_empty();
    if !strangers.is_empty() || !as_wanted {
        reasons.push(membership_change(look, rows, &strangers));
    }
    reasons.extend(cluster);

    let quorate = up >= majority(rows.len());
    let role = match leader {
        Some(leader) if quorate && own.is_some() && !own_fault && !several_leaders(look, rows) => {
            let leads = own.is_some_and(|row| row.address == leader);
            Some(if leads { "leader" } else { "follower" })
        }
        _ => None,
    };
    let mut verdict = if reasons.is_empty() {
        Verdict::pass()
    } else if own_fault || (cluster_fault && strangers.is_empty()) {
        soon(Verdict::fail(reasons))
    } else {
        // While lists differ there is no leader to be had on one side of the change. If that held
        // the replica back, the restart of the others, which ends it, would never come.
        soon(Verdict::degraded(reasons))
    };
    verdict.role = role.map(str::to_owned);
    if look.peers.iter().any(|peer| peer.wanted && !peer.answers) {
        verdict.next_check = Some(SOON);
    }
    attributes(verdict, look, rows, own, up)
}

fn attributes(
    verdict: Verdict,
    look: &Look,
    rows: &[Row],
    own: Option<&Row>,
    up: usize,
) -> Verdict {
    let mut verdict = verdict
        .attr("members", rows.len().to_string())
        .attr("up", up.to_string());
    if let Some(leader) = leader(rows) {
        verdict = verdict.attr("leader", look.name(leader));
    }
    if let Some(own) = own {
        verdict = verdict.attr("executed-index", own.executed_index.to_string());
    }
    verdict
}

fn own_reasons(
    look: &Look,
    rows: &[Row],
    own: Option<&Row>,
    sync: Sync,
    lag_limit: u64,
) -> Vec<Reason> {
    let Some(own) = own else {
        return vec![Reason::own(
            code::NOT_A_MEMBER,
            format!(
                "agdb runs with a list in which {} does not stand",
                look.own.url
            ),
        )];
    };
    let running: Vec<&str> = look
        .peers
        .iter()
        .filter(|peer| peer.wanted && peer.answers)
        .map(|peer| peer.name.as_str())
        .collect();
    if rows.len() == 1 && look.wanted.len() > 1 && !running.is_empty() {
        let message = format!(
            "agdb runs alone, with an empty or own `cluster`, beside {}: their data would part",
            running.join(", ")
        );
        return vec![Reason::own(code::STANDALONE, message)];
    }
    let mut reasons = Vec::new();
    if own.resync {
        reasons.push(Reason::own(
            code::RESYNCING,
            "agdb is taking a snapshot from a peer",
        ));
    } else if let Sync::Behind(target) = sync {
        let message = format!(
            "agdb has executed {} log entries and its leader had {target} when this replica found it: it has \
             not caught up since it started",
            own.executed_index
        );
        reasons.push(Reason::own(code::NEVER_SYNCED, message));
    }
    let Some(leader) = leader(rows).and_then(|url| rows.iter().find(|row| row.address == url))
    else {
        return reasons;
    };
    let lag = leader.executed_index.saturating_sub(own.executed_index);
    if lag > lag_limit {
        let message = format!("{lag} log entries behind the leader, {lag_limit} are allowed");
        reasons.push(Reason::own(code::LAGGING, message));
    }
    if !own.status {
        let message = format!(
            "the leader {} has not heard from this replica",
            look.name(&leader.address)
        );
        reasons.push(Reason::own(code::UNSEEN_BY_LEADER, message));
    }
    reasons
}

/// Whether peers with the same list name another leader.
fn several_leaders(look: &Look, rows: &[Row]) -> bool {
    let mine = leader(rows);
    let other = |peer: &crate::status::Seen| {
        let table = peer.table.as_deref()?;
        let theirs = leader(table)?;
        Some(members(table) == members(rows) && mine.is_some_and(|mine| mine != theirs))
    };
    rows.iter().filter(|row| row.leader).count() > 1
        || look.peers.iter().any(|peer| other(peer) == Some(true))
}

fn cluster_reasons(look: &Look, rows: &[Row], up: usize) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(too_few(up, rows.len()));
    if several_leaders(look, rows) {
        reasons.push(Reason::cluster(
            code::SEVERAL_LEADERS,
            "the replicas do not name the same leader",
        ));
    } else if !rows.iter().any(|row| row.leader) {
        reasons.push(Reason::cluster(
            code::NO_LEADER,
            "no leader: writes are refused until one is elected",
        ));
    }
    reasons
}

fn membership_change(
    look: &Look,
    rows: &[Row],
    strangers: &[(&crate::status::Seen, &[Row])],
) -> Reason {
    let others: Vec<String> = strangers
        .iter()
        .map(|(peer, table)| format!("{} with {}", peer.name, table.len()))
        .collect();
    let wanted = look.wanted.len();
    let mut message = format!(
        "agdb runs with a list of {} members, {wanted} are wanted",
        rows.len()
    );
    if !others.is_empty() {
        message.push_str("; other lists: ");
        message.push_str(&others.join(", "));
    }
    message.push_str(". It ends when all have been restarted");
    Reason::cluster(code::MEMBERSHIP_CHANGE, message)
}

#[cfg(test)]
mod tests {
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
        let followers =
            |own: &'static str| look((2, Some(own)), &[(0, Some("")), (1, Some(""))], 3);
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
}
