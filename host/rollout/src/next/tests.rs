use std::time::SystemTime;

use super::*;
use crate::seen::SetSeen;

/// Three replicas from ordinal 0 on; `r` ready, `s` starting, `t` terminating, `L` ready and leading, `.` not
/// there; the place is the ordinal.
pub(super) fn seen(word: &str) -> Seen {
    let pods = (0_u32..).zip(word.chars());
    let pods = pods.filter(|(_, letter)| *letter != '.');
    Seen {
        set: SetSeen {
            name: "db".to_owned(),
            uid: "set".to_owned(),
            version: "1".to_owned(),
            is_observed: true,
            leaving: false,
            start: 0,
            replicas: 3,
            strategy: Strategy::RollingUpdate { partition: 0 },
            revision: "new".to_owned(),
            min_ready: std::time::Duration::ZERO,
            selector: "app=db".to_owned(),
            note: Ok(None),
        },
        pods: pods
            .map(|(ordinal, letter)| {
                let pod = PodSeen {
                    uid: format!("old{ordinal}"),
                    version: "1".to_owned(),
                    ready: matches!(letter, 'r' | 'L'),
                    terminating: letter == 't',
                    role: (letter == 'L').then(|| "leader".to_owned()),
                    revision: "new".to_owned(),
                    ..PodSeen::default()
                };
                (ordinal, pod)
            })
            .collect(),
        turn: None,
        time: SystemTime::UNIX_EPOCH,
    }
}

/// The note of a roll that has named this ordinal, and so many pods of which are new already.
fn note(named: Option<(u32, bool)>, done: &[u32]) -> Note {
    Note {
        began: "1970-01-01T00:00:00Z".to_owned(),
        pods: (0..3)
            .map(|ordinal| {
                let before = if done.contains(&ordinal) {
                    "gone"
                } else {
                    "old"
                };
                (ordinal, format!("{before}{ordinal}"))
            })
            .collect(),
        named: named.map(|(ordinal, leads)| Named {
            ordinal,
            uid: format!(
                "{}{ordinal}",
                if done.contains(&ordinal) {
                    "gone"
                } else {
                    "old"
                }
            ),
            leads,
            attempt: 4,
        }),
    }
}

#[test]
fn whatever_a_note_says_only_what_was_seen_is_evicted() {
    use proptest::prelude::{Strategy as _, any, proptest};
    let uid = || (0..8_u32).prop_map(|number| format!("old{number}"));
    let pods = proptest::collection::btree_map(0..6_u32, uid(), 0..6);
    let named = (0..6_u32, uid(), any::<bool>(), any::<u32>());
    let named = proptest::option::of(named);
    proptest!(|(pods in pods, named in named, word in "[rstL.]{0,5}")| {
        let note = Note {
            began: String::new(),
            pods,
            named: named.map(|(ordinal, uid, leads, attempt)| Named { ordinal, uid, leads, attempt }),
        };
        let seen = seen(&word);
        if let Step::Evict(next) = step(&seen, &note) {
            let named = next.named.unwrap();
            assert_eq!(seen.pods[&named.ordinal].uid, named.uid);
            assert!(note.pods.get(&named.ordinal) == Some(&named.uid) || note.named.unwrap().uid == named.uid);
        }
    });
}

fn evicts(step: Step) -> Option<(u32, bool, u32)> {
    match step {
        Step::Evict(note) => note.named.map(|it| (it.ordinal, it.leads, it.attempt)),
        _ => None,
    }
}

#[test]
fn the_highest_ordinal_goes_first_and_the_leader_last() {
    let table = [
        ("first", None, &[][..], "rrL", Some((1, false, 1))),
        ("no roles", None, &[], "rrr", Some((2, false, 1))),
        (
            "again, where it was not evicted yet",
            Some((1, false)),
            &[],
            "rrL",
            Some((1, false, 5)),
        ),
        (
            "the next",
            Some((1, false)),
            &[1],
            "rrL",
            Some((0, false, 5)),
        ),
        (
            "the leader",
            Some((0, false)),
            &[1, 0],
            "rrL",
            Some((2, true, 5)),
        ),
        (
            "the one that was named leads by now",
            Some((1, false)),
            &[],
            "rLr",
            Some((2, false, 5)),
        ),
        (
            "it leads, and is the last",
            Some((1, false)),
            &[0, 2],
            "rLr",
            Some((1, true, 5)),
        ),
        (
            "chosen as the leader, it stays chosen",
            Some((2, true)),
            &[0, 1],
            "rLr",
            Some((2, true, 5)),
        ),
        (
            "two lead for a moment",
            Some((2, true)),
            &[0],
            "rLr",
            Some((2, true, 5)),
        ),
    ];
    for (name, named, done, pods, expected) in table {
        let named = note(named, done);
        assert_eq!(evicts(step(&seen(pods), &named)), expected, "{name}");
    }
    assert_eq!(
        step(&seen("Lrr"), &note(Some((2, true)), &[0, 1, 2])),
        Step::End
    );
}

#[test]
fn nobody_is_evicted_while_anything_is_not_as_it_should_be() {
    let obstacle = |seen: &Seen| match step(seen, &note(None, &[])) {
        Step::Wait(obstacles) => obstacles.iter().map(ToString::to_string).collect(),
        other => vec![format!("{other:?}")],
    };
    assert_eq!(obstacle(&seen("rtL")), ["db-1 is stopping"]);
    assert_eq!(obstacle(&seen("r.L")), ["db-1 is not there"]);
    assert_eq!(
        obstacle(&seen("sr")),
        ["db-0 is not ready", "db-2 is not there"]
    );
    assert_eq!(
        obstacle(&seen("rrLr")),
        ["db-3 is one more than there should be"]
    );
    let mut busy = seen("rrL");
    busy.turn = Some("db-0".to_owned());
    assert_eq!(
        obstacle(&busy),
        ["db-0 restarts its workload for a new configuration"]
    );
    let mut young = seen("rrL");
    young.set.min_ready = std::time::Duration::from_secs(5);
    assert_eq!(obstacle(&young).len(), 3);
    let mut changed = seen("rrL");
    changed.set.is_observed = false;
    changed.set.revision = "newer".to_owned();
    assert_eq!(
        obstacle(&changed)[..2],
        [
            "the StatefulSet controller has not seen its last change",
            "db-0 is of an older template, which its controller replaces"
        ]
    );
}

#[test]
fn pods_of_an_older_template_are_in_the_way_only_where_the_controller_replaces_them() {
    let mut older = seen("rrL");
    for ordinal in [0, 1] {
        older.pods.get_mut(&ordinal).unwrap().revision = "old".to_owned();
    }
    let named = |seen: &Seen| match begin(seen, false) {
        Begin::Refuse(Refusal::RollingOut(pods)) => pods,
        Begin::Write(_) => Vec::new(),
        other => vec![format!("{other:?}")],
    };
    assert_eq!(named(&older), ["db-0", "db-1"]);
    older.set.strategy = Strategy::RollingUpdate { partition: 1 };
    assert_eq!(named(&older), ["db-1"]);
    older.set.strategy = Strategy::RollingUpdate { partition: 2 };
    assert_eq!(named(&older), [""; 0]);
    older.set.strategy = Strategy::OnDelete;
    assert_eq!(named(&older), [""; 0]);
}

#[test]
fn what_is_not_whole_is_not_begun_and_what_was_begun_goes_on() {
    assert!(matches!(
        begin(&seen("rsL"), false),
        Begin::Refuse(Refusal::NotReady(obstacles)) if obstacles.len() == 1
    ));
    let mut empty = seen("");
    empty.set.replicas = 0;
    assert_eq!(begin(&empty, false), Begin::Nothing);
    let mut many = seen("rrL");
    many.set.replicas = 5000;
    assert_eq!(begin(&many, false), Begin::Refuse(Refusal::TooMany(4000)));
    let mut busy = seen("rrL");
    busy.turn = Some("db-0".to_owned());
    assert!(matches!(begin(&busy, false), Begin::Wait(_)));

    let mut begun = seen("rsL");
    let before = note(Some((1, false)), &[1]);
    begun.set.note = Ok(Some(before.clone()));
    assert_eq!(begin(&begun, false), Begin::GoOn(before));
    begun.set.leaving = true;
    assert_eq!(begin(&begun, false), Begin::Refuse(Refusal::Leaving));
}

#[test]
fn a_new_roll_replaces_all_and_keeps_whom_another_run_may_be_about_to_evict() {
    let begun = |named, done: &[u32]| {
        let mut seen = seen("rrL");
        seen.set.note = Ok(Some(note(named, done)));
        match begin(&seen, true) {
            Begin::Write(note) => note,
            other => panic!("{other:?}"),
        }
    };
    let all = ["old0", "old1", "old2"];
    let new = begun(Some((1, false)), &[0]);
    assert!(new.pods.values().eq(all), "{new:?}");
    assert_eq!(new.named.unwrap().ordinal, 1);
    let new = begun(Some((1, false)), &[1]);
    assert!(new.pods.values().eq(all), "{new:?}");
    assert_eq!(new.named, None);
}
