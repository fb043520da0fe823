//! Series of the cluster as this replica sees it. agdb has none of its own.

use outrigger_plugin_sdk::Batch;
use outrigger_plugin_sdk::batch::Builder;

use crate::admin::AdminStatus;
use crate::status::{Look, leader};

/// The series of a look; `leader_changes` is what was counted so far.
pub fn derive(look: &Look, leader_changes: u32, admin: Option<&AdminStatus>) -> Batch {
    let mut batch = Builder::new();
    members(&mut batch, look);

    let changes = batch.counter(
        "agdb_leader_changes",
        "How often this replica saw another leader than before.",
    );
    batch.sample(changes, &[], f64::from(leader_changes));
    if let Some(admin) = admin {
        let own: &[(&str, &str)] = &[("replica", &look.own.name)];
        for (name, help, value) in [
            (
                "agdb_uptime_seconds",
                "How long this replica's server has been running.",
                admin.uptime,
            ),
            (
                "agdb_databases",
                "Databases on this replica's server.",
                admin.dbs,
            ),
            ("agdb_users", "Users of this replica's server.", admin.users),
            (
                "agdb_size_bytes",
                "Size of the data on this replica's disk.",
                admin.size,
            ),
            (
                "agdb_memory_bytes",
                "Memory of this replica's server process.",
                admin.memory,
            ),
        ] {
            let family = batch.gauge(name, help);
            batch.sample(family, own, count(value));
        }
    }
    batch.build()
}

fn members(batch: &mut Builder, look: &Look) {
    let up = batch.gauge(
        "agdb_up",
        "Whether the member answers: 1 or 0, as this replica sees it.",
    );
    let Some(rows) = look.own.table.as_deref().filter(|_| look.own.answers) else {
        batch.sample(
            up,
            &[("replica", &look.own.name)],
            f64::from(u8::from(look.own.answers)),
        );
        for peer in look.peers.iter().filter(|peer| peer.wanted) {
            batch.sample(
                up,
                &[("replica", &peer.name)],
                f64::from(u8::from(peer.answers)),
            );
        }
        cluster(batch, false, false);
        return;
    };
    let is_leader = batch.gauge("agdb_leader", "Whether the member leads the cluster.");
    let executed = batch.gauge(
        "agdb_executed_index",
        "Index of the last log entry that the member executed.",
    );
    let lag = batch.gauge(
        "agdb_replication_lag",
        "Log entries that the leader executed and the member did not.",
    );
    let resync = batch.gauge("agdb_resync", "Whether the member is taking a snapshot.");
    let number = |truth: bool| f64::from(u8::from(truth));

    let members_up = rows.iter().filter(|row| look.is_up(row, rows)).count();
    let quorate = members_up > rows.len() / 2;
    let leader = leader(rows);
    let front = rows
        .iter()
        .find(|row| Some(row.address.as_str()) == leader)
        .map(|row| row.executed_index);
    for row in rows {
        let labels: &[(&str, &str)] = &[("replica", look.name(&row.address))];
        batch.sample(up, labels, number(look.is_up(row, rows)));
        batch.sample(is_leader, labels, number(row.leader && quorate));
        // Without a leader agdb knows these of no member but itself, and prints 0.
        if front.is_none() && row.address != look.own.url && rows.len() > 1 {
            continue;
        }
        batch.sample(executed, labels, count(row.executed_index));
        batch.sample(resync, labels, number(row.resync));
        if let Some(front) = front {
            batch.sample(lag, labels, count(front.saturating_sub(row.executed_index)));
        }
    }
    cluster(batch, leader.is_some() && quorate, quorate);
}

fn cluster(batch: &mut Builder, has_leader: bool, quorate: bool) {
    let family = batch.gauge(
        "agdb_has_leader",
        "Whether there is one leader, with a majority behind it.",
    );
    batch.sample(family, &[], f64::from(u8::from(has_leader)));
    let family = batch.gauge("agdb_quorum", "Whether a majority of the members is up.");
    batch.sample(family, &[], f64::from(u8::from(quorate)));
}

/// Log indexes and sizes stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::look;

    fn lines(batch: &Batch) -> Vec<String> {
        batch
            .samples()
            .map(|sample| {
                let labels: Vec<String> = sample
                    .labels
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!("{}{{{}}} {}", sample.name, labels.join(","), sample.value)
            })
            .collect()
    }

    #[test]
    fn a_healthy_cluster_gives_five_series_for_each_member_and_three_for_all() {
        let table = "0:UL5 1:U-4 2:U-4";
        let look = look((0, Some(table)), &[(1, Some(table)), (2, Some(table))], 3);
        let expected = [
            "agdb_up{replica=agdb-0} 1",
            "agdb_leader{replica=agdb-0} 1",
            "agdb_executed_index{replica=agdb-0} 5",
            "agdb_resync{replica=agdb-0} 0",
            "agdb_replication_lag{replica=agdb-0} 0",
            "agdb_up{replica=agdb-1} 1",
            "agdb_leader{replica=agdb-1} 0",
            "agdb_executed_index{replica=agdb-1} 4",
            "agdb_resync{replica=agdb-1} 0",
            "agdb_replication_lag{replica=agdb-1} 1",
            "agdb_up{replica=agdb-2} 1",
            "agdb_leader{replica=agdb-2} 0",
            "agdb_executed_index{replica=agdb-2} 4",
            "agdb_resync{replica=agdb-2} 0",
            "agdb_replication_lag{replica=agdb-2} 1",
            "agdb_has_leader{} 1",
            "agdb_quorum{} 1",
            "agdb_leader_changes{} 2",
        ];
        assert_eq!(lines(&derive(&look, 2, None)), expected);
    }

    #[test]
    fn a_leader_without_a_majority_is_no_leader_in_the_metrics_either() {
        let look = look((0, Some("0:UL7 1:d-0 2:U-6")), &[(1, None), (2, None)], 3);
        let lines = lines(&derive(&look, 0, None));
        assert!(lines.contains(&"agdb_leader{replica=agdb-0} 0".to_owned()));
        assert!(lines.contains(&"agdb_has_leader{} 0".to_owned()));
        assert!(lines.contains(&"agdb_quorum{} 0".to_owned()));
    }

    #[test]
    fn without_a_leader_only_the_own_index_is_real() {
        let look = look((1, Some("0:d-0 1:U-11 2:d-0")), &[(0, None), (2, None)], 3);
        let lines = lines(&derive(&look, 0, None));
        let indexes: Vec<&String> = lines
            .iter()
            .filter(|l| l.starts_with("agdb_executed_index"))
            .collect();
        assert_eq!(indexes, ["agdb_executed_index{replica=agdb-1} 11"]);
        assert!(
            !lines
                .iter()
                .any(|line| line.starts_with("agdb_replication_lag"))
        );
    }

    #[test]
    fn a_server_that_does_not_answer_is_down_and_the_peers_are_as_they_are() {
        let look = look((0, None), &[(1, Some("")), (2, None)], 3);
        let lines = lines(&derive(&look, 0, None));
        assert_eq!(
            lines[..3],
            [
                "agdb_up{replica=agdb-0} 0",
                "agdb_up{replica=agdb-1} 1",
                "agdb_up{replica=agdb-2} 0"
            ]
        );
        assert!(lines.contains(&"agdb_quorum{} 0".to_owned()));
    }

    #[test]
    fn the_admin_status_is_the_own_servers() {
        let look = look((0, Some("0:UL1")), &[], 1);
        let admin: AdminStatus =
            outrigger_plugin_sdk::json::parse(include_str!("../tests/data/admin-status.json"))
                .unwrap();
        let lines = lines(&derive(&look, 0, Some(&admin)));
        assert!(lines.contains(&"agdb_memory_bytes{replica=agdb-0} 23498752".to_owned()));
        assert!(lines.contains(&"agdb_uptime_seconds{replica=agdb-0} 68".to_owned()));
    }
}
