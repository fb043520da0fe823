//! What stands where the profile says nothing, and why.

use std::time::Duration;

use crate::ByteSize;

/// A change of the peers must stand this long before it is acted on: a rollout touches several
/// pods within a second, and one render for all of them is better than one for each.
pub const SETTLE: Duration = Duration::from_millis(500);

/// Between two look-ups. The DNS of a cluster caches answers for 5 to 30 s: asking more often
/// learns nothing, asking less often is noticed.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// How long the start gate holds the workload at most: longer than peers of a fresh StatefulSet take
/// to be resolvable, and short enough that a gate which never opens is noticed.
pub const START_CAP: Duration = Duration::from_mins(1);

/// Before the first check. A check that fails too early costs nothing: the startup probe absorbs it.
pub const PROBE_INITIAL_DELAY: Duration = Duration::ZERO;

/// Between two checks of a probe. The kubelet's own default is 10 s, since it probes over a hundred
/// pods of a node; the sidecar probes one workload on the same host, and each second that a check
/// comes late is a second of start-up or of traffic into a dead replica.
pub const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// For one check; the kubelet's default too.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Consecutive failures that fail readiness or liveness; the kubelet's default too.
pub const FAILURE_THRESHOLD: u32 = 3;

/// Consecutive successes that pass a probe; the kubelet's default too.
pub const SUCCESS_THRESHOLD: u32 = 1;

/// Failures of the startup probe that are borne: as many as fit into the start gate's cap, so that
/// the gate and not the probe decides, and never fewer than for the other probes.
pub fn startup_failure_threshold(cap: Duration, initial_delay: Duration, period: Duration) -> u32 {
    let rest = cap.saturating_sub(initial_delay).as_millis();
    let fits = rest.div_ceil(period.as_millis().max(1));
    u32::try_from(fits)
        .unwrap_or(u32::MAX)
        .max(FAILURE_THRESHOLD)
}

/// The whole drain: two thirds of Kubernetes' default grace period of 30 s, which leaves the rest
/// to the workload's own end.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long endpoints need to notice that a replica is unready: kube-proxy syncs within a second.
pub const DRAIN_NOTICE: Duration = Duration::from_secs(1);

/// For how long changed files are on trial: a restarted workload of moderate size is ready again well
/// within it, and a replica that is not should not hold up a rollout for longer.
pub const TRIAL_FILES: Duration = Duration::from_mins(2);

/// For how long a swapped plugin is on trial: thirty looks at each probe.
pub const TRIAL_PLUGIN: Duration = Duration::from_secs(30);

/// Linear memory of one call of a plugin. A Rust guest needs 1 to 2 MiB, a JavaScript one 10 to 20.
pub const PLUGIN_MEMORY: ByteSize = ByteSize(32 << 20);

/// CPU time of one call: an evaluation takes well under a millisecond, this is for bad days.
pub const PLUGIN_CPU: Duration = Duration::from_millis(500);

/// Wall time of one call: more than one exchange with a peer that does not answer.
pub const PLUGIN_WALL: Duration = Duration::from_secs(3);

/// Wall time of one exchange with a granted endpoint: less than the call's, so that the plugin
/// still can say who did not answer.
pub const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the workload's exposition is, by custom.
pub const SCRAPE_PATH: &str = "/metrics";

/// For one scrape: well within the 10 s that Prometheus gives us.
pub const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);

/// The permission bits of a rendered file: everyone reads, the owner writes.
pub const MODE: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_startup_probe_outlasts_the_gate() {
        let s = Duration::from_secs;
        assert_eq!(startup_failure_threshold(s(60), s(0), s(1)), 60);
        assert_eq!(startup_failure_threshold(s(60), s(10), s(7)), 8);
        assert_eq!(startup_failure_threshold(s(1), s(5), s(1)), 3);
    }
}
