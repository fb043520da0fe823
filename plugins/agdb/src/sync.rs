//! Whether this replica's server has caught up since it started.
//!
//! The lag alone does not tell: a server that has nothing yet is within any limit that is larger than the
//! leader's index. And a server that follows shows each write a heartbeat late, so "not behind at all" is
//! nothing to ask of one that is in service. So it has to reach, once, what its leader had when it was first
//! seen; from then on only the lag counts.

use outrigger_plugin_sdk::state;

use crate::status::{Look, leader};

/// The state's key of the index that the server has to reach; 0 once it has.
const TARGET: &str = "sync-target";

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// No leader was seen since its start.
    Unknown,
    /// It has to reach this index of its leader's log.
    Behind(u64),
    /// It has caught up.
    Done,
}

impl Sync {
    /// What is known after one more look.
    #[must_use]
    pub fn after(self, look: &Look) -> Self {
        if !look.own.answers {
            return Self::Unknown;
        }
        let rows = look.own.table.as_deref().unwrap_or_default();
        let row = |url: &str| rows.iter().find(|row| row.address == url);
        let (Some(own), Some(leader)) = (row(&look.own.url), leader(rows).and_then(row)) else {
            return self;
        };
        let target = match self {
            // A snapshot begins anew, also for one that had caught up.
            _ if own.resync => leader.executed_index.max(1),
            Self::Unknown => leader.executed_index,
            Self::Behind(target) => target,
            Self::Done => 0,
        };
        if own.executed_index >= target {
            Self::Done
        } else {
            Self::Behind(target)
        }
    }
}

/// Remembers one more look, and gives what is known after it.
pub fn note(look: &Look) -> Sync {
    let before = match state::load::<u64>(TARGET) {
        None => Sync::Unknown,
        Some(0) => Sync::Done,
        Some(target) => Sync::Behind(target),
    };
    let after = before.after(look);
    if after != before {
        let kept = match after {
            Sync::Unknown => {
                forget();
                Ok(())
            }
            Sync::Behind(target) => state::store(TARGET, &target),
            Sync::Done => state::store(TARGET, &0_u64),
        };
        if let Err(failure) = kept {
            outrigger_plugin_sdk::warn!("How far the server has to catch up is not kept", "error" => failure.message);
        }
    }
    after
}

/// The server is stopped: the next one has to catch up again.
pub fn forget() {
    state::delete(TARGET);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::look;
    use crate::status::{Row, Seen};
    use outrigger_plugin_sdk::fake::FakeHost;

    fn captured(ordinal: u32, table: &str) -> Look {
        let rows: Vec<Row> = outrigger_plugin_sdk::json::parse(table).unwrap();
        let mut look = look((ordinal, Some("")), &[], 3);
        look.own = Seen {
            table: Some(rows),
            ..look.own
        };
        look
    }

    const RESYNCING: &str = include_str!("../tests/data/resyncing.json");
    const HEALTHY: &str = include_str!("../tests/data/healthy.json");
    const LEADER_0: &str = include_str!("../tests/data/leader-0.json");

    #[test]
    fn a_captured_snapshot_has_not_caught_up_and_its_peers_have() {
        assert_eq!(
            Sync::Unknown.after(&captured(2, RESYNCING)),
            Sync::Behind(12)
        );
        assert_eq!(Sync::Done.after(&captured(2, RESYNCING)), Sync::Behind(12));
        assert_eq!(Sync::Unknown.after(&captured(0, RESYNCING)), Sync::Done);
        assert_eq!(Sync::Unknown.after(&captured(1, RESYNCING)), Sync::Done);
    }

    #[test]
    fn what_its_leader_had_at_first_has_to_be_reached_once() {
        // The captured follower is one entry behind, as each is until the next heartbeat.
        let first = Sync::Unknown.after(&captured(0, HEALTHY));
        assert_eq!(first, Sync::Behind(2));
        assert_eq!(first.after(&captured(0, HEALTHY)), Sync::Behind(2));
        // The leader has moved on to 7 meanwhile.
        assert_eq!(first.after(&captured(1, LEADER_0)), Sync::Done);
        assert_eq!(Sync::Done.after(&captured(0, HEALTHY)), Sync::Done);
    }

    #[test]
    fn a_server_that_did_not_answer_has_to_catch_up_again() {
        assert_eq!(
            Sync::Done.after(&look((0, None), &[], 3)),
            Sync::Unknown,
            "it is gone"
        );
        let unled = look((0, Some("0:U-5 1:U-0 2:U-0")), &[], 3);
        assert_eq!(
            Sync::Done.after(&unled),
            Sync::Done,
            "an election is no start"
        );
        assert_eq!(Sync::Behind(7).after(&unled), Sync::Behind(7));
        let untold = look((0, Some("")), &[], 3);
        assert_eq!(Sync::Behind(7).after(&untold), Sync::Behind(7));
    }

    #[test]
    fn an_empty_cluster_is_even_from_the_start() {
        assert_eq!(
            Sync::Unknown.after(&look((1, Some("0:UL0 1:U-0 2:U-0")), &[], 3)),
            Sync::Done
        );
    }

    #[test]
    fn it_is_remembered_between_looks_until_the_server_stops() {
        let _host = FakeHost::new();
        let behind = captured(0, HEALTHY);
        assert_eq!(note(&behind), Sync::Behind(2));
        assert_eq!(note(&captured(1, LEADER_0)), Sync::Done);
        assert_eq!(note(&behind), Sync::Done);
        forget();
        assert_eq!(note(&behind), Sync::Behind(2));
    }
}
