//! What a look comes to: whether this replica should take requests, and what people should know. Pure.
//!
//! A split is no reason to cut off everybody: the largest cluster (of equal ones, that with the lowest
//! ordinal) stays in service and says so, the replicas of the others leave it. All of them come to the same
//! answer, since all of them ask all.

use outrigger_plugin_sdk::{Reason, Replica, Verdict};

use crate::cluster::{Look, Member};
use crate::nodes::{NodeStatus, is_id_of};

/// How long a split must last before one that has been a member counts it: Piko notices a death within
/// 1.7 s and retries a join after 1, 2 and 4.5 s.
pub const SETTLE_MS: u64 = 10_000;

/// What was known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Whether this very process of Piko has been a ready member.
    pub joined: bool,
    /// How long there have been strangers, in milliseconds.
    pub split_ms: u64,
}

/// The verdict on readiness, and whether there are strangers.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether there are replicas that run and are not of this one's cluster.
    pub split: bool,
}

/// Judges a look.
pub fn judge(look: &Look, memory: Memory) -> Judged {
    let told = |verdict: Verdict, split| Judged {
        verdict: attrs(verdict, look),
        split,
    };
    let Some(own) = look.own() else {
        let reason = Reason::own("not-a-replica", "this replica is not among the replicas");
        return told(Verdict::fail(vec![reason]), false);
    };
    if !look.ready {
        let reason = Reason::own("not-ready", "Piko's /ready does not answer with 200");
        return told(Verdict::fail(vec![reason]), false);
    }
    if look.nodes().is_none() {
        let reason = Reason::own("no-status", "Piko does not tell its list of nodes");
        return told(Verdict::fail(vec![reason]), false);
    }
    let clusters = look.clusters();
    let is_own = |cluster: &&Vec<&Member>| {
        cluster
            .iter()
            .any(|member| member.replica.ordinal == look.own)
    };
    let mine = clusters.iter().find(is_own);
    let split = clusters.len() > 1;

    let mut fails = Vec::new();
    let mut notes = Vec::new();
    if let (true, Some(mine)) = (split, mine) {
        let best = best(&clusters);
        let stays = best == Some(mine);
        let settled = memory.split_ms >= SETTLE_MS;
        let counts = if settled { !stays } else { !memory.joined };
        let reason = split_reason(look, mine, &clusters, stays);
        if counts {
            fails.push(reason);
        } else {
            notes.push(reason);
        }
    }
    match identity(look, own) {
        Some(Identity::Another(reason)) => fails.insert(0, reason),
        Some(Identity::Odd(reason)) => notes.push(reason),
        None => {}
    }
    notes.extend(absent(look));
    let verdict = if !fails.is_empty() {
        fails.extend(notes);
        Verdict::fail(fails)
    } else if notes.is_empty() {
        Verdict::pass()
    } else {
        Verdict::degraded(notes)
    };
    told(verdict, split)
}

/// The one cluster that stays in service.
fn best<'a, 'b>(clusters: &'b [Vec<&'a Member>]) -> Option<&'b Vec<&'a Member>> {
    let lowest = |cluster: &Vec<&Member>| {
        cluster
            .first()
            .map_or(u32::MAX, |member| member.replica.ordinal)
    };
    clusters
        .iter()
        .max_by_key(|cluster| (cluster.len(), std::cmp::Reverse(lowest(cluster))))
}

fn split_reason(look: &Look, mine: &[&Member], clusters: &[Vec<&Member>], stays: bool) -> Reason {
    let others: Vec<&Member> = clusters
        .iter()
        .flatten()
        .copied()
        .filter(|member| {
            !mine
                .iter()
                .any(|m| m.replica.ordinal == member.replica.ordinal)
        })
        .collect();
    let theirs = names(others.iter().map(|member| &member.replica));
    let seen = others.iter().any(|member| look.is_active(member));
    let own = look
        .own()
        .map(|own| own.replica.name.as_str())
        .unwrap_or_default();
    let restarted = match (stays, others.len()) {
        (false, _) => own,
        (true, 1) => &theirs,
        (true, _) => &format!("{theirs}, one after the other"),
    };
    let mend = format!("restart {restarted}: a server joins at its start alone");
    if seen {
        return Reason::own(
            "unseen",
            format!(
                "{theirs} do not count this replica as a member, though it counts them: requests for its endpoints fail there; \
                 a node ID that was used before does this; {mend}"
            ),
        );
    }
    if mine.len() == 1 {
        return Reason::own(
            "alone",
            format!(
                "this replica is a cluster of its own beside {theirs}: endpoints of one are unknown to the other; {mend}"
            ),
        );
    }
    Reason::own(
        "split-brain",
        format!(
            "{} and {theirs} are separate clusters: endpoints of one are unknown to the other; {mend}",
            names(mine.iter().map(|member| &member.replica))
        ),
    )
}

enum Identity {
    /// The ID is that of another replica: both are lost for the others.
    Another(Reason),
    /// It works, and will not always.
    Odd(Reason),
}

fn identity(look: &Look, own: &Member) -> Option<Identity> {
    let id = look.id.as_deref()?;
    if id == own.replica.name {
        return Some(Identity::Odd(Reason::own(
            "fixed-id",
            format!(
                "the node ID is `{id}` and stays the same: after a restart the others go on taking this replica for gone; set `node_id_prefix`, not `node_id`"
            ),
        )));
    }
    if is_id_of(id, &own.replica) {
        return None;
    }
    let other = look
        .members
        .iter()
        .find(|member| is_id_of(id, &member.replica));
    Some(match other {
        Some(other) => Identity::Another(Reason::own(
            "foreign-id",
            format!(
                "the node ID `{id}` is that of {}: the others see one of the two at most",
                other.replica.name
            ),
        )),
        None => Identity::Odd(Reason::own(
            "unnamed-id",
            format!(
                "the node ID `{id}` does not begin with the pod's name: is a variable of the configuration not filled in?"
            ),
        )),
    })
}

/// Who should be there and is not, as far as this replica sees: nothing that it could mend.
fn absent(look: &Look) -> Option<Reason> {
    let silent: Vec<&Member> = look
        .members
        .iter()
        .filter(|member| {
            member.wanted
                && member.replica.ordinal != look.own
                && member.answer.is_none()
                && !look.is_active(member)
        })
        .collect();
    let lost: Vec<&Member> = silent
        .iter()
        .copied()
        .filter(|member| {
            look.rows(member)
                .any(|node| node.status == NodeStatus::Unreachable)
                // What left in order and has not come back was stopped.
                && !look.rows(member).any(|node| node.status == NodeStatus::Left)
        })
        .collect();
    if !lost.is_empty() {
        let names = names(lost.iter().map(|member| &member.replica));
        return Some(Reason::cluster(
            "unreachable",
            format!(
                "{names} went away without leaving: requests for its agents fail until they have connected elsewhere"
            ),
        ));
    }
    let others = look
        .members
        .iter()
        .filter(|member| member.wanted && member.replica.ordinal != look.own)
        .count();
    (others > 0 && silent.len() == others).then(|| {
        Reason::cluster(
            "no-peers",
            format!("none of the {others} other replicas answers: this one serves alone"),
        )
    })
}

fn attrs(verdict: Verdict, look: &Look) -> Verdict {
    let active = look
        .members
        .iter()
        .filter(|member| member.wanted && look.is_active(member))
        .count();
    let wanted = look.members.iter().filter(|member| member.wanted).count();
    let verdict = match &look.id {
        Some(id) => verdict.attr("node-id", id),
        None => verdict,
    };
    if look.nodes().is_none() {
        return verdict;
    }
    let agents: u32 = look
        .own()
        .into_iter()
        .flat_map(|own| look.rows(own))
        .filter(|node| node.status == NodeStatus::Active)
        .map(|node| node.upstreams)
        .sum();
    verdict
        .attr("members", format!("{active} of {wanted}"))
        .attr("agents", agents.to_string())
}

/// How many names a reason tells.
const NAMES_SHOWN: usize = 5;

fn names<'a>(replicas: impl Iterator<Item = &'a Replica>) -> String {
    let all: Vec<&str> = replicas.map(|replica| replica.name.as_str()).collect();
    let shown = all.get(..NAMES_SHOWN).unwrap_or(&all).join(", ");
    match all.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::look;
    use outrigger_plugin_sdk::Scope;
    use outrigger_plugin_sdk::Status::{self, Degraded, Fail, Pass};

    const STARTS: Memory = Memory {
        joined: false,
        split_ms: 0,
    };
    const MEMBER: Memory = Memory {
        joined: true,
        split_ms: 0,
    };

    fn later(memory: Memory) -> Memory {
        Memory {
            split_ms: SETTLE_MS,
            ..memory
        }
    }

    /// The status and the codes of the reasons.
    fn said(look: &Look, memory: Memory) -> (Status, String) {
        let verdict = judge(look, memory).verdict;
        let codes: Vec<&str> = verdict.reasons.iter().map(|r| r.code.as_str()).collect();
        (verdict.status, codes.join(","))
    }

    const ALL: &str = "+0+1+2";

    #[test]
    fn members_that_agree_pass_and_tell_how_many_they_are() {
        let judged = judge(&look(0, &[(0, ALL), (1, ALL), (2, ALL)]), STARTS);
        assert_eq!((judged.verdict.status, judged.split), (Status::Pass, false));
        assert_eq!(
            judged.verdict.attrs,
            [
                ("node-id".to_owned(), "piko-0-aaaaaaa".to_owned()),
                ("members".to_owned(), "3 of 3".to_owned()),
                ("agents".to_owned(), "0".to_owned()),
            ]
        );
    }

    #[test]
    fn a_restarted_peer_with_two_rows_is_one_member() {
        let list = "+0+1-2+2";
        let look = look(0, &[(0, list), (1, list), (2, ALL)]);
        assert_eq!(said(&look, MEMBER), (Status::Pass, String::new()));
    }

    #[test]
    fn ready_while_alone_beside_others_that_run_is_not_ready() {
        let alone = look(2, &[(0, "+0+1"), (1, "+0+1"), (2, "+2")]);
        assert_eq!(said(&alone, STARTS), (Status::Fail, "alone".to_owned()));
        assert_eq!(
            said(&alone, later(STARTS)),
            (Status::Fail, "alone".to_owned())
        );
        let message = judge(&alone, STARTS).verdict.reasons[0].message.clone();
        assert_eq!(
            message,
            "this replica is a cluster of its own beside piko-0, piko-1: endpoints of one are unknown to the other; restart piko-2: a server joins at its start alone"
        );
    }

    #[test]
    fn a_split_cuts_off_the_smaller_side_and_never_both() {
        let three = [(0, "+0"), (1, "+1"), (2, "+2")];
        let statuses =
            |memory| [0, 1, 2].map(|own| judge(&look(own, &three), memory).verdict.status);
        // At a first start: nobody is ready until it is clear that this is how it stays.
        assert_eq!(statuses(STARTS), [Fail, Fail, Fail]);
        assert_eq!(statuses(later(STARTS)), [Degraded, Fail, Fail]);
        assert_eq!(statuses(MEMBER), [Degraded, Degraded, Degraded]);
        assert_eq!(statuses(later(MEMBER)), [Degraded, Fail, Fail]);

        let two = [(0, "+0"), (1, "+1+2"), (2, "+1+2")];
        let statuses = [0, 1, 2].map(|own| said(&look(own, &two), later(MEMBER)));
        assert_eq!(statuses[0], (Fail, "alone".to_owned()));
        assert_eq!(statuses[1], (Degraded, "split-brain".to_owned()));
        assert_eq!(statuses[2], (Degraded, "split-brain".to_owned()));
    }

    #[test]
    fn the_side_that_stays_is_told_to_restart_the_others() {
        let two = [(0, "+0"), (1, "+1+2"), (2, "+1+2")];
        let verdict = judge(&look(1, &two), later(MEMBER)).verdict;
        assert_eq!(
            verdict.reasons[0].message,
            "piko-1, piko-2 and piko-0 are separate clusters: endpoints of one are unknown to the other; restart piko-0: a server joins at its start alone"
        );
    }

    #[test]
    fn a_node_id_that_was_used_before_is_unseen_by_its_peers_and_unready() {
        let reused = [(0, "+0+1-2"), (1, "+0+1-2"), (2, ALL)];
        assert_eq!(
            said(&look(2, &reused), later(MEMBER)),
            (Status::Fail, "unseen".to_owned())
        );
        assert_eq!(
            said(&look(0, &reused), later(MEMBER)),
            (Status::Degraded, "split-brain".to_owned())
        );
    }

    #[test]
    fn a_peer_that_was_killed_degrades_and_one_that_left_does_not() {
        let killed = [(0, "+0+1?2"), (1, "+0+1?2")];
        let verdict = judge(&look(0, &killed), MEMBER).verdict;
        assert_eq!(verdict.status, Status::Degraded);
        assert_eq!(verdict.reasons[0].code, "unreachable");
        assert_eq!(verdict.reasons[0].scope, Scope::Cluster);
        let left = [(0, "+0+1-2"), (1, "+0+1-2")];
        assert_eq!(said(&look(0, &left), MEMBER), (Status::Pass, String::new()));
        // Within the first two seconds it still counts as active.
        let unnoticed = [(0, ALL), (1, ALL)];
        assert_eq!(
            said(&look(0, &unnoticed), MEMBER),
            (Status::Pass, String::new())
        );
    }

    #[test]
    fn the_only_one_that_runs_is_ready_and_says_that_it_is_alone() {
        let first = look(0, &[(0, "+0")]);
        assert_eq!(
            said(&first, STARTS),
            (Status::Degraded, "no-peers".to_owned())
        );
    }

    #[test]
    fn a_server_that_is_not_ready_or_tells_nothing_fails() {
        let mut starting = look(0, &[(0, ALL), (1, ALL), (2, ALL)]);
        starting.ready = false;
        assert_eq!(
            said(&starting, MEMBER),
            (Status::Fail, "not-ready".to_owned())
        );
        let silent = look(0, &[(1, ALL)]);
        assert_eq!(
            said(&silent, MEMBER),
            (Status::Fail, "no-status".to_owned())
        );
    }

    #[test]
    fn node_ids_that_will_not_do_are_told() {
        let with = |id: &str| {
            let mut look = look(1, &[(0, ALL), (1, ALL), (2, ALL)]);
            look.id = Some(id.to_owned());
            said(&look, MEMBER)
        };
        assert_eq!(with("piko-1-jx1o1vu"), (Pass, String::new()));
        assert_eq!(with("piko-1"), (Degraded, "fixed-id".to_owned()));
        assert_eq!(with("piko-2"), (Fail, "foreign-id".to_owned()));
        assert_eq!(
            with("${POD_NAME}-8h57yj4"),
            (Degraded, "unnamed-id".to_owned())
        );
        assert_eq!(with("-00wk7se"), (Degraded, "unnamed-id".to_owned()));
    }
}
