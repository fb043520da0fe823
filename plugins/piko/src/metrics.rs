//! Series of the cluster as this replica sees it, by replica instead of by node ID. Pure but for the count
//! of IDs.

use outrigger_plugin_sdk::batch::Builder;
use outrigger_plugin_sdk::{Batch, state};

use crate::cluster::{Look, Member};
use crate::nodes::{Node, NodeStatus};

/// The state's key of the last active node ID of each replica: pairs of an ordinal and an ID.
const IDS: &str = "node-ids";

/// The state's key of how many came after the first.
const CHANGES: &str = "node-id-changes";

/// Notes the IDs that are active now. Gives how many replaced another so far.
pub fn note_ids(look: &Look) -> u64 {
    let changes: u64 = state::load(CHANGES).unwrap_or_default();
    let before: Vec<Vec<String>> = state::load(IDS).unwrap_or_default();
    let known = |ordinal: &str| {
        let pair = before
            .iter()
            .find(|pair| pair.first().is_some_and(|first| first == ordinal))?;
        pair.get(1)
    };
    let mut after = Vec::new();
    let mut replaced = 0;
    for member in &look.members {
        let ordinal = member.replica.ordinal.to_string();
        let active = look
            .rows(member)
            .find(|node| node.status == NodeStatus::Active)
            .map(|node| &node.id);
        let last = known(&ordinal);
        if let (Some(last), Some(active)) = (last, active)
            && last != active
        {
            replaced += 1;
        }
        if let Some(id) = active.or(last) {
            after.push(vec![ordinal, id.clone()]);
        }
    }
    if after == before {
        return changes;
    }
    let changes = changes + replaced;
    let kept = state::store(IDS, &after).and_then(|()| state::store(CHANGES, &changes));
    if let Err(failure) = kept {
        outrigger_plugin_sdk::warn!("New node IDs are not counted", "error" => failure.message);
    }
    changes
}

/// The series of a look. `drained` is what the last drain found in flight.
pub fn derive(look: &Look, id_changes: u64, drained: Option<f64>) -> Batch {
    let mut batch = Builder::new();
    let number = |truth: bool| f64::from(u8::from(truth));
    let wanted: Vec<&Member> = look.members.iter().filter(|member| member.wanted).collect();
    let seen = wanted
        .iter()
        .filter(|member| look.is_active(member))
        .count();

    let family = batch.gauge("piko_members_expected", "Replicas that there should be.");
    batch.sample(family, &[], count(wanted.len()));
    let family = batch.gauge(
        "piko_members_seen",
        "Replicas that this one's server counts as active members.",
    );
    batch.sample(family, &[], count(seen));
    let active = batch.gauge(
        "piko_member_active",
        "Whether this replica's server counts the replica as an active member.",
    );
    let ids = batch.gauge(
        "piko_member_node_ids",
        "Node IDs that this replica's server knows of the replica: more than one for 60 s after a restart.",
    );
    for member in &wanted {
        let labels: &[(&str, &str)] = &[("replica", &member.replica.name)];
        batch.sample(active, labels, number(look.is_active(member)));
        let known: Vec<&Node> = look.rows(member).collect();
        batch.sample(ids, labels, count(known.len()));
    }
    let family = batch.gauge(
        "piko_split_brain",
        "Whether replicas run that are not of this one's cluster.",
    );
    batch.sample(family, &[], number(look.clusters().len() > 1));
    let family = batch.counter(
        "piko_node_id_changes",
        "How often a replica was seen with another node ID than before.",
    );
    batch.sample(
        family,
        &[],
        count(usize::try_from(id_changes).unwrap_or(usize::MAX)),
    );
    if let Some(drained) = drained {
        let family = batch.gauge(
            "piko_drain_requests_in_flight",
            "Requests in flight at the last look of this replica's last drain.",
        );
        batch.sample(family, &[], drained);
    }
    batch.build()
}

/// Counts here stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::look;
    use outrigger_plugin_sdk::fake::FakeHost;

    fn lines(batch: &Batch) -> Vec<String> {
        let line = |sample: outrigger_plugin_sdk::batch::Sample<'_>| {
            let labels: Vec<&str> = sample.labels.iter().map(|(_, value)| *value).collect();
            format!("{}{labels:?} {}", sample.name, sample.value)
        };
        batch.samples().map(line).collect()
    }

    #[test]
    fn members_are_counted_by_replica_whatever_their_node_ids() {
        let list = "+0+1-2+2";
        let look = look(0, &[(0, list), (1, list), (2, "+0+1+2")]);
        let expected = [
            "piko_members_expected[] 3",
            "piko_members_seen[] 3",
            "piko_member_active[\"piko-0\"] 1",
            "piko_member_node_ids[\"piko-0\"] 1",
            "piko_member_active[\"piko-1\"] 1",
            "piko_member_node_ids[\"piko-1\"] 1",
            "piko_member_active[\"piko-2\"] 1",
            "piko_member_node_ids[\"piko-2\"] 2",
            "piko_split_brain[] 0",
            "piko_node_id_changes[] 4",
        ];
        assert_eq!(lines(&derive(&look, 4, None)), expected);
    }

    #[test]
    fn a_split_brain_and_what_a_drain_cut_off_are_series() {
        let split = look(0, &[(0, "+0"), (1, "+1"), (2, "+2")]);
        let lines = lines(&derive(&split, 0, Some(3.0)));
        for line in [
            "piko_members_seen[] 1",
            "piko_split_brain[] 1",
            "piko_drain_requests_in_flight[] 3",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
        }
    }

    #[test]
    fn a_new_node_id_of_a_replica_is_counted_once() {
        let _host = FakeHost::new();
        let first = look(0, &[(0, "+0+1")]);
        assert_eq!(note_ids(&first), 0, "the first ID replaces none");
        let mut second = first.clone();
        for member in &mut second.members {
            for node in member
                .answer
                .iter_mut()
                .flat_map(|a| a.nodes.iter_mut())
                .flatten()
            {
                node.id = node.id.replace("piko-1-a", "piko-1-b");
            }
        }
        assert_eq!(note_ids(&second), 1);
        assert_eq!(note_ids(&second), 1);
        let gone = look(0, &[(0, "+0")]);
        assert_eq!(note_ids(&gone), 1);
        assert_eq!(note_ids(&first), 2, "it is known while it is away");
    }
}
