//! What a data server's readiness adds to `oxia-readiness`, which is given once and never withdrawn: what the
//! coordinator says of this server and its shards. Pure.
//!
//! The cluster's troubles take no server out of service. Clients find each other server through any of them, so
//! a Service without any would turn a lost quorum into a lost name.

use outrigger_plugin_sdk::{Reason, Status, Verdict};

use crate::coordinator::names;
use crate::series::View;

/// How long a server may be live without being told its shards before that is told, in milliseconds. A start
/// takes 10 to 16 s, a changed address 36 s.
pub const STUCK_MS: u64 = 60_000;

/// What came of asking the coordinator's sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The profile does not grant it.
    NotGranted,
    /// It does not answer, or knows nothing yet.
    Silent(String),
    /// It answered.
    Said(View),
}

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// This server's name in the coordinator's list.
    pub name: String,
    /// What the coordinator says.
    pub told: Told,
    /// Whether the last verdict held what the coordinator said against this server.
    pub refused: bool,
    /// For how long it is live and not told its shards, in milliseconds.
    pub stuck_ms: u64,
}

/// The verdict.
pub fn judge(look: &Look) -> Verdict {
    let mut reasons: Vec<Reason> = stuck(look).into_iter().collect();
    let status = match &look.told {
        Told::NotGranted => Status::Degraded,
        Told::Silent(why) => {
            let reason = Reason::cluster(
                "coordinator-silent",
                format!("the coordinator's sidecar does not say how this server is: {why}"),
            );
            if look.refused {
                // What it said last stands: nobody becomes better by not being asked.
                return Verdict::unknown(reason);
            }
            reasons.push(reason);
            Status::Degraded
        }
        Told::Said(view) => said(look, view, &mut reasons),
    };
    let verdict = match status {
        Status::Fail => Verdict::fail(reasons),
        _ if reasons.is_empty() => Verdict::pass(),
        _ => Verdict::degraded(reasons),
    };
    match &look.told {
        Told::Said(view) => verdict
            .attr("shards", view.own.shards.to_string())
            .attr("leads", view.own.leads.to_string()),
        _ => verdict,
    }
}

/// What the coordinator's word comes to; the reasons are put in their order.
fn said(look: &Look, view: &View, reasons: &mut Vec<Reason>) -> Status {
    let (status, reason) = match view.own.running {
        // Who reaches less than half is the one with the trouble; a server that is dead fails by itself.
        Some(false) if view.down.len() > view.up.len() => (
            Status::Degraded,
            Reason::cluster(
                "coordinator-reaches-few",
                format!("the coordinator does not reach {}", names(&view.down)),
            ),
        ),
        Some(false) => (
            Status::Fail,
            Reason::own(
                "not-running",
                "the coordinator does not reach this server: it moves nothing to it, and tells it nothing; is \
                 its name resolved, and to its present address?",
            ),
        ),
        None if view.own.shards > 0 => (
            Status::Degraded,
            Reason::own(
                "leaving",
                format!(
                    "not in the coordinator's list, and the ensembles of {} shards name it: it is not to stop yet",
                    view.own.shards
                ),
            ),
        ),
        None => (
            Status::Fail,
            Reason::own(
                "not-listed",
                format!(
                    "`{}` is not in the coordinator's list of servers",
                    look.name
                ),
            ),
        ),
        Some(true) if view.own.without_quorum > 0 => (
            Status::Degraded,
            Reason::cluster(
                "no-quorum",
                format!(
                    "{} of its {} shards have no majority that answers; the coordinator does not reach {}",
                    view.own.without_quorum,
                    view.own.shards,
                    names(&view.down)
                ),
            ),
        ),
        Some(true) if view.own.steady < view.own.shards => (
            Status::Fail,
            Reason::cluster(
                "shards-not-steady",
                format!(
                    "{} of the {} shards that name it are steady",
                    view.own.steady, view.own.shards
                ),
            ),
        ),
        Some(true) => return Status::Pass,
    };
    reasons.push(reason);
    status
}

fn stuck(look: &Look) -> Option<Reason> {
    if look.stuck_ms < STUCK_MS {
        return None;
    }
    let since = format!(
        "live for {} s and not told its shards",
        look.stuck_ms / 1000
    );
    let what = match &look.told {
        Told::Silent(_) => {
            "the coordinator has to come back; a restart of this server does not help"
        }
        Told::Said(view) if view.own.running != Some(true) => {
            "the coordinator has to reach it first"
        }
        _ => "restart this server: oxia-db/oxia#1292 leaves it so for ever",
    };
    Some(Reason::own(
        "assignments-missing",
        format!("{since}: {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::tests::exposition;
    use crate::testing::{NO_QUORUM, STEADY};
    use outrigger_plugin_sdk::Scope;

    fn look(told: Told) -> Look {
        Look {
            name: "oxia-0".to_owned(),
            told,
            refused: false,
            stuck_ms: 0,
        }
    }

    fn view(status: &str, own: &str, servers: &[(&str, bool)]) -> Told {
        Told::Said(View::read(&exposition(status, servers), own).unwrap())
    }

    fn told(look: &Look) -> (Status, Vec<String>) {
        let verdict = judge(look);
        let codes = verdict.reasons.into_iter().map(|reason| reason.code);
        (verdict.status, codes.collect())
    }

    fn one(status: Status, code: &str) -> (Status, Vec<String>) {
        (status, vec![code.to_owned()])
    }

    #[test]
    fn a_server_whose_shards_are_steady_passes() {
        let all = [("oxia-0", true), ("oxia-1", true), ("oxia-2", true)];
        assert_eq!(
            told(&look(view(STEADY, "oxia-0", &all))),
            (Status::Pass, vec![])
        );
        // One more server than ensembles name: it has nothing yet and is as good as the others.
        let four = [
            ("oxia-0", true),
            ("oxia-1", true),
            ("oxia-2", true),
            ("oxia-3", true),
        ];
        assert_eq!(
            told(&look(view(STEADY, "oxia-3", &four))),
            (Status::Pass, vec![])
        );
    }

    #[test]
    fn without_a_quorum_the_one_that_is_left_stays_in_service() {
        let dead = [("oxia-0", true), ("oxia-1", false), ("oxia-2", false)];
        let survivor = look(view(NO_QUORUM, "oxia-0", &dead));
        assert_eq!(told(&survivor), one(Status::Degraded, "no-quorum"));
        assert_eq!(judge(&survivor).reasons[0].scope, Scope::Cluster);
        // Of the others it may be the coordinator that is cut off.
        assert_eq!(
            told(&look(view(NO_QUORUM, "oxia-1", &dead))),
            one(Status::Degraded, "coordinator-reaches-few")
        );
    }

    #[test]
    fn one_that_the_coordinator_alone_of_them_does_not_reach_is_unready() {
        let one_down = [("oxia-0", false), ("oxia-1", true), ("oxia-2", true)];
        let verdict = judge(&look(view(STEADY, "oxia-0", &one_down)));
        assert_eq!(verdict.status, Status::Fail);
        assert_eq!(
            (verdict.reasons[0].code.as_str(), verdict.reasons[0].scope),
            ("not-running", Scope::Replica)
        );
    }

    #[test]
    fn an_election_holds_a_starting_server_back_and_no_other() {
        let all = [("oxia-0", true), ("oxia-1", true), ("oxia-2", true)];
        let verdict = judge(&look(view(NO_QUORUM, "oxia-0", &all)));
        assert_eq!(verdict.status, Status::Fail);
        assert_eq!(verdict.reasons[0].scope, Scope::Cluster);
        assert_eq!(
            verdict.reasons[0].message,
            "1 of the 2 shards that name it are steady"
        );
    }

    #[test]
    fn one_that_is_not_listed_is_unready_unless_ensembles_name_it() {
        let others = [("oxia-1", true), ("oxia-2", true), ("oxia-3", true)];
        assert_eq!(
            told(&look(view(STEADY, "oxia-0", &others))),
            one(Status::Degraded, "leaving")
        );
        assert_eq!(
            told(&look(view(STEADY, "oxia-9", &others))),
            one(Status::Fail, "not-listed")
        );
    }

    #[test]
    fn a_silent_coordinator_changes_nothing() {
        let mut silent = look(Told::Silent("connection refused".to_owned()));
        assert_eq!(told(&silent), one(Status::Degraded, "coordinator-silent"));
        silent.refused = true;
        assert_eq!(told(&silent), one(Status::Unknown, "coordinator-silent"));
        assert_eq!(told(&look(Told::NotGranted)), (Status::Pass, vec![]));
    }

    #[test]
    fn a_server_that_is_live_and_not_ready_for_a_minute_is_told_with_what_helps() {
        let all = [("oxia-0", true), ("oxia-1", true), ("oxia-2", true)];
        let mut stuck = look(view(STEADY, "oxia-0", &all));
        stuck.stuck_ms = STUCK_MS - 1;
        assert_eq!(told(&stuck).1, Vec::<String>::new());
        stuck.stuck_ms = 75_000;
        assert_eq!(
            judge(&stuck).reasons[0].message,
            "live for 75 s and not told its shards: restart this server: oxia-db/oxia#1292 leaves it so for ever"
        );
        stuck.told = Told::Silent("connection refused".to_owned());
        let reasons = judge(&stuck).reasons;
        assert_eq!(reasons[0].code, "assignments-missing");
        assert!(
            reasons[0]
                .message
                .ends_with("a restart of this server does not help")
        );
    }
}
