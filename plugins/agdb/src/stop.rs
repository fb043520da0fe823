//! What a stop of this replica does to the quorum, and whether waiting would change that.
//!
//! agdb's members count only those that run with their own list, and a list takes effect at a restart. So
//! while the number of replicas changes, a replica that was restarted never comes back to the old list, and a
//! newcomer comes only after the last old member has been restarted: whoever waits for them waits for
//! himself. What can come back is a replica that is down.

use outrigger_plugin_sdk::quorum;

use crate::status::{Look, Row, Seen, members, members_of};

/// What a stop does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Enough others stay.
    None,
    /// There is no quorum to lose, and nothing that can be waited for brings one.
    NothingToLose(String),
    /// The quorum is lost, or stays lost for longer, and waiting may help.
    Breaks(String),
    /// The quorum is lost, whatever the others do.
    Inevitable(String),
}

/// What a stop of the looking replica does.
pub fn effect(look: &Look) -> Effect {
    let own = own_list(look);
    let changing = own != members_of(&look.wanted);
    // Those that leave are no support: they are being stopped too.
    let stay: Vec<&Seen> = look.peers.iter().filter(|peer| peer.wanted).collect();
    let (same, other): (Vec<&Seen>, Vec<&Seen>) = stay
        .iter()
        .filter(|peer| is_there(peer, &own))
        .partition(|peer| {
            peer.table
                .as_deref()
                .is_none_or(|table| members(table) == own)
        });
    let (left, needed) = (same.len(), majority(own.len()));
    if left >= needed {
        return Effect::None;
    }
    let has_quorum = left + 1 >= needed;
    let is_down = |peer: &&&Seen| !peer.answers && own.contains(&peer.url.as_str());
    let down = stay.iter().filter(is_down).count();
    if changing {
        let wanted = look.wanted.len();
        let lost = format!(
            "the {} members that agdb still runs with change to {wanted}: ",
            own.len()
        );
        if !has_quorum {
            return Effect::NothingToLose(format!(
                "{lost}too few are left of them to write anything, stopping one more changes nothing"
            ));
        }
        let message = format!(
            "{lost}{left} of them stay up and {needed} make a quorum, so nothing can be written until {} \
             replicas run with the new list",
            majority(wanted)
        );
        // With the down ones back the new list gets its quorum right after these restarts.
        let enough = same.len() + other.len() + 1 >= majority(wanted);
        return if down > 0 && !enough {
            Effect::Breaks(message)
        } else {
            Effect::Inevitable(message)
        };
    }
    let message = format!(
        "{left} of {} replicas stay up and {needed} make a quorum: nothing can be written until more are back",
        own.len()
    );
    if own.len() <= 2 {
        Effect::Inevitable(message)
    } else if !has_quorum && !other.is_empty() {
        // The others take this list at their own restarts, which wait for this one.
        Effect::NothingToLose(format!(
            "{} still run with another list, so there is no quorum to lose",
            names(&other)
        ))
    } else {
        Effect::Breaks(message)
    }
}

/// The list that this replica's server runs with, sorted. Where it does not say, or where no replica stands
/// in it under the address that the settings make, the wanted one.
fn own_list(look: &Look) -> Vec<&str> {
    let wanted = members_of(&look.wanted);
    let known = |rows: &&[Row]| members(rows).iter().any(|member| wanted.contains(member));
    match look.own.table.as_deref().filter(known) {
        Some(rows) => members(rows),
        None => wanted,
    }
}

/// Whether it answers. One that does not tell its list (without a leader agdb is slow to) is taken to run
/// with this one, if it stands in it.
fn is_there(peer: &Seen, own: &[&str]) -> bool {
    peer.answers && (peer.table.is_some() || own.contains(&peer.url.as_str()))
}

fn names(peers: &[&Seen]) -> String {
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    names.join(", ")
}

fn majority(members: usize) -> usize {
    quorum(u32::try_from(members).unwrap_or(u32::MAX)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::look;

    const THREE: &str = "0:UL5 1:U-5 2:U-5";
    const FIVE: &str = "0:U-0 1:U-0 2:U-5 3:d-0 4:d-0";
    const FIVE_LED: &str = "0:UL8 1:U-8 2:U-8 3:U-8 4:U-8";

    type Answers<'a> = &'a [(u32, Option<&'a str>)];

    fn found(own: (u32, &str), peers: Answers<'_>, desired: u32) -> Effect {
        effect(&look((own.0, Some(own.1)), peers, desired))
    }

    fn word(effect: &Effect) -> &'static str {
        match effect {
            Effect::None => "none",
            Effect::NothingToLose(_) => "nothing to lose",
            Effect::Breaks(_) => "wait",
            Effect::Inevitable(_) => "go on",
        }
    }

    #[test]
    fn a_steady_cluster_is_not_broken_without_waiting_for_the_others() {
        let cases: [((u32, &str), Answers<'_>, u32, &str); 8] = [
            ((1, THREE), &[(0, Some(THREE)), (2, Some(THREE))], 3, "none"),
            ((1, THREE), &[(0, Some(THREE)), (2, None)], 3, "wait"),
            ((1, THREE), &[(0, None), (2, None)], 3, "wait"),
            // Peers that do not tell their list in time still answer.
            ((1, ""), &[(0, Some("")), (2, Some(""))], 3, "none"),
            ((1, ""), &[(0, Some("")), (2, None)], 3, "wait"),
            ((1, "0:UL1 1:U-1"), &[(0, Some("0:UL1 1:U-1"))], 2, "go on"),
            ((0, "0:UL1"), &[], 1, "go on"),
            // Under addresses that the settings do not make: what answers counts.
            (
                (1, "7:UL1 8:U-1 9:U-1"),
                &[(0, Some("")), (2, Some(""))],
                3,
                "none",
            ),
        ];
        for (own, peers, desired, expected) in cases {
            let found = found(own, peers, desired);
            assert_eq!(word(&found), expected, "{own:?} {peers:?}: {found:?}");
        }
    }

    #[test]
    fn three_to_five_never_waits_for_a_quorum_that_cannot_come() {
        let new = Some(FIVE);
        let old = Some(THREE);
        let cases: [((u32, &str), Answers<'_>, &str); 4] = [
            (
                (2, THREE),
                &[(0, old), (1, old), (3, None), (4, None)],
                "none",
            ),
            (
                (1, THREE),
                &[(0, old), (2, new), (3, None), (4, None)],
                "go on",
            ),
            (
                (0, THREE),
                &[(1, new), (2, new), (3, None), (4, None)],
                "nothing to lose",
            ),
            // A second edit reaches the one that was restarted before the others were.
            (
                (2, FIVE),
                &[(0, old), (1, old), (3, None), (4, None)],
                "nothing to lose",
            ),
        ];
        for (own, peers, expected) in cases {
            let found = found(own, peers, 5);
            assert_eq!(word(&found), expected, "{own:?} {peers:?}: {found:?}");
        }
        assert_eq!(
            found((1, THREE), cases[1].1, 5),
            Effect::Inevitable(
                "the 3 members that agdb still runs with change to 5: 1 of them stay up and 2 make a \
                 quorum, so nothing can be written until 3 replicas run with the new list"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_change_waits_for_a_member_that_is_down_if_the_new_list_needs_it() {
        let old = Some(THREE);
        let down: Answers<'_> = &[(0, old), (1, None), (3, None), (4, None)];
        assert_eq!(word(&found((2, THREE), down, 5)), "wait");
        // Three are enough for the new list of five without the fourth.
        let four = "0:UL5 1:U-5 2:U-5 3:U-5";
        let peers: Answers<'_> = &[(0, Some(four)), (1, Some(FIVE)), (2, None), (4, None)];
        assert_eq!(word(&found((3, four), peers, 5)), "nothing to lose");
        let peers: Answers<'_> = &[(0, Some(four)), (1, Some(four)), (2, None), (4, None)];
        assert_eq!(word(&found((3, four), peers, 5)), "go on");
    }

    #[test]
    fn five_to_three_says_when_the_old_list_loses_its_quorum_and_goes_on() {
        let old = Some(FIVE_LED);
        let all: Answers<'_> = &[(0, old), (1, old), (2, old), (3, old)];
        assert_eq!(word(&found((4, FIVE_LED), all, 3)), "none");
        let gone: Answers<'_> = &[(0, old), (1, old), (3, None), (4, None)];
        assert_eq!(word(&found((2, FIVE_LED), gone, 3)), "go on");
        let new = Some("0:U-0 1:U-0 2:U-8");
        let second: Answers<'_> = &[(0, old), (2, new), (3, None), (4, None)];
        assert_eq!(word(&found((1, FIVE_LED), second, 3)), "nothing to lose");
    }

    #[test]
    fn those_that_leave_together_do_not_count_on_each_other() {
        let old = Some(FIVE_LED);
        let all: Answers<'_> = &[(0, old), (1, old), (2, old), (3, old)];
        assert_eq!(word(&found((4, FIVE_LED), all, 2)), "go on");
    }
}
