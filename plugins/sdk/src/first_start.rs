//! When a replica may start whose workload looks for its peers once, at its start, and takes having found
//! nobody for being the first.
//!
//! Two such replicas that start without seeing each other stay two clusters. So one is the first, and the
//! others wait until somebody runs: the replica with the lowest ordinal starts alone, any other as soon as
//! one that runs answers. Nobody waits for ever: a lowest replica that never comes must not keep the others
//! down, so each waits [`PATIENCE_MS`] for each replica before it that is there.

use crate::{Membership, PodPhase, Replica, stopwatch};

/// How long a start waits for a replica that is to be first, in milliseconds: longer than a pod that is
/// there takes to start, shorter than an outage should be.
pub const PATIENCE_MS: u64 = 30_000;

/// The longest wait, however many replicas come before.
const PATIENCE_MAX_MS: u64 = 300_000;

/// The key of how long the start has been held.
const HELD: &str = "start-held";

/// How many names a reason tells.
const NAMES_SHOWN: usize = 3;

/// Why this replica's start waits; none when it may start. `running` are the ordinals of the peers whose
/// workload answers now. Remembers since when it has waited: call [`started`] once the workload runs.
pub fn hold(now: &Membership, running: &[u32]) -> Option<String> {
    if decide(now, running, 0).is_none() {
        started();
        return None;
    }
    // Without a memory the wait would have no end.
    if !stopwatch::start(HELD) {
        return None;
    }
    decide(now, running, stopwatch::elapsed(HELD)?)
}

/// Forgets that a start was held.
pub fn started() {
    stopwatch::stop(HELD);
}

/// The same without a memory: `waited` is how long the start has been held, in milliseconds.
pub fn decide(now: &Membership, running: &[u32], waited: u64) -> Option<String> {
    let own = now.self_ordinal;
    let others: Vec<&Replica> = now.wanted().filter(|r| r.ordinal != own).collect();
    if others.is_empty() || running.iter().any(|ordinal| *ordinal != own) {
        return None;
    }
    let before: Vec<&Replica> = others
        .iter()
        .copied()
        .filter(|replica| replica.ordinal < own)
        .collect();
    if before.is_empty() {
        // What could not be looked up may well be running.
        let unknown: Vec<&Replica> = others
            .into_iter()
            .filter(|replica| replica.phase == PodPhase::Unknown)
            .collect();
        return (!unknown.is_empty() && waited < PATIENCE_MS).then(|| {
            format!(
                "it is not known whether {} run, and a start without them makes a second cluster; {}",
                names(&unknown),
                until(waited, PATIENCE_MS)
            )
        });
    }
    let there = before.iter().filter(|replica| is_there(replica)).count();
    let patience = PATIENCE_MS
        .saturating_mul(u64::try_from(there).unwrap_or(u64::MAX).max(1))
        .min(PATIENCE_MAX_MS);
    (waited < patience).then(|| {
        format!(
            "no other replica runs yet, and {} starts first, so that there is one cluster; {}",
            before[0].name,
            until(waited, patience)
        )
    })
}

fn is_there(replica: &Replica) -> bool {
    !replica.addresses.is_empty()
        || matches!(
            replica.phase,
            PodPhase::Starting | PodPhase::Ready | PodPhase::NotReady
        )
}

fn names(replicas: &[&Replica]) -> String {
    let shown: Vec<&str> = replicas
        .iter()
        .take(NAMES_SHOWN)
        .map(|replica| replica.name.as_str())
        .collect();
    let more = replicas.len() - shown.len();
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!("{}{more}", shown.join(", "))
}

/// Whole steps of ten seconds, so that the reason is not another one each second.
fn until(waited: u64, patience: u64) -> String {
    let left = patience.saturating_sub(waited).div_ceil(10_000) * 10;
    format!("without them it starts within {left} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    fn now(own: u32, phases: &[PodPhase]) -> Membership {
        let replica = |(ordinal, phase): (u32, &PodPhase)| Replica {
            phase: *phase,
            addresses: match phase {
                PodPhase::Unknown | PodPhase::Pending => Vec::new(),
                _ => vec!["10.0.0.1".to_owned()],
            },
            ..Replica::new(ordinal, format!("db-{ordinal}"), format!("db-{ordinal}.db"))
        };
        Membership {
            revision: 1,
            self_ordinal: own,
            start: 0,
            desired: u32::try_from(phases.len()).unwrap(),
            namespace: "default".to_owned(),
            service: "db".to_owned(),
            replicas: (0..).zip(phases).map(replica).collect(),
            stale_for: 0,
        }
    }

    const THERE: [PodPhase; 3] = [PodPhase::Starting; 3];

    #[test]
    fn the_lowest_starts_alone_and_the_others_wait_until_somebody_runs() {
        assert_eq!(decide(&now(0, &THERE), &[], 0), None);
        let reason = decide(&now(1, &THERE), &[], 0).unwrap();
        assert_eq!(
            reason,
            "no other replica runs yet, and db-0 starts first, so that there is one cluster; without them it starts within 30 s"
        );
        assert_eq!(decide(&now(1, &THERE), &[0], 0), None);
        assert_eq!(
            decide(&now(2, &THERE), &[1], 0),
            None,
            "whoever runs will do"
        );
        assert_eq!(decide(&now(0, &[PodPhase::Starting]), &[], 0), None);
    }

    #[test]
    fn the_lowest_that_comes_back_while_others_run_joins_them() {
        assert_eq!(decide(&now(0, &THERE), &[1, 2], 0), None);
    }

    #[test]
    fn the_lowest_waits_while_the_others_cannot_be_looked_up_but_not_for_ever() {
        use PodPhase::{Starting, Unknown};
        let now = now(0, &[Starting, Unknown, Unknown]);
        let reason = decide(&now, &[], 0).unwrap();
        assert!(
            reason.starts_with("it is not known whether db-1, db-2 run"),
            "{reason}"
        );
        assert_eq!(decide(&now, &[], PATIENCE_MS), None);
    }

    #[test]
    fn a_first_one_that_never_comes_keeps_nobody_down() {
        use PodPhase::{Pending, Starting};
        // Nobody before it is there, so one span is enough; they start one after the other.
        let alone = now(2, &[Pending, Pending, Starting]);
        assert!(decide(&alone, &[], PATIENCE_MS - 1).is_some());
        assert_eq!(decide(&alone, &[], PATIENCE_MS), None);
        let third = now(2, &THERE);
        assert!(decide(&third, &[], PATIENCE_MS).is_some());
        assert_eq!(decide(&third, &[], 2 * PATIENCE_MS), None);
        let phases = vec![Starting; 50];
        let last = now(49, &phases);
        assert_eq!(decide(&last, &[], PATIENCE_MAX_MS), None);
    }

    #[test]
    fn the_wait_is_remembered_and_forgotten_once_the_start_is_free() {
        let host = FakeHost::new();
        let second = now(1, &THERE);
        assert!(hold(&second, &[]).is_some());
        host.advance(29_000.0);
        assert!(hold(&second, &[]).is_some());
        host.advance(1_000.0);
        assert_eq!(hold(&second, &[]), None);
        assert_eq!(hold(&second, &[0]), None);
        assert!(host.state(HELD).is_none());
        assert!(hold(&second, &[]).is_some(), "the next start waits anew");
    }
}
