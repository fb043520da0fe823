//! What TAG's `/metrics` says of its membership: it has no status of its own.

use outrigger_plugin_sdk::exposition;

/// The numbers of one node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// Members of the gossip, this node included; none where TAG runs without a cluster.
    pub members: Option<u32>,
    /// Instances that the ring holds and that have not said that they leave: those that own keys or will.
    pub ring: Option<u32>,
    /// Requests that are being served.
    pub in_flight: f64,
    /// Since the start.
    pub hits: f64,
    /// Since the start.
    pub misses: f64,
    /// When the process was started: tells one from the next.
    pub process: Option<String>,
}

/// Reads them.
pub fn counts(text: &str) -> Counts {
    let mut counts = Counts::default();
    // What is no number of anything says nothing: a hit that is NaN would make every share one.
    let is_some = |value: f64| value.is_finite() && value >= 0.0;
    for sample in exposition::samples(text).filter(|sample| is_some(sample.value)) {
        match sample.name {
            "memberlist_client_cluster_members_count" => counts.members = number(sample.value),
            "ring_members" if sample.label("state") != Some("LEAVING") => {
                let more = number(sample.value).unwrap_or_default();
                counts.ring = Some(counts.ring.unwrap_or_default().saturating_add(more));
            }
            "tag_inflight_requests" => counts.in_flight = sample.value,
            "tag_cache_hits_total" => counts.hits += sample.value,
            "tag_cache_misses_total" => counts.misses += sample.value,
            "process_start_time_seconds" => counts.process = Some(sample.value.to_string()),
            _ => {}
        }
    }
    counts
}

/// A count, where it is one.
fn number(value: f64) -> Option<u32> {
    let is_count = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number within the bounds"
    )]
    is_count.then_some(value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOINED: &str = include_str!("../tests/data/joined.prom");

    #[test]
    fn captured_metrics_are_read() {
        let counts = counts(JOINED);
        assert_eq!((counts.members, counts.ring), (Some(3), Some(3)));
        assert_eq!((counts.in_flight, counts.hits), (0.0, 0.0));
        assert_eq!(counts.process.as_deref(), Some("1795250493.02"));
    }

    #[test]
    fn who_leaves_the_ring_is_not_of_it_and_who_joins_is() {
        let text = JOINED
            .replace("state=\"ACTIVE\"} 3", "state=\"ACTIVE\"} 1")
            .replace("state=\"JOINING\"} 0", "state=\"JOINING\"} 1")
            .replace("state=\"LEAVING\"} 0", "state=\"LEAVING\"} 1");
        assert_eq!(counts(&text).ring, Some(2));
    }

    #[test]
    fn what_is_no_number_of_anything_says_nothing() {
        let text = "tag_inflight_requests NaN\ntag_cache_hits_total +Inf\ntag_cache_hits_total 2\n\
                    tag_cache_misses_total -1\nprocess_start_time_seconds NaN\n";
        let expected = Counts {
            hits: 2.0,
            ..Counts::default()
        };
        assert_eq!(counts(text), expected);
    }

    #[test]
    fn without_a_cluster_there_are_no_members() {
        let counts =
            counts("tag_inflight_requests 2\nmemberlist_client_cluster_members_count NaN\n");
        assert_eq!(
            (counts.members, counts.ring, counts.in_flight),
            (None, None, 2.0)
        );
    }
}
