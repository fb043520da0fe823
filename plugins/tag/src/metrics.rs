//! Series that TAG itself does not have: members beside those that there should be, the ring beside the
//! membership, the share of hits, the disk. Pure.

use outrigger_plugin_sdk::Batch;
use outrigger_plugin_sdk::batch::Builder;
use outrigger_plugin_sdk::files::FsUsage;

use crate::counts::Counts;

/// What is known at a scrape.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// How many replicas there should be.
    pub wanted: u32,
    /// The own server's numbers.
    pub counts: Option<Counts>,
    /// The cache's disk.
    pub disk: Option<FsUsage>,
    /// The cap in bytes.
    pub cap: Option<u64>,
    /// Whether the upstream answered when it was last asked.
    pub upstream: Option<bool>,
    /// What the last drain found in flight.
    pub drained: Option<f64>,
}

/// The series.
pub fn derive(known: &Known) -> Batch {
    let mut batch = Builder::new();
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let family = batch.gauge(name, help);
            batch.sample(family, &[], value);
        }
    };
    let counts = known.counts.as_ref();
    let members = counts.and_then(|counts| counts.members);
    let ring = counts.and_then(|counts| counts.ring);
    gauge(
        "tag_members_expected",
        "Replicas that there should be.",
        Some(f64::from(known.wanted)),
    );
    gauge(
        "tag_members_seen",
        "Members that this replica counts, itself included.",
        members.map(f64::from),
    );
    gauge(
        "tag_ring_without_members",
        "Instances of the ring that are no members: their keys are misses until they return.",
        members
            .zip(ring)
            .map(|(members, ring)| f64::from(ring.saturating_sub(members))),
    );
    gauge(
        "tag_hit_ratio",
        "Share of the look-ups since TAG's start that were hits.",
        counts.and_then(|counts| {
            let all = counts.hits + counts.misses;
            (all > 0.0).then_some(counts.hits / all)
        }),
    );
    gauge(
        "tag_disk_size_bytes",
        "Size of the cache's disk.",
        known.disk.map(|disk| disk.total),
    );
    gauge(
        "tag_disk_headroom_bytes",
        "What is free on the cache's disk.",
        known.disk.map(|disk| disk.available),
    );
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 bytes")]
    gauge(
        "tag_disk_cap_bytes",
        "How much of the disk the cache may fill, as the plugin reckons it.",
        known.cap.map(|cap| cap as f64),
    );
    gauge(
        "tag_upstream_up",
        "Whether the upstream answered when it was last asked.",
        known.upstream.map(|up| f64::from(u8::from(up))),
    );
    gauge(
        "tag_drain_requests_in_flight",
        "Requests in flight at the last look of this replica's last drain.",
        known.drained,
    );
    batch.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(known: &Known) -> Vec<String> {
        let batch = derive(known);
        let line = |sample: outrigger_plugin_sdk::batch::Sample<'_>| {
            format!("{} {}", sample.name, sample.value)
        };
        batch.samples().map(line).collect()
    }

    #[test]
    fn what_is_known_is_told_and_what_is_not_is_left_out() {
        let known = Known {
            wanted: 3,
            counts: Some(Counts {
                members: Some(2),
                ring: Some(3),
                hits: 11.0,
                misses: 9.0,
                ..Counts::default()
            }),
            disk: Some(FsUsage {
                total: 1000.0,
                available: 400.0,
                inodes_free: 1.0,
            }),
            cap: Some(900),
            upstream: Some(false),
            drained: Some(0.0),
        };
        assert_eq!(
            lines(&known),
            [
                "tag_members_expected 3",
                "tag_members_seen 2",
                "tag_ring_without_members 1",
                "tag_hit_ratio 0.55",
                "tag_disk_size_bytes 1000",
                "tag_disk_headroom_bytes 400",
                "tag_disk_cap_bytes 900",
                "tag_upstream_up 0",
                "tag_drain_requests_in_flight 0",
            ]
        );
        assert_eq!(lines(&Known::default()), ["tag_members_expected 0"]);
    }
}
