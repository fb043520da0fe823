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
    /// Own: a majority follows a leader that does not reach it.
    pub const UNLED: &str = "unled";
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
    if let Some(elsewhere) = led_without_it(look, rows) {
        let message = format!(
            "the others follow {}, which does not reach this replica: agdb tries its former address for up to \
             a minute",
            look.name(elsewhere)
        );
        reasons.push(Reason::own(code::UNLED, message));
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

/// The leader that a majority names while the own server has none. agdb sends to each member one request
/// after the other and waits a minute for each, so that a connection begun to the address of a pod that
/// was just taken away keeps its successor out.
fn led_without_it<'a>(look: &'a Look, rows: &[Row]) -> Option<&'a str> {
    if rows.iter().any(|row| row.leader) {
        return None;
    }
    let named = |peer: &'a crate::status::Seen| {
        let table = peer.table.as_deref()?;
        (members(table) == members(rows)).then(|| leader(table))?
    };
    let mut names = look.peers.iter().filter_map(named);
    let first = names.next()?;
    let agreed = 1 + names.filter(|name| *name == first).count();
    (first != look.own.url && agreed >= majority(rows.len())).then_some(first)
}

fn cluster_reasons(look: &Look, rows: &[Row], up: usize) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(too_few(up, rows.len()));
    if several_leaders(look, rows) {
        reasons.push(Reason::cluster(
            code::SEVERAL_LEADERS,
            "the replicas do not name the same leader",
        ));
    } else if !rows.iter().any(|row| row.leader) && led_without_it(look, rows).is_none() {
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
mod tests;
