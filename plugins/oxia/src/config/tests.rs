//! Lists of servers as they are written, and what is said of them.

use outrigger_plugin_sdk::Severity;
use proptest::prelude::*;

use super::*;
use crate::status;
use crate::testing::{CLUSTER, STEADY};

fn told(text: &str, services: &[&str]) -> Vec<String> {
    let services: Vec<String> = services.iter().map(|name| (*name).to_owned()).collect();
    let status = status::read(STEADY.as_bytes()).unwrap();
    let line = |found: &Diagnostic| {
        let severity = match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("{severity} {}: {}", found.line, found.message)
    };
    check("cluster.yaml", text.as_bytes(), &services, Some(&status))
        .iter()
        .map(line)
        .collect()
}

fn without(server: u32) -> String {
    let from = CLUSTER.find(&format!("  - name: oxia-{server}")).unwrap();
    let to = CLUSTER[from + 1..]
        .find("  - name")
        .map_or(CLUSTER.len(), |to| from + 1 + to);
    [&CLUSTER[..from], &CLUSTER[to..]].concat()
}

#[test]
fn the_captured_list_is_right() {
    assert_eq!(told(CLUSTER, &["oxia"]), Vec::<String>::new());
}

#[test]
fn fewer_servers_than_copies_are_refused() {
    assert_eq!(
        told(&without(2), &[]),
        [
            "error 2: the namespace `default` wants 3 copies, and there are 2 servers",
            "warning 10: `oxia-2` goes from the list, and the ensembles of 2 shards name it",
        ]
    );
}

#[test]
fn a_server_that_goes_while_ensembles_name_it_is_warned_of_with_what_to_wait_for() {
    let four = CLUSTER.replace("oxia-2", "oxia-3");
    let found = check(
        "cluster.yaml",
        four.as_bytes(),
        &[],
        status::read(STEADY.as_bytes()).ok().as_ref(),
    );
    let hints: Vec<&str> = found.iter().map(|found| found.hint.as_str()).collect();
    assert_eq!(
        hints,
        [
            "a StatefulSet has its replicas without a gap: is one missing here?",
            "leave it running until none does: oxia_derived_server_shards{server=\"oxia-2\"} 0",
        ]
    );
}

#[test]
fn what_is_no_yaml_is_refused() {
    assert_eq!(told("", &[]), ["error 0: the file is empty"]);
    let broken = CLUSTER.replace("servers:", "servers: [");
    assert!(
        told(&broken, &[])[0].contains("no YAML"),
        "{:?}",
        told(&broken, &[])
    );
    let found = check("cluster.yaml", &[0xff], &[], None);
    assert_eq!(found[0].message, "the file is not UTF-8");
}

#[test]
fn a_name_or_an_address_that_two_servers_have_is_refused() {
    let twice = CLUSTER.replace("oxia-1", "oxia-0");
    assert_eq!(
        told(&twice, &[])[..3],
        [
            "error 2: the namespace `default` wants 3 copies, and there are 2 servers",
            "warning 10: the servers are oxia-0, oxia-2",
            "warning 10: `oxia-1` goes from the list, and the ensembles of 2 shards name it",
        ]
    );
    assert_eq!(
        told(&twice, &[])[3..],
        [
            "error 14: two servers are named `oxia-0`",
            "error 14: `oxia-0.oxia.default.svc.cluster.local:6648` is an address of the server in line 11 too",
            "error 14: `oxia-0.oxia.default.svc.cluster.local:6649` is an address of the server in line 11 too",
        ]
    );
    let crossed = CLUSTER.replace("public: oxia-1", "public: oxia-4");
    assert_eq!(
        told(&crossed, &[]),
        ["error 14: `public` of `oxia-1` leads to `oxia-4`"]
    );
}

#[test]
fn the_services_name_in_place_of_the_pods_is_refused() {
    // As in a chart whose cluster was never available with more than one server.
    let text = (0..3).fold(CLUSTER.to_owned(), |text, ordinal| {
        text.replace(&format!(": oxia-{ordinal}.oxia."), ": oxia.")
    });
    let found = told(&text, &[]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found
            .iter()
            .all(|line| line.contains("is an address of the server"))
    );
}

#[test]
fn addresses_without_a_port_and_servers_without_names_are_refused() {
    let text = CLUSTER
        .replace("oxia-0.oxia.default.svc.cluster.local:6648", "oxia-0")
        .replace("  - name: oxia-2\n    public", "  - public");
    assert_eq!(
        told(&text, &[]),
        [
            "error 2: the namespace `default` wants 3 copies, and there are 2 servers",
            "warning 10: `oxia-2` goes from the list, and the ensembles of 2 shards name it",
            "error 11: `public: oxia-0` is no host with a port",
            "error 17: a server has no name",
        ]
    );
}

#[test]
fn a_service_by_which_clients_come_is_listed() {
    assert_eq!(
        told(CLUSTER, &["oxia", "oxia-clients"]),
        ["error 5: the Service `oxia-clients` is not in `allowExtraAuthorities`"]
    );
    let listed = CLUSTER.replace("- 127.30.0.1:6648", "- oxia-clients:6648");
    assert_eq!(told(&listed, &["oxia-clients"]), Vec::<String>::new());
    let without_port = CLUSTER.replace("- 127.30.0.1:6648", "- oxia-clients");
    assert_eq!(
        told(&without_port, &[]),
        ["error 7: `oxia-clients` is no host with a port"]
    );
}

#[test]
fn namespaces_are_named_once_and_have_copies_and_shards() {
    let text = CLUSTER.replace(
        "    initialShardCount: 2\n",
        "    initialShardCount: 0\n  - {name: default, replicationFactor: five, initialShardCount: 1}\n",
    );
    assert_eq!(
        told(&text, &[]),
        [
            "error 2: the namespace `default` has no `initialShardCount` of 1 or more",
            "error 5: two namespaces are named `default`",
            "error 5: the namespace `default` has no `replicationFactor` of 1 or more",
        ]
    );
    let other = CLUSTER.replace("name: default", "name: orders");
    assert_eq!(
        told(&other, &[]),
        ["warning 1: the namespace `default` goes from the list"]
    );
}

#[test]
fn a_key_that_oxia_ignores_is_warned_of() {
    let text = CLUSTER.replace("allowExtraAuthorities:", "allowedExtraAuthorities:");
    assert_eq!(
        told(&text, &["oxia"]),
        [
            "error 0: the Service `oxia` is not in `allowExtraAuthorities`",
            "warning 5: `allowedExtraAuthorities` is no key of this file",
        ]
    );
}

proptest! {
    #[test]
    fn any_text_is_checked(text in "[a-z:\\[\\]{}, \n0-9-]{0,200}") {
        let _found = told(&text, &["oxia"]);
    }

    #[test]
    fn a_list_with_a_piece_taken_out_is_checked_and_fewer_servers_are_never_taken(from in 0..CLUSTER.len(), length in 1..200_usize) {
        let to = (from + length).min(CLUSTER.len());
        let text = [&CLUSTER[..from], &CLUSTER[to..]].concat();
        let servers = outrigger_plugin_sdk::yaml::parse(&text).ok().flatten().map(|root| {
            root.entry(&["servers"]).map_or(0, |entry| entry.node.items().len())
        });
        let refused = told(&text, &[]).iter().any(|line| line.starts_with("error"));
        let wants_three = text.contains("    replicationFactor: 3\n");
        if wants_three && servers.is_none_or(|servers| servers < 3) {
            prop_assert!(refused, "{text}");
        }
    }
}
