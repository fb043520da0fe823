//! What the coordinator's readiness says of its cluster. Nothing here takes the coordinator out of service: it
//! is alone, and reads and writes go on without it. Pure.

use outrigger_plugin_sdk::{Reason, Verdict};

use crate::census::Census;

/// How many names a message holds.
const NAMES_MAX: usize = 8;

/// The verdict. `status` is why the status file cannot be read, where it cannot; `metrics` is whether the
/// coordinator serves metrics, which it does once it leads.
pub fn judge(census: Result<&Census, &Reason>, metrics: bool) -> Verdict {
    let mut reasons = Vec::new();
    let mut cluster = |code: &str, message: String| reasons.push(Reason::cluster(code, message));
    match census {
        Err(_) => {}
        Ok(census) => {
            if !census.without_quorum.is_empty() {
                cluster(
                    "no-quorum",
                    format!(
                        "no majority of the copies answers: {}; writes to them time out",
                        names(&census.without_quorum)
                    ),
                );
            }
            if !census.leaderless.is_empty() {
                cluster(
                    "no-leader",
                    format!("no leader: {}", names(&census.leaderless)),
                );
            }
            let led: Vec<&String> = census
                .unsteady
                .iter()
                .filter(|shard| !census.leaderless.contains(shard))
                .collect();
            if !led.is_empty() {
                cluster("shards-not-steady", format!("not steady: {}", names(&led)));
            }
            if !census.down().is_empty() {
                cluster(
                    "servers-unavailable",
                    format!("the coordinator does not reach {}", names(&census.down())),
                );
            }
            if !census.removed().is_empty() {
                cluster(
                    "removed-servers-named",
                    format!(
                        "not in the list of servers, and still named by ensembles: {}; they are not to stop yet",
                        names(&census.removed())
                    ),
                );
            }
        }
    }
    if let Err(why) = census {
        reasons.push(why.clone());
    }
    if !metrics {
        reasons.push(Reason::own(
            "no-metrics",
            "the coordinator serves no metrics: it does not lead yet, and who answers is not known",
        ));
    }
    let verdict = if reasons.is_empty() {
        Verdict::pass()
    } else {
        Verdict::degraded(reasons)
    };
    match census {
        Ok(census) => verdict
            .attr("shards", census.shards.to_string())
            .attr("leader-spread", census.spread().to_string()),
        Err(_) => verdict,
    }
}

/// A few names in words.
pub fn names<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::census::census;
    use crate::status;
    use crate::testing::{NO_QUORUM, STEADY, running};
    use outrigger_plugin_sdk::{Scope, Status};

    fn told(status: &str, servers: &[(&str, bool)]) -> (Status, Vec<String>) {
        let status = status::read(status.as_bytes()).unwrap();
        let verdict = judge(Ok(&census(&status, &running(servers))), !servers.is_empty());
        let codes = verdict.reasons.into_iter().map(|reason| reason.code);
        (verdict.status, codes.collect())
    }

    #[test]
    fn a_steady_cluster_passes() {
        let all = [("oxia-0", true), ("oxia-1", true), ("oxia-2", true)];
        assert_eq!(told(STEADY, &all), (Status::Pass, vec![]));
    }

    #[test]
    fn without_a_quorum_it_is_degraded_and_says_all_of_it() {
        let dead = [("oxia-0", true), ("oxia-1", false), ("oxia-2", false)];
        let (status, codes) = told(NO_QUORUM, &dead);
        assert_eq!(status, Status::Degraded);
        assert_eq!(codes, ["no-quorum", "no-leader", "servers-unavailable"]);
        let status = status::read(NO_QUORUM.as_bytes()).unwrap();
        let verdict = judge(Ok(&census(&status, &running(&dead))), true);
        assert!(
            verdict
                .reasons
                .iter()
                .all(|reason| reason.scope == Scope::Cluster)
        );
        assert_eq!(
            verdict.reasons[0].message,
            "no majority of the copies answers: default/0, default/1; writes to them time out"
        );
    }

    #[test]
    fn an_election_with_a_leader_and_a_removed_server_are_told() {
        let electing = STEADY.replacen("status: 1", "status: 2", 1);
        let three = [("oxia-0", true), ("oxia-1", true), ("oxia-3", true)];
        let (_, codes) = told(&electing, &three);
        assert_eq!(codes, ["shards-not-steady", "removed-servers-named"]);
    }

    #[test]
    fn one_that_does_not_lead_yet_is_told() {
        assert_eq!(
            told(STEADY, &[]),
            (Status::Degraded, vec!["no-metrics".to_owned()])
        );
        let why = Reason::own("no-status", "");
        assert_eq!(judge(Err(&why), true).reasons, [why]);
    }

    #[test]
    fn a_thousand_shards_are_told_in_a_line() {
        let many: Vec<String> = (0..1000).map(|shard| format!("default/{shard}")).collect();
        assert!(names(&many).ends_with("default/7 and 992 more"));
    }
}
