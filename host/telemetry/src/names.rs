//! The names of all metrics, once each. Counters stand without the `_total` that the exposition adds.

/// Prefix of every name below; no other series may start with it.
pub const PREFIX: &str = "outrigger_";

/// The build, as labels of a constant 1.
pub const BUILD_INFO: &str = "outrigger_build_info";

/// Replicas by phase.
pub const PEERS: &str = "outrigger_peers";
/// How many replicas there should be.
pub const PEERS_DESIRED: &str = "outrigger_peers_desired";
/// The peer set's revision.
pub const DISCOVERY_REVISION: &str = "outrigger_discovery_revision";
/// For how long look-ups have failed; 0 while they work.
pub const DISCOVERY_STALE_SECONDS: &str = "outrigger_discovery_stale_seconds";

/// Look-ups of replicas that failed, by source and kind.
pub const DISCOVERY_FAILURES: &str = "outrigger_discovery_failures";

/// Where the replicas are known from, as the label of a constant 1.
pub const DISCOVERY_SOURCE: &str = "outrigger_discovery_source";
/// Requests to the API server, by whether they were answered.
pub const API_REQUESTS: &str = "outrigger_api_requests";
/// Writes of the pod's label with its role, by result: `done`, `forbidden`, `failed`, `invalid`.
pub const ROLE_LABEL_WRITES: &str = "outrigger_role_label_writes";

/// Renders by result: `committed`, `unchanged`, `refused`.
pub const RENDERS: &str = "outrigger_renders";
/// When a set of files was last put in place.
pub const RENDER_LAST_SUCCESS: &str = "outrigger_render_last_success_timestamp_seconds";
/// The number of the set in place.
pub const FILES_SET: &str = "outrigger_files_set";

/// Whether a probe passes.
pub const PROBE_PASS: &str = "outrigger_probe_pass";
/// Whether a reason holds now; it stays at 0 once it has gone.
pub const REASON: &str = "outrigger_reason";
/// Whether the replica has this role now; it stays at 0 once it has gone.
pub const ROLE: &str = "outrigger_role";
/// How long ago the plugin last gave a verdict that could be used.
pub const VERDICT_AGE_SECONDS: &str = "outrigger_verdict_age_seconds";

/// The plugin, as labels of a constant 1.
pub const PLUGIN_INFO: &str = "outrigger_plugin_info";
/// Calls of the plugin by function.
pub const PLUGIN_CALLS: &str = "outrigger_plugin_calls";
/// Calls of the plugin without an answer, by kind.
pub const PLUGIN_FAILURES: &str = "outrigger_plugin_failures";
/// How long calls of the plugin take.
pub const PLUGIN_CALL_SECONDS: &str = "outrigger_plugin_call_duration_seconds";
/// The plugin's generation: one more with each swap.
pub const PLUGIN_GENERATION: &str = "outrigger_plugin_generation";
/// Whether the plugin is left alone because it failed too often.
pub const PLUGIN_QUARANTINED: &str = "outrigger_plugin_quarantined";
/// Whether the plugin's own series are in this exposition.
pub const DERIVE_UP: &str = "outrigger_derive_up";
/// Derived series that could not be used, by problem.
pub const DERIVE_FAILURES: &str = "outrigger_derive_failures";

/// Actions on the workload because of changed files, by action and result: `done`, `failed`.
pub const CHANGE_ACTIONS: &str = "outrigger_change_actions";
/// Changes that were on trial, by what (`files`, `plugin`) and result: `stays`, `rolled-back`.
pub const TRIALS: &str = "outrigger_trials";
/// Changes of the plugin by result: `swapped`, `refused`, `rolled-back`.
pub const PLUGIN_SWAPS: &str = "outrigger_plugin_swaps";
/// Log lines of the plugin that were dropped, because it wrote too many.
pub const PLUGIN_LOG_DROPPED: &str = "outrigger_plugin_log_lines_dropped";

/// Reloads of profile and templates by result.
pub const RELOADS: &str = "outrigger_reloads";

/// Whether the replica is being drained.
pub const DRAINING: &str = "outrigger_draining";
/// Drains by reason and result.
pub const DRAINS: &str = "outrigger_drains";
/// How long the last drain took.
pub const DRAIN_LAST_SECONDS: &str = "outrigger_drain_last_duration_seconds";
/// Restarts of the workload for new configuration, by result.
pub const RESTARTS: &str = "outrigger_restarts";
/// How often the workload's process went away while it was to serve.
pub const WORKLOAD_ENDED: &str = "outrigger_workload_ended";

/// Entries of the timeline.
pub const TIMELINE_ENTRIES: &str = "outrigger_timeline_entries";
/// Entries of the timeline that did not reach the disk.
pub const TIMELINE_UNWRITTEN: &str = "outrigger_timeline_unwritten";

/// Whether the workload's exposition was scraped.
pub const UPSTREAM_UP: &str = "outrigger_upstream_up";
/// Connections to the sidecar's server that were turned away at the limit.
pub const HTTP_REJECTED: &str = "outrigger_http_connections_rejected";

/// The webhook's reviews by decision and reason.
pub const WEBHOOK_DECISIONS: &str = "outrigger_webhook_decisions";
/// Requests to the webhook that are no reviews, by what is wrong.
pub const WEBHOOK_INVALID: &str = "outrigger_webhook_invalid_requests";
/// What the webhook turned away, by limit.
pub const WEBHOOK_REJECTED: &str = "outrigger_webhook_rejected";
/// How long the webhook took for requests.
pub const WEBHOOK_SECONDS: &str = "outrigger_webhook_request_duration_seconds";
/// Reviews now.
pub const WEBHOOK_IN_FLIGHT: &str = "outrigger_webhook_in_flight";
/// TLS handshakes that API servers made with the webhook.
pub const WEBHOOK_HANDSHAKES: &str = "outrigger_webhook_handshakes";
/// Connections to the webhook now.
pub const WEBHOOK_CONNECTIONS: &str = "outrigger_webhook_connections";
/// Profiles with errors.
pub const WEBHOOK_PROFILES_WITH_ERRORS: &str = "outrigger_webhook_profiles_with_errors";

/// Whether all objects of a kind were listed once; before that the webhook is not ready.
pub const WEBHOOK_CATALOG_SYNCED: &str = "outrigger_webhook_catalog_synced";
/// Objects that the webhook knows, by kind.
pub const WEBHOOK_CATALOG_OBJECTS: &str = "outrigger_webhook_catalog_objects";
/// About how many bytes they take, by kind.
pub const WEBHOOK_CATALOG_BYTES: &str = "outrigger_webhook_catalog_bytes";
/// How many bytes they may take, by kind.
pub const WEBHOOK_CATALOG_BYTES_MAX: &str = "outrigger_webhook_catalog_bytes_max";
/// Objects for which there was no room since the last list, by kind.
pub const WEBHOOK_CATALOG_REFUSED: &str = "outrigger_webhook_catalog_objects_refused";
/// How long ago the API server was last heard of, by kind: up to two minutes when nothing happens.
pub const WEBHOOK_CATALOG_SILENT_SECONDS: &str = "outrigger_webhook_catalog_silent_seconds";
/// How often all objects of a kind were listed: one more each time a watch was too far behind.
pub const WEBHOOK_CATALOG_LISTS: &str = "outrigger_webhook_catalog_lists";
/// How often following a kind broke off, and began again.
pub const WEBHOOK_CATALOG_FAILURES: &str = "outrigger_webhook_catalog_failures";
/// Events on owners by result: `sent`, `repeated` (told a short time ago), `dropped` (too many), `failed`.
pub const WEBHOOK_EVENTS: &str = "outrigger_webhook_events";

/// Days until the webhook's certificate expires; not a number while there is none.
pub const WEBHOOK_CERTIFICATE_DAYS: &str = "outrigger_webhook_certificate_expiry_days";
/// Days until the authority that signs expires; not a number where the certificate is mounted.
pub const WEBHOOK_AUTHORITY_DAYS: &str = "outrigger_webhook_authority_expiry_days";
/// Whether API servers believe the certificate now, as far as is known; otherwise the webhook is not ready.
pub const WEBHOOK_CERTIFICATE_GOOD: &str = "outrigger_webhook_certificate_good";
/// Whether something keeps the certificate from being looked after; it may be good all the same.
pub const WEBHOOK_CERTIFICATE_TROUBLE: &str = "outrigger_webhook_certificate_trouble";
/// How often another certificate was taken, the first one included.
pub const WEBHOOK_CERTIFICATE_CHANGES: &str = "outrigger_webhook_certificate_changes";
/// Where the change of authorities is, one of which is 1: `rest`, `introducing` (the next one is made known),
/// `retiring` (one before is still trusted); not there where the certificate is mounted.
pub const WEBHOOK_ROTATION: &str = "outrigger_webhook_certificate_rotation";
/// How far this machine's clock is ahead of the API server's; 0 within a minute.
pub const WEBHOOK_CLOCK_AHEAD_SECONDS: &str = "outrigger_webhook_clock_ahead_seconds";

/// What the metrics tell that are counted as things happen.
pub fn help(name: &str) -> &'static str {
    match name {
        DRAINS => "Drains by reason and result",
        DRAIN_LAST_SECONDS => "How long the last drain took",
        RESTARTS => "Restarts of the workload for new configuration, by result",
        WORKLOAD_ENDED => "How often the workload's process went away while it was to serve",
        PLUGIN_CALL_SECONDS => "How long calls of the plugin took, by function",
        CHANGE_ACTIONS => "Actions on the workload because of changed files, by result",
        TRIALS => "Changes that were on trial, by what and result",
        PLUGIN_SWAPS => "Changes of the plugin by result",
        DISCOVERY_FAILURES => "Look-ups of replicas that failed, by source and kind",
        ROLE_LABEL_WRITES => "Writes of the pod's label with its role, by result",
        DERIVE_FAILURES => "Series of the plugin that could not be shown, by problem",
        HTTP_REJECTED => "Connections that were turned away at the limit",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
