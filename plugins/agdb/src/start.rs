//! Whether a start is safe while the number of replicas changes.
//!
//! agdb's members do not talk to those that run with another list, and each list has majorities of its
//! own. With the real server: three members and two newcomers that already had the list of five; one of
//! the three was restarted with it. There were then two leaders, {0, 2} by the old list and {1, 3, 4} by
//! the new one, both took writes, and after all had been restarted the replicas' data differed for good,
//! with equal log indexes. So: two lists may never both have a majority, and a newcomer waits until those
//! who have the data lead it.

use outrigger_plugin_sdk::quorum;

use crate::status::{Row, Seen, leader, members, members_of};

/// Why this replica's agdb must not be started now; none when it may.
///
/// `wanted` is the list that it would run with, `own` its item, `peers` what the others answer.
pub fn hold(
    own: &str,
    ordinal: u32,
    newcomer: bool,
    wanted: &[String],
    peers: &[Seen],
) -> Option<String> {
    let tables: Vec<(&Seen, &[Row])> = peers
        .iter()
        .filter_map(|peer| Some((peer, peer.table.as_deref()?)))
        .collect();
    // Where not even the peer stands under the address that we know, the settings are wrong, not the list.
    let without_me = |(peer, table): &&(&Seen, &[Row])| {
        let members = members(table);
        !members.contains(&own) && members.contains(&peer.url.as_str())
    };
    if let Some((peer, table)) = tables.iter().find(without_me) {
        return Some(format!(
            "{} still runs with a list of {} members in which this replica does not stand; it starts \
             when that one has been restarted",
            peer.name,
            table.len()
        ));
    }
    two_majorities(wanted, &tables).or_else(|| {
        if newcomer {
            wait_for_data(ordinal, wanted.len(), peers, &tables)
        } else {
            None
        }
    })
}

/// Those who run with another list are a majority of it, and with this replica those who run with its
/// list would be one too.
fn two_majorities(wanted: &[String], tables: &[(&Seen, &[Row])]) -> Option<String> {
    let mine = members_of(wanted);
    let (same, other): (Vec<_>, Vec<_>) =
        tables.iter().partition(|(_, table)| members(table) == mine);
    let (_, theirs) = other.first()?;
    let theirs = members(theirs);
    let running = other
        .iter()
        .filter(|(peer, table)| members(table) == theirs && theirs.contains(&peer.url.as_str()))
        .count();
    (running >= majority(theirs.len()) && same.len() + 1 >= majority(wanted.len())).then(|| {
        let names: Vec<&str> = other.iter().map(|(peer, _)| peer.name.as_str()).collect();
        format!(
            "{} still run with a list of {} members and are a majority of it: with this replica there \
             would be two clusters",
            names.join(", "),
            theirs.len()
        )
    })
}

/// A newcomer has no data (or old data). Its vote must not let those win who lack what was committed.
fn wait_for_data(
    ordinal: u32,
    members: usize,
    peers: &[Seen],
    tables: &[(&Seen, &[Row])],
) -> Option<String> {
    let led = tables.iter().any(|(_, table)| leader(table).is_some());
    let data = tables
        .iter()
        .any(|(_, table)| table.iter().any(|row| row.executed_index > 0));
    if led || !data {
        return None;
    }
    let others = peers
        .iter()
        .filter(|peer| peer.wanted && peer.answers)
        .count();
    if others >= majority(members) {
        return Some("the replicas that hold the data have no leader yet; they can elect one without this replica".to_owned());
    }
    let missing = peers
        .iter()
        .find(|peer| peer.wanted && peer.ordinal < ordinal && !peer.answers)?;
    Some(format!(
        "{} may hold data that this new replica lacks, and does not answer yet",
        missing.name
    ))
}

/// Why a newcomer lets one with a lower ordinal catch up first; none when nobody does.
///
/// A member that two others ask for a snapshot at the same time stages it twice in one folder and sends what
/// is neither. agdb keeps the broken download and goes on resuming it: the newcomer never gets its data (seen
/// with the real server, one time in ten). So one after the other.
pub fn queue(ordinal: u32, peers: &[Seen]) -> Option<String> {
    let table = peers
        .iter()
        .filter_map(|peer| peer.table.as_deref())
        .find(|table| leader(table).is_some())?;
    let led = leader(table)?;
    let has_data = |row: &&Row| row.address == led && row.executed_index > 0;
    table.iter().find(has_data)?;
    let lacks_data = |peer: &&Seen| {
        table
            .iter()
            .any(|row| row.address == peer.url && (row.resync || row.executed_index == 0))
    };
    let before = peers
        .iter()
        .filter(|peer| peer.wanted && peer.ordinal < ordinal)
        .find(lacks_data)?;
    Some(format!(
        "{} takes its snapshot first: agdb sends broken ones when it is asked for two at a time",
        before.name
    ))
}

fn majority(members: usize) -> usize {
    quorum(u32::try_from(members).unwrap_or(u32::MAX)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{look, url};

    const OLD: &str = "0:UL5 1:U-5 2:U-5";
    const NEW_LED: &str = "0:UL6 1:U-6 2:U-6 3:d-0 4:d-0";
    const NEW_UNLED: &str = "0:U-6 1:U-0 2:U-0 3:d-0 4:d-0";

    fn held(
        own: u32,
        newcomer: bool,
        desired: u32,
        peers: &[(u32, Option<&str>)],
    ) -> Option<String> {
        let look = look((own, None), peers, desired);
        hold(&url(own), own, newcomer, &look.wanted, &look.peers)
    }

    #[test]
    fn three_empty_replicas_start_at_once_in_any_order() {
        assert_eq!(held(0, true, 3, &[(1, None), (2, None)]), None);
        let empty = "0:U-0 1:U-0 2:U-0";
        assert_eq!(
            held(1, true, 3, &[(0, Some(empty)), (2, Some(empty))]),
            None
        );
    }

    #[test]
    fn three_to_five_restarts_the_old_ones_first_and_lets_newcomers_in_when_there_is_a_leader() {
        // Ordinal 2 is restarted with the list of five while 0 and 1 have that of three.
        assert_eq!(
            held(
                2,
                false,
                5,
                &[(0, Some(OLD)), (1, Some(OLD)), (3, None), (4, None)]
            ),
            None
        );
        // The newcomers wait for 0 and 1.
        let reason = held(
            3,
            true,
            5,
            &[
                (0, Some(OLD)),
                (1, Some(OLD)),
                (2, Some(NEW_UNLED)),
                (4, None),
            ],
        );
        assert!(
            reason
                .unwrap()
                .contains("a list of 3 members in which this replica does not stand")
        );
        // 1, then 0.
        assert_eq!(
            held(
                1,
                false,
                5,
                &[(0, Some(OLD)), (2, Some(NEW_UNLED)), (3, None), (4, None)]
            ),
            None
        );
        let peers = [
            (1, Some(NEW_UNLED)),
            (2, Some(NEW_UNLED)),
            (3, None),
            (4, None),
        ];
        assert_eq!(held(0, false, 5, &peers), None);
        // While 0 is being restarted a newcomer still waits, or {2, 3, 4} could elect without 1's data.
        let peers = [
            (0, None),
            (1, Some(NEW_UNLED)),
            (2, Some(NEW_UNLED)),
            (4, None),
        ];
        assert!(
            held(3, true, 5, &peers)
                .unwrap()
                .starts_with("agdb-0 may hold data")
        );
        // 0 is back, no leader yet: wait; a leader: go.
        let all = |table| {
            [
                (0, Some(table)),
                (1, Some(table)),
                (2, Some(table)),
                (4, None),
            ]
        };
        assert!(
            held(3, true, 5, &all(NEW_UNLED))
                .unwrap()
                .contains("no leader yet")
        );
        assert_eq!(held(3, true, 5, &all(NEW_LED)), None);
    }

    #[test]
    fn two_majorities_by_two_lists_are_never_started() {
        // Five to three while 3 and 4 still run: {0, 3, 4} by the old list, {1, 2} by the new one.
        let old = "0:UL5 1:U-5 2:U-5 3:U-5 4:U-5";
        let new = "0:U-0 1:U-0 2:U-5";
        assert_eq!(
            held(
                2,
                false,
                3,
                &[
                    (0, Some(old)),
                    (1, Some(old)),
                    (3, Some(old)),
                    (4, Some(old))
                ]
            ),
            None
        );
        let peers = [
            (0, Some(old)),
            (2, Some(new)),
            (3, Some(old)),
            (4, Some(old)),
        ];
        assert!(
            held(1, false, 3, &peers)
                .unwrap()
                .contains("there would be two clusters")
        );
        // When they are gone, it goes on.
        assert_eq!(
            held(
                1,
                false,
                3,
                &[(0, Some(old)), (2, Some(new)), (3, None), (4, None)]
            ),
            None
        );
    }

    #[test]
    fn one_to_three_lets_one_newcomer_in_at_a_time() {
        let alone = "0:UL9";
        assert!(held(1, true, 3, &[(0, Some(alone)), (2, None)]).is_some());
        let restarted = "0:U-9 1:d-0 2:d-0";
        assert_eq!(held(1, true, 3, &[(0, Some(restarted)), (2, None)]), None);
        let reason = held(2, true, 3, &[(0, Some(restarted)), (1, None)]).unwrap();
        assert!(reason.starts_with("agdb-1 may hold data"));
        let two = "0:UL9 1:U-9 2:d-0";
        assert_eq!(held(2, true, 3, &[(0, Some(two)), (1, Some(two))]), None);
    }

    #[test]
    fn a_crashed_member_of_a_cluster_that_has_lost_its_leader_is_not_held_back() {
        let table = "0:d-0 1:U-7 2:d-0";
        assert_eq!(held(2, false, 3, &[(0, None), (1, Some(table))]), None);
    }

    #[test]
    fn newcomers_take_their_snapshots_one_after_the_other() {
        let queued = |own: u32, table: &str, others: &[u32]| {
            let peers: Vec<(u32, Option<&str>)> = (0..5)
                .filter(|peer| *peer != own)
                .map(|peer| (peer, others.contains(&peer).then_some(table)))
                .collect();
            let look = look((own, None), &peers, 5);
            queue(own, &look.peers)
        };
        let nobody = "0:UL6 1:U-6 2:U-6 3:d-0 4:d-0";
        assert_eq!(queued(3, nobody, &[0, 1, 2]), None, "the lowest goes first");
        let reason = queued(4, nobody, &[0, 1, 2]).unwrap();
        assert!(reason.starts_with("agdb-3 takes its snapshot first"));
        assert!(queued(4, "0:UL6 1:U-6 2:U-6 3:UR6 4:d-0", &[0, 1, 2, 3]).is_some());
        assert_eq!(
            queued(4, "0:UL9 1:U-9 2:U-9 3:U-6 4:d-0", &[0, 1, 2, 3]),
            None
        );
        // An old member that is down is not waited for, and an empty cluster has no snapshots.
        assert_eq!(queued(4, "0:UL6 1:d-5 2:U-6 3:U-6 4:d-0", &[0, 2, 3]), None);
        assert_eq!(queued(4, "0:UL0 1:U-0 2:U-0 3:d-0 4:d-0", &[0, 1, 2]), None);
    }
}
