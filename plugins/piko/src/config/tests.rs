//! Each fault that Piko was seen to take, by a change of a good file.

use outrigger_plugin_sdk::Severity;
use proptest::prelude::*;

use super::*;
use crate::testing::{membership, with_addresses};

/// The file of `piko-1`.
const GOOD: &str = include_str!("../../tests/data/server.yaml");

fn found_in(text: &str, now: &Membership) -> Vec<(Severity, u32, String)> {
    check(
        "/config/server.yaml",
        text.as_bytes(),
        &Settings::default(),
        now,
    )
    .into_iter()
    .map(|d| (d.severity, d.line, d.message))
    .collect()
}

/// What is found once `from` is replaced in the good file.
fn found(from: &str, to: &str) -> Vec<(Severity, u32, String)> {
    assert!(GOOD.contains(from), "{from}");
    found_in(
        &GOOD.replacen(from, to, 1),
        &with_addresses(membership(1, 3)),
    )
}

/// The one error, and its line.
#[track_caller]
fn error(from: &str, to: &str) -> (u32, String) {
    let errors: Vec<_> = found(from, to)
        .into_iter()
        .filter(|(severity, ..)| *severity == Severity::Error)
        .collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let (_, line, message) = errors.into_iter().next().unwrap();
    (line, message)
}

#[track_caller]
fn warning(from: &str, to: &str) -> (u32, String) {
    let all = found(from, to);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0].0, Severity::Warning);
    (all[0].1, all[0].2.clone())
}

const PREFIX: &str = "  node_id_prefix: \"piko-1-\"\n";
const JOIN: &str = "[\"piko-0.piko.default.svc.cluster.local:8003\", \"piko-2.piko.default.svc.cluster.local:8003\"]";

#[test]
fn a_good_configuration_has_nothing_to_tell() {
    let now = with_addresses(membership(1, 3));
    assert_eq!(found_in(GOOD, &now), []);
}

#[test]
fn a_fixed_node_id_is_refused() {
    let (line, message) = error(PREFIX, "  node_id: piko-1\n");
    assert_eq!(line, 10);
    assert!(
        message.starts_with("the node ID `piko-1` is fixed"),
        "{message}"
    );
}

#[test]
fn variables_that_nobody_fills_in_are_refused() {
    let (line, message) = error("\"piko-1-\"", "${POD_NAME}-");
    assert_eq!(
        (line, message.as_str()),
        (
            10,
            "`cluster.node_id_prefix` holds `${POD_NAME}`, which is taken as it stands, or as nothing where it is not defined"
        )
    );
    assert!(
        error("  level: info", "  level: \"$LEVEL\"")
            .1
            .contains("`$LEVEL`")
    );
    assert!(
        error(
            "\"127.10.0.2:8000\"\n  adv",
            "\"${POD_IP:0.0.0.0}:8000\"\n  adv"
        )
        .1
        .contains("`${POD_IP:0.0.0.0}`")
    );
    // A dollar that begins no name is a part of a text.
    assert_eq!(found("  level: info", "  level: \"5$\""), []);
}

#[test]
fn a_prefix_that_is_empty_or_anothers_is_refused() {
    let empty =
        "`cluster.node_id_prefix` is missing or empty: nobody could tell which server is which";
    assert_eq!(error("\"piko-1-\"", "\"\""), (10, empty.to_owned()));
    assert_eq!(error(PREFIX, ""), (9, empty.to_owned()));
    assert!(
        error("\"piko-1-\"", "\"-\"")
            .1
            .contains("does not begin with `piko-1-`")
    );
    assert!(
        error("\"piko-1-\"", "\"piko-1\"")
            .1
            .contains("does not begin with `piko-1-`")
    );
    assert!(
        error("\"piko-1-\"", "\"piko-10-\"")
            .1
            .contains("does not begin with `piko-1-`")
    );
    assert_eq!(found("\"piko-1-\"", "\"piko-1-x-\""), []);
}

#[test]
fn a_list_to_join_without_anybody_is_refused_once_others_are_there() {
    assert!(
        error(JOIN, "[]")
            .1
            .starts_with("`cluster.join` is missing or empty though 2")
    );
    assert!(
        error(&format!("  join: {JOIN}\n"), "")
            .1
            .starts_with("`cluster.join` is missing")
    );
    let own = "[\"piko-1.piko.default.svc.cluster.local:8003\"]";
    assert!(
        error(JOIN, own)
            .1
            .starts_with("`cluster.join` names this replica alone")
    );
    // The first of all has nobody to join.
    let mut first = membership(1, 3);
    first.replicas[1].addresses = vec!["127.10.0.2".to_owned()];
    assert_eq!(found_in(&GOOD.replacen(JOIN, "[]", 1), &first), []);
}

#[test]
fn a_list_to_join_that_may_find_this_replica_alone_is_told() {
    let (line, message) = warning(JOIN, "[piko]");
    assert_eq!(line, 11);
    assert!(
        message.starts_with("`piko` is the Service: Piko asks for it once"),
        "{message}"
    );
    let with_own = JOIN.replacen("piko-2.", "piko-1.", 1);
    assert!(
        warning(JOIN, &with_own)
            .1
            .contains("is this replica itself")
    );
    assert!(
        warning("  abort_if_join_fails: false\n", "")
            .1
            .starts_with("without `abort_if_join_fails: false`")
    );
}

#[test]
fn addresses_that_others_cannot_use_are_refused() {
    let told = "  advertise_addr: \"127.10.0.2:8000\"\n";
    let with = |address: &str| format!("  advertise_addr: \"{address}\"\n");
    assert!(
        error(told, &with("fd00::2:8000"))
            .1
            .contains("an IPv6 address stands in brackets")
    );
    assert!(error(told, &with(":8000")).1.contains("names no host"));
    assert!(
        error(told, &with("0.0.0.0:8000"))
            .1
            .contains("names no host")
    );
    assert_eq!(
        error(told, &with("127.10.0.1:8000")),
        (
            3,
            "`proxy.advertise_addr: 127.10.0.1:8000` is the address of piko-0".to_owned()
        )
    );
    assert!(
        warning(told, &with("127.10.0.2:9000"))
            .1
            .contains("another port than the setting, 8000")
    );
    assert_eq!(found(told, &with("[fd00::2]:8000")), []);
    assert_eq!(found(told, ""), [], "the bound address is told");
}

#[test]
fn a_listener_on_every_address_without_one_to_tell_is_a_warning() {
    let bound = "  bind_addr: \"127.10.0.2:8000\"\n  advertise_addr: \"127.10.0.2:8000\"\n";
    let (line, message) = warning(bound, "  bind_addr: \":8000\"\n");
    assert_eq!(line, 2);
    assert!(
        message.starts_with("`proxy.advertise_addr` is missing"),
        "{message}"
    );
    assert_eq!(
        found("127.10.0.2:8001", ":8001"),
        [],
        "nobody uses the upstream's"
    );
}

#[test]
fn a_span_without_a_unit_is_refused() {
    assert_eq!(
        error("join_timeout: 30s", "join_timeout: 5"),
        (
            12,
            "`cluster.join_timeout: 5` has no unit, and Piko ends at it".to_owned()
        )
    );
    assert!(
        error("grace_period: 30s", "grace_period: 30")
            .1
            .starts_with("`grace_period: 30`")
    );
}

#[test]
fn a_key_that_is_not_known_is_told() {
    assert_eq!(
        warning("log:", "logg:"),
        (
            17,
            "`logg` is no key that we know here, and Piko ends at one that it does not know"
                .to_owned()
        )
    );
    assert!(
        warning("  gossip:\n", "  joinn: 1\n  gossip:\n")
            .1
            .contains("`joinn`")
    );
}

#[test]
fn what_is_no_file_of_pikos_is_refused() {
    let now = with_addresses(membership(1, 3));
    let message = |content: &[u8]| {
        let found = check("/config/server.yaml", content, &Settings::default(), &now);
        assert_eq!(found.len(), 1);
        found[0].message.clone()
    };
    assert!(message(b"# nothing\n").starts_with("the file is empty"));
    assert_eq!(message(&[0xff]), "the file is not UTF-8");
    assert!(message(b"a: [1\n").starts_with("no YAML: "));
    assert!(message(b"proxy: {}\nproxy: {}\n").contains("stands here twice"));
}

proptest! {
    #[test]
    fn any_file_is_checked_without_harm(text in "(cluster|proxy|join|node_id|advertise_addr|[:{}\\[\\]\"$ \n.0-9a-z-]){0,40}") {
        let now = with_addresses(membership(1, 3));
        let _found = found_in(&text, &now);
    }
}
