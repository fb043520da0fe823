//! Each fault that TAG was seen to take, by a change of good variables.

use outrigger_plugin_sdk::Artifact;
use proptest::prelude::*;

use super::*;
use crate::testing::membership;

/// What the example renders for `tag-1`.
const GOOD: &str = "\
TAG_CACHE_ADVERTISE_ADDR='tag-1.tag-headless.default.svc.cluster.local:9000'
TAG_CACHE_CLUSTER_ADDR='127.40.0.2:7000'
TAG_CACHE_DISK_PATH='/data/cache'
TAG_CACHE_GRPC_ADDR='127.40.0.2:9000'
TAG_CACHE_MAX_DISK_USAGE='72000000000'
TAG_CACHE_NODE_ID='tag-1'
TAG_CACHE_SEED_NODES='tag-headless.default.svc.cluster.local:7000'
";

/// What is found, one a line: `error 5: what | what to do`.
fn found_in(text: &str, settings: &Settings) -> String {
    let item = Artifact {
        path: env::PATH.to_owned(),
        content: text.as_bytes().to_vec(),
    };
    // A disk of 80 GB.
    check(
        &env::variables(&item),
        settings,
        &membership(1, 3),
        Some(80e9),
    )
    .into_iter()
    .map(|found| {
        assert_eq!(found.artifact, "env");
        let severity = format!("{:?}", found.severity).to_lowercase();
        let severity = severity.trim_start_matches("severity::").to_owned();
        format!(
            "{severity} {}: {} | {}",
            found.line, found.message, found.hint
        )
    })
    .collect::<Vec<_>>()
    .join("\n")
}

/// What is found once a variable has another value.
fn with(name: &str, value: &str) -> String {
    let mut lines: Vec<String> = GOOD
        .lines()
        .filter(|line| !line.starts_with(&format!("{name}=")))
        .map(str::to_owned)
        .collect();
    lines.push(format!("{name}='{value}'"));
    lines.sort();
    found_in(&(lines.join("\n") + "\n"), &Settings::default())
}

#[test]
fn good_variables_have_nothing_to_tell_and_what_the_manifest_sets_is_not_missed() {
    assert_eq!(found_in(GOOD, &Settings::default()), "");
    assert_eq!(found_in("", &Settings::default()), "");
    assert_eq!(with("AWS_REGION", "${REGION}"), "");
    for (name, value) in [
        ("TAG_CACHE_TTL", "1h30m"),
        ("TAG_CACHE_TTL", "1.5h"),
        ("TAG_CACHE_WARM_ON_WRITE", "true"),
        ("TAG_CACHE_EVICTION_POLICY", "fifo"),
        ("TAG_CACHE_MAX_POPULATE_MEMORY", "-1"),
        ("TAG_LOG_LEVEL", ""),
    ] {
        assert_eq!(with(name, value), "", "{name}={value}");
    }
}

#[test]
fn each_value_that_tag_takes_without_a_word_is_refused_with_what_to_do() {
    let faults = [
        ("TAG_CACHE_MAX_DISK_USAGE", "400Gi"),
        ("TAG_CACHE_MAX_DISK_USAGE", "10000000000000"),
        ("TAG_CACHE_MAX_DISK_USAGE", "0"),
        ("TAG_CACHE_MAX_DISK_USAGE", ""),
        ("TAG_CACHE_NODE_ID", ""),
        ("TAG_CACHE_NODE_ID", "tag-0"),
        ("TAG_CACHE_NODE_ID", "cache"),
        ("TAG_CACHE_NODE_ID", "$(POD_NAME)"),
        ("TAG_CACHE_SEED_NODES", ""),
        ("TAG_CACHE_ADVERTISE_ADDR", ":9000"),
        (
            "TAG_CACHE_ADVERTISE_ADDR",
            "tag-2.tag-headless.default.svc.cluster.local:9000",
        ),
        ("TAG_CACHE_DISK_PATH", ""),
        ("TAG_CACHE_TTL", "1 day"),
        ("TAG_CACHE_TTL", "0s"),
        ("TAG_CACHE_RECOVERY_WORKERS", "many"),
        ("TAG_CACHE_MAX_POPULATE_MEMORY", "0"),
        ("TAG_CACHE_EVICTION_POLICY", "fif0"),
        ("TAG_TRANSPARENT_PROXY", "True"),
        ("TAG_CACHE_NODEID", "tag-1"),
        ("TAG_CACHE_MAX_DISK_USAGE_BYTES", "1"),
        ("TAG_CACHE_COMPRESSION", "zstd"),
    ];
    let told: Vec<String> = faults
        .iter()
        .map(|(name, value)| format!("{name}={value}\n  {}", with(name, value)))
        .collect();
    let expected = include_str!("../../tests/data/variables.txt");
    assert_eq!(told.join("\n") + "\n", expected);
}

#[test]
fn an_empty_advertised_address_is_the_one_at_which_tag_listens() {
    assert_eq!(with("TAG_CACHE_ADVERTISE_ADDR", ""), "");
    let everywhere = GOOD
        .replace("tag-1.tag-headless.default.svc.cluster.local:9000", "")
        .replace("127.40.0.2:9000", "0.0.0.0:9000");
    let found = found_in(&everywhere, &Settings::default());
    assert!(
        found.starts_with("error 1: `0.0.0.0:9000` names no host"),
        "{found}"
    );
}

#[test]
fn caches_that_are_to_know_nothing_of_each_other_need_no_identity() {
    let settings = Settings {
        cluster: false,
        ..Settings::default()
    };
    let alone = GOOD
        .replace("'tag-1'", "''")
        .replace("tag-1.tag-headless.default.svc.cluster.local", "");
    assert_eq!(found_in(&alone, &settings), "");
}

proptest! {
    #[test]
    fn any_variables_are_checked_without_harm(text in "(TAG_CACHE_(NODE_ID|TTL|MAX_DISK_USAGE|X)=|'|\n|[:$(.0-9a-zµ-]){0,40}") {
        let _found = found_in(&text, &Settings::default());
    }

    #[test]
    fn slips_are_as_many_either_way(one in "[A-C]{0,6}", other in "[A-C]{0,6}") {
        prop_assert_eq!(slips(&one, &other), slips(&other, &one));
        prop_assert_eq!(slips(&one, &one), 0);
    }
}
