//! What a look comes to: whether this replica should take requests, and what people should know. Pure.
//!
//! How many members there should be is how many replicas run, not how many are wanted: an autoscaler that
//! raises the number takes nobody out of service. And a cache without its peers still serves, so one that
//! was a member leaves service only for a larger cluster beside it.

use outrigger_plugin_sdk::{Reason, Verdict};

use crate::counts::Counts;

/// How long members may be missing before one that has been a member counts it, in milliseconds: TAG
/// notices a death after 23 to 31 s, and members come and go with the autoscaler.
pub const SETTLE_MS: u64 = 60_000;

/// How long a starting replica waits for the others before it takes what it has.
pub const JOIN_MS: u64 = 30_000;

/// How long members may be missing before that is told: a replica that has just started answers before it
/// has joined.
pub const TELL_MS: u64 = 5_000;

/// A replica beside this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Its ordinal.
    pub ordinal: u32,
    /// Whether its `/health` answers.
    pub runs: bool,
    /// Its count of members, where it was asked for it.
    pub members: Option<u32>,
}

/// One look.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// This replica's ordinal.
    pub own: u32,
    /// How many replicas there should be.
    pub wanted: u32,
    /// Whether its `/health` is 200.
    pub healthy: bool,
    /// Its numbers; none when `/metrics` does not answer.
    pub counts: Option<Counts>,
    /// The others.
    pub peers: Vec<Peer>,
}

/// What was known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Whether this very process has been a ready member.
    pub joined: bool,
    /// How long there have been fewer members than replicas that run, in milliseconds.
    pub short_ms: u64,
}

impl Look {
    /// How many replicas run, this one included.
    pub fn running(&self) -> u32 {
        let peers = self.peers.iter().filter(|peer| peer.runs).count();
        u32::try_from(peers).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether there are fewer members than replicas that run.
    pub fn is_short(&self) -> bool {
        let members = self.counts.as_ref().and_then(|counts| counts.members);
        members.is_some_and(|members| members < self.running())
    }
}

/// Judges a look at a cluster, or, without `cluster`, at a replica of its own. `notes` is what else there is
/// to tell.
pub fn judge(look: &Look, memory: Memory, cluster: bool, notes: Vec<Reason>) -> Verdict {
    if !look.healthy {
        let reason = Reason::own("not-answering", "TAG's /health does not answer with 200");
        return Verdict::fail(vec![reason]);
    }
    let (mut fails, mut told) = (Vec::new(), Vec::new());
    let counts = look.counts.as_ref();
    if cluster {
        match counts.map(|counts| counts.members) {
            None => told.push(Reason::own(
                "no-metrics",
                "TAG's /metrics does not answer: who is a member is not known",
            )),
            Some(None) if look.running() > 1 => fails.push(Reason::own(
                "standalone",
                "TAG runs without a cluster beside others: it has no node ID or no seeds, and says nothing of it; \
                 set the plugin's `cluster: false` where that is meant",
            )),
            Some(None) => {}
            Some(Some(members)) => {
                membership(look, members, memory, &mut fails, &mut told);
                told.extend(ring(counts, members));
            }
        }
    }
    told.extend(notes);
    let verdict = if !fails.is_empty() {
        fails.extend(told);
        Verdict::fail(fails)
    } else if told.is_empty() {
        Verdict::pass()
    } else {
        Verdict::degraded(told)
    };
    match counts {
        Some(counts) => attrs(verdict, look, counts),
        None => verdict,
    }
}

fn membership(
    look: &Look,
    members: u32,
    memory: Memory,
    fails: &mut Vec<Reason>,
    told: &mut Vec<Reason>,
) {
    if !look.is_short() {
        return;
    }
    let others = || look.peers.iter().filter(|peer| peer.runs);
    let most = others()
        .filter_map(|peer| peer.members)
        .chain([members])
        .max()
        .unwrap_or(members);
    let lower_runs = others().any(|peer| peer.ordinal < look.own);
    let reason = reason(look, members);
    let counts = if memory.joined {
        memory.short_ms >= SETTLE_MS && members < most
    } else {
        // Where everybody is alone, the lowest goes first, so that somebody serves.
        memory.short_ms < JOIN_MS || members < most || (members == 1 && lower_runs)
    };
    if counts {
        fails.push(reason);
    } else if memory.short_ms >= TELL_MS {
        told.push(reason);
    }
}

fn reason(look: &Look, members: u32) -> Reason {
    let running = look.running();
    if members == 1 {
        return Reason::own(
            "alone",
            format!(
                "{running} replicas run and this one is a cluster of its own: TAG looks for the others at its start alone; restart it"
            ),
        );
    }
    let same = look
        .peers
        .iter()
        .filter(|peer| peer.runs)
        .all(|peer| peer.members == Some(members));
    // Clusters of equal size have all replicas between them; what is left over then is nobody's own.
    if same && !running.is_multiple_of(members) {
        return Reason::own(
            "same-node-id",
            format!(
                "{running} replicas run and all of them count {members} members: some have the same node ID, \
                 and TAG logs only `Conflicting address`; set TAG_CACHE_NODE_ID to the pod's name"
            ),
        );
    }
    Reason::own(
        "members-missing",
        format!(
            "{running} replicas run and {members} are members: the others are a cluster of their own, or have a node ID that is taken; \
             restart those that count fewer"
        ),
    )
}

/// The ring keeps who crashed for as long as it does not return; the gossip does not.
fn ring(counts: Option<&Counts>, members: u32) -> Option<Reason> {
    let ring = counts?.ring?;
    (ring > members).then(|| {
        Reason::cluster(
            "ring-disagrees",
            format!(
                "the ring holds {ring} and {members} are there: who crashed keeps its keys, which are misses until it returns; \
                 bring it back, or restart it in order where it is not to come back"
            ),
        )
    })
}

fn attrs(verdict: Verdict, look: &Look, counts: &Counts) -> Verdict {
    let verdict = match counts.members {
        Some(members) => verdict.attr("members", format!("{members} of {}", look.wanted)),
        None => verdict,
    };
    match counts.ring {
        Some(ring) => verdict.attr("ring", ring.to_string()),
        None => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::Status::{self, Degraded, Fail, Pass};

    /// Replica `own` counts so many members and so many in the ring; the others as given, none = it does
    /// not run.
    fn look(own: u32, members: u32, ring: u32, others: &[(u32, Option<u32>)]) -> Look {
        Look {
            own,
            wanted: 3,
            healthy: true,
            counts: Some(Counts {
                members: Some(members),
                ring: Some(ring),
                ..Counts::default()
            }),
            peers: others
                .iter()
                .map(|(ordinal, members)| Peer {
                    ordinal: *ordinal,
                    runs: members.is_some(),
                    members: *members,
                })
                .collect(),
        }
    }

    fn said(look: &Look, memory: Memory) -> (Status, String) {
        let verdict = judge(look, memory, true, Vec::new());
        let codes: Vec<&str> = verdict.reasons.iter().map(|r| r.code.as_str()).collect();
        (verdict.status, codes.join(","))
    }

    const fn starts(short_ms: u64) -> Memory {
        Memory {
            joined: false,
            short_ms,
        }
    }

    const fn member(short_ms: u64) -> Memory {
        Memory {
            joined: true,
            short_ms,
        }
    }

    fn ok() -> (Status, String) {
        (Pass, String::new())
    }

    #[test]
    fn as_many_members_as_replicas_that_run_pass() {
        let all = look(0, 3, 3, &[(1, Some(3)), (2, Some(3))]);
        assert_eq!(said(&all, starts(0)), ok());
        let verdict = judge(&all, starts(0), true, Vec::new());
        let shown: Vec<String> = verdict
            .attrs
            .iter()
            .map(|(k, v)| format!("{k}: {v}"))
            .collect();
        assert_eq!(shown, ["members: 3 of 3", "ring: 3"]);
        // One was killed and is not missed yet.
        assert_eq!(
            said(&look(0, 3, 3, &[(1, Some(3)), (2, None)]), member(0)),
            ok()
        );
    }

    #[test]
    fn a_number_that_was_just_raised_takes_nobody_out() {
        let mut raised = look(0, 3, 3, &[(1, Some(3)), (2, Some(3)), (3, None), (4, None)]);
        raised.wanted = 10;
        assert_eq!(said(&raised, member(SETTLE_MS)), ok());
        // The new one answers before it has joined.
        raised.peers[2] = Peer {
            ordinal: 3,
            runs: true,
            members: Some(1),
        };
        assert_eq!(said(&raised, member(0)), ok());
        assert_eq!(
            said(&raised, member(SETTLE_MS)),
            (Degraded, "members-missing".to_owned())
        );
    }

    #[test]
    fn a_crash_leaves_the_ring_larger_than_the_membership() {
        let crashed = look(0, 2, 3, &[(1, Some(2)), (2, None)]);
        assert_eq!(
            said(&crashed, member(0)),
            (Degraded, "ring-disagrees".to_owned())
        );
        let message = judge(&crashed, member(0), true, Vec::new()).reasons[0]
            .message
            .clone();
        assert!(
            message.starts_with("the ring holds 3 and 2 are there"),
            "{message}"
        );
        // One that left in order is in neither.
        assert_eq!(
            said(&look(0, 2, 2, &[(1, Some(2)), (2, None)]), member(0)),
            ok()
        );
    }

    #[test]
    fn a_starting_replica_is_ready_once_it_has_joined() {
        let alone = look(2, 1, 1, &[(0, Some(2)), (1, Some(2))]);
        for short in [0, JOIN_MS, SETTLE_MS] {
            assert_eq!(said(&alone, starts(short)), (Fail, "alone".to_owned()));
        }
        assert_eq!(
            said(&look(2, 3, 3, &[(0, Some(3)), (1, Some(3))]), starts(0)),
            ok()
        );
        assert_eq!(
            said(&look(0, 1, 1, &[(1, None), (2, None)]), starts(0)),
            ok()
        );
    }

    #[test]
    fn where_everybody_is_alone_the_lowest_serves() {
        let alone = [0, 1, 2].map(|own| {
            let others: Vec<_> = (0..3).filter(|o| *o != own).map(|o| (o, Some(1))).collect();
            look(own, 1, 1, &others)
        });
        let statuses = |memory| [0, 1, 2].map(|own: usize| said(&alone[own], memory).0);
        assert_eq!(statuses(starts(0)), [Fail, Fail, Fail]);
        assert_eq!(statuses(starts(JOIN_MS)), [Degraded, Fail, Fail]);
        assert_eq!(statuses(member(SETTLE_MS)), [Degraded, Degraded, Degraded]);
    }

    #[test]
    fn a_member_that_lost_the_others_leaves_for_the_larger_cluster_after_a_while() {
        let lost = look(2, 1, 3, &[(0, Some(2)), (1, Some(2))]);
        assert_eq!(said(&lost, member(0)).0, Degraded);
        assert_eq!(said(&lost, member(SETTLE_MS)).0, Fail);
        let stays = look(0, 2, 2, &[(1, Some(2)), (2, Some(1))]);
        assert_eq!(
            said(&stays, member(SETTLE_MS)),
            (Degraded, "members-missing".to_owned())
        );
    }

    #[test]
    fn two_replicas_with_the_same_node_id_are_told() {
        let conflict = look(0, 2, 2, &[(1, Some(2)), (2, Some(2))]);
        assert_eq!(
            said(&conflict, member(SETTLE_MS)),
            (Degraded, "same-node-id".to_owned())
        );
        // Four in two pairs may be two clusters.
        let pairs = look(0, 2, 2, &[(1, Some(2)), (2, Some(2)), (3, Some(2))]);
        assert_eq!(
            said(&pairs, member(SETTLE_MS)),
            (Degraded, "members-missing".to_owned())
        );
    }

    #[test]
    fn a_tag_without_a_cluster_beside_others_is_told_unless_it_is_meant() {
        let mut standalone = look(1, 1, 1, &[(0, Some(1))]);
        standalone.counts = Some(Counts::default());
        assert_eq!(
            said(&standalone, starts(0)),
            (Fail, "standalone".to_owned())
        );
        assert_eq!(
            judge(&standalone, starts(0), false, Vec::new()).status,
            Pass
        );
        standalone.peers.clear();
        assert_eq!(said(&standalone, starts(0)), ok());
    }

    #[test]
    fn a_tag_that_does_not_answer_fails_and_one_without_metrics_is_told() {
        let mut silent = look(0, 3, 3, &[]);
        silent.counts = None;
        assert_eq!(
            said(&silent, member(0)),
            (Degraded, "no-metrics".to_owned())
        );
        silent.healthy = false;
        assert_eq!(said(&silent, member(0)), (Fail, "not-answering".to_owned()));
    }
}
