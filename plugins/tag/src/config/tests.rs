//! Each fault that TAG was seen to take, by a change of a good file.

use outrigger_plugin_sdk::Severity;
use proptest::prelude::*;

use super::*;
use crate::testing::membership;

/// The file of `tag-1`.
const GOOD: &str = include_str!("../../tests/data/config.yaml");

/// A disk of 80 GB.
const DISK: Option<f64> = Some(80e9);

fn found_in(text: &str) -> Vec<(Severity, u32, String)> {
    let now = membership(1, 3);
    check(
        "/etc/tag/config.yaml",
        text.as_bytes(),
        &Settings::default(),
        &now,
        &[],
        DISK,
    )
    .into_iter()
    .map(|d| (d.severity, d.line, d.message))
    .collect()
}

#[track_caller]
fn one(from: &str, to: &str) -> (Severity, u32, String) {
    assert!(GOOD.contains(from), "{from}");
    let mut found = found_in(&GOOD.replacen(from, to, 1));
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[track_caller]
fn error(from: &str, to: &str) -> (u32, String) {
    let (severity, line, message) = one(from, to);
    assert_eq!(severity, Severity::Error);
    (line, message)
}

#[test]
fn a_good_configuration_has_nothing_to_tell() {
    assert_eq!(found_in(GOOD), []);
    assert_eq!(found_in("# the environment says everything\n"), []);
}

#[test]
fn a_cap_that_is_no_number_or_beyond_the_disk_is_refused() {
    let cap = "max_disk_usage_bytes: 1073741824";
    let (line, message) = error(cap, "max_disk_usage_bytes: 400Gi");
    assert_eq!(line, 5);
    assert!(message.contains("is no number of bytes"), "{message}");
    assert!(
        error(cap, "max_disk_usage_bytes: 10000000000000")
            .1
            .contains("more than the 74.5Gi")
    );
    assert!(
        error(cap, "max_disk_usage_bytes: 0")
            .1
            .contains("0 is no cap at all")
    );
    let missing = one("  max_disk_usage_bytes: 1073741824\n", "");
    assert_eq!((missing.0, missing.1), (Severity::Warning, 3));
}

#[test]
fn seeds_without_a_node_id_are_refused() {
    let (line, message) = error("  node_id: tag-1\n", "");
    assert_eq!(
        (line, message.as_str()),
        (
            9,
            "`cache.seed_nodes` without `cache.node_id`: TAG runs alone, and says nothing of it"
        )
    );
    // Alone on purpose.
    let alone = GOOD
        .replace("  node_id: tag-1\n", "")
        .replace("[\"tag-headless.default.svc.cluster.local:7000\"]", "[]");
    assert_eq!(found_in(&alone), []);
}

#[test]
fn a_node_id_of_another_replica_is_refused() {
    assert!(
        error("node_id: tag-1", "node_id: tag-0")
            .1
            .contains("is another replica's")
    );
    assert_eq!(one("node_id: tag-1", "node_id: cache").0, Severity::Warning);
}

#[test]
fn an_address_without_a_host_is_refused() {
    let told = "\"tag-1.tag-headless.default.svc.cluster.local:9000\"";
    assert!(error(told, "\":9000\"").1.contains("names no host"));
    let other = told.replace("tag-1.", "tag-2.");
    assert!(error(told, &other).1.ends_with("is another replica's"));
}

#[test]
fn keys_that_tag_would_ignore_and_variables_that_it_would_not_fill_in_are_told() {
    let (severity, line, message) = one("  disk_path:", "  disk_pth:");
    assert_eq!((severity, line), (Severity::Warning, 4));
    assert!(
        message.starts_with("`disk_pth` is no key that we know here"),
        "{message}"
    );
    assert_eq!(one("log:", "logs:").0, Severity::Warning);
    assert!(
        error("disk_path: /data/cache", "disk_path: \"${CACHE}\"")
            .1
            .contains("takes it as it stands")
    );
}

proptest! {
    #[test]
    fn any_file_is_checked_without_harm(text in "(cache|node_id|seed_nodes|max_disk_usage_bytes|[:{}\\[\\]\"$ \n.0-9a-z-]){0,40}") {
        let _found = found_in(&text);
    }
}
