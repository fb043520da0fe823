//! Series that AIStore does not have: its state by names, the map, the mountpaths beside those that there
//! should be. Pure.

use outrigger_plugin_sdk::Batch;
use outrigger_plugin_sdk::batch::Builder;

use crate::flags;
use crate::settings::Role;
use crate::smap::Map;
use crate::status::NodeStatus;

/// What is known at a scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// What the node is.
    pub role: Role,
    /// The node's ID.
    pub id: String,
    /// The replicas of this StatefulSet that there should be.
    pub wanted: Vec<String>,
    /// What the node says of itself.
    pub status: Option<NodeStatus>,
    /// The map that it has.
    pub map: Option<Map>,
    /// How many mountpaths there should be.
    pub mountpaths: Option<u32>,
}

/// The series.
pub fn derive(known: &Known) -> Batch {
    let mut batch = Builder::new();
    let status = known.status.as_ref();
    if let Some(state) = status.and_then(|status| status.state) {
        let family = batch.gauge(
            "aistore_state",
            "The node's state, each flag by its name: 1 where it is set.",
        );
        for flag in flags::ALL {
            let set = f64::from(u8::from(flag.is_set(state)));
            batch.sample(family, &[("flag", flag.name)], set);
        }
    }
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let family = batch.gauge(name, help);
            batch.sample(family, &[], value);
        }
    };
    let map = known.map.as_ref();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a map does not change 2^53 times"
    )]
    let count = |count: usize| count as f64;
    #[expect(clippy::cast_precision_loss, reason = "likewise")]
    gauge(
        "aistore_map_version",
        "Version of the cluster map that this node has; 0 before the cluster has started.",
        Some(map.map_or(0.0, |map| map.version as f64)),
    );
    let resting = |map: &Map| {
        let nodes = map.targets.iter();
        nodes
            .filter(|node| node.maintenance || node.decommission)
            .count()
    };
    gauge(
        "aistore_targets_in_map",
        "Targets of the cluster map, those in maintenance included.",
        map.map(|map| count(map.targets.len())),
    );
    gauge(
        "aistore_targets_in_maintenance",
        "Targets in maintenance or being decommissioned.",
        map.map(|map| count(resting(map))),
    );
    gauge(
        "aistore_proxies_in_map",
        "Proxies of the cluster map.",
        map.map(|map| count(map.proxies.len())),
    );
    gauge(
        "aistore_replicas_out_of_map",
        "Replicas of this StatefulSet that there should be and that the cluster map does not have.",
        map.map(|map| {
            let is_out = |id: &&String| match known.role {
                Role::Proxy => map.proxy(id).is_none(),
                Role::Target => map.target(id).is_none(),
            };
            count(known.wanted.iter().filter(is_out).count())
        }),
    );
    match known.role {
        Role::Proxy => gauge(
            "aistore_primary",
            "Whether this proxy is the primary.",
            map.map(|map| f64::from(u8::from(map.primary == known.id))),
        ),
        Role::Target => {
            gauge(
                "aistore_rebalance_running",
                "Whether a rebalance runs on this target.",
                status.map(|status| f64::from(u8::from(status.rebalance.is_some()))),
            );
            gauge(
                "aistore_mountpaths_expected",
                "Mountpaths that this target should have.",
                known.mountpaths.map(f64::from),
            );
            gauge(
                "aistore_mountpaths_seen",
                "Mountpaths that this target uses.",
                status.and_then(|status| status.mountpaths).map(f64::from),
            );
            gauge(
                "aistore_mountpath_used_ratio",
                "How full the fullest mountpath's file system is.",
                status
                    .and_then(|status| status.used)
                    .map(|used| used / 100.0),
            );
        }
    }
    batch.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{STATUS, map, map_with};
    use outrigger_plugin_sdk::json;

    fn lines(known: &Known) -> Vec<String> {
        let batch = derive(known);
        let line = |sample: outrigger_plugin_sdk::batch::Sample<'_>| {
            let label = sample.labels.first().map_or("", |(_, value)| value);
            format!("{} {label} {}", sample.name, sample.value).replace("  ", " ")
        };
        batch.samples().map(line).collect()
    }

    fn known() -> Known {
        Known {
            role: Role::Target,
            id: "ais-target-0".to_owned(),
            wanted: (0..3).map(|n| format!("ais-target-{n}")).collect(),
            status: Some(json::parse(STATUS).unwrap()),
            map: Some(map(&map_with(Some(4)))),
            mountpaths: Some(3),
        }
    }

    #[test]
    fn a_target_tells_state_map_rebalance_and_mountpaths() {
        let lines = lines(&known());
        let flags: Vec<&String> = lines
            .iter()
            .filter(|l| l.starts_with("aistore_state"))
            .collect();
        assert_eq!(flags.len(), 24);
        let set: Vec<&&String> = flags.iter().filter(|line| line.ends_with(" 1")).collect();
        assert_eq!(
            set,
            [
                &"aistore_state cluster-started 1",
                &"aistore_state node-started 1",
                &"aistore_state low-cpu 1"
            ]
        );
        assert_eq!(
            lines[24..],
            [
                "aistore_map_version 5",
                "aistore_targets_in_map 2",
                "aistore_targets_in_maintenance 1",
                "aistore_proxies_in_map 1",
                "aistore_replicas_out_of_map 1",
                "aistore_rebalance_running 1",
                "aistore_mountpaths_expected 3",
                "aistore_mountpaths_seen 2",
                "aistore_mountpath_used_ratio 0.79",
            ]
        );
    }

    #[test]
    fn before_the_cluster_has_started_there_is_a_version_of_nought_alone() {
        let known = Known {
            role: Role::Proxy,
            status: None,
            map: None,
            mountpaths: None,
            ..known()
        };
        assert_eq!(lines(&known), ["aistore_map_version 0"]);
        let started = Known {
            map: Some(map(&map_with(None))),
            id: "ais-proxy-0".to_owned(),
            wanted: vec!["ais-proxy-0".to_owned(), "ais-proxy-1".to_owned()],
            ..known
        };
        assert_eq!(
            lines(&started)[3..],
            [
                "aistore_proxies_in_map 1",
                "aistore_replicas_out_of_map 1",
                "aistore_primary 1"
            ]
        );
    }
}
