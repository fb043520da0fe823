//! Configurations that AIStore was seen to end over, or to take as they stand.

use super::*;
use crate::testing::membership;
use crate::vmd::Vmd;
use outrigger_plugin_sdk::Severity;
use proptest::prelude::*;

const OWN: &str = "ais-target-1.ais-target.default.svc.cluster.local";

fn file(hosts: [&str; 3], fspaths: &str) -> String {
    format!(
        "{{\n  \"confdir\": \"/etc/ais\",\n  \"host_net\": {{\n    \"hostname\": \"{}\",\n    \
         \"hostname_intra_control\": \"{}\",\n    \"hostname_intra_data\": \"{}\",\n    \"port\": \"51081\"\n  }},\n  \
         \"fspaths\": {{{fspaths}}},\n  \"test_fspaths\": {{\"root\": \"\", \"count\": 0, \"instance\": 0}}\n}}\n",
        hosts[0], hosts[1], hosts[2]
    )
}

const FSPATHS: &str = r#""/data/0": "", "/data/1": """#;

fn target() -> Settings {
    Settings {
        mountpaths: vec!["ais-data-0".to_owned(), "ais-data-1".to_owned()],
        ..Settings::of(Role::Target)
    }
}

fn said(text: &str, settings: &Settings, disks: &[Disk]) -> Vec<String> {
    let now = membership("target", 1, 3);
    let found = local("/ais_local.json", text.as_bytes(), settings, &now, disks);
    let line = |one: Diagnostic| {
        let severity = match one.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        assert!(!one.hint.is_empty(), "{}", one.message);
        format!("{}: {severity}: {}", one.line, one.message)
    };
    found.into_iter().map(line).collect()
}

#[test]
fn the_pods_own_names_and_mounted_claims_are_right() {
    assert_eq!(said(&file([OWN; 3], FSPATHS), &target(), &[]), [""; 0]);
    // A short name of the same pod is one too.
    let short = file(["ais-target-1.ais-target"; 3], FSPATHS);
    assert_eq!(said(&short, &target(), &[]), [""; 0]);
}

#[test]
fn a_hostname_that_is_not_the_pods_is_refused() {
    let peer = "ais-target-0.ais-target.default.svc.cluster.local";
    let found = said(&file([peer, OWN, OWN], FSPATHS), &target(), &[]);
    assert_eq!(
        found,
        [format!(
            "4: error: `host_net.hostname: {peer}` is ais-target-0's: requests for this node would go there"
        )]
    );
    let found = said(&file(["localhost", OWN, OWN], FSPATHS), &target(), &[]);
    assert!(
        found[0].starts_with("4: error: `host_net.hostname: localhost` is not this pod"),
        "{found:?}"
    );
    let found = said(&file(["", OWN, OWN], FSPATHS), &target(), &[]);
    assert!(
        found[0].starts_with("4: error: `host_net.hostname` is empty"),
        "{found:?}"
    );
}

#[test]
fn names_between_nodes_that_are_left_out_are_told() {
    let found = said(&file([OWN, "", ""], FSPATHS), &target(), &[]);
    assert_eq!(found.len(), 2);
    assert!(
        found[0].starts_with("5: warning: `host_net.hostname_intra_control` is empty"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("6: warning: `host_net.hostname_intra_data` is empty"),
        "{found:?}"
    );
    let found = said(&file([OWN, OWN, "127.0.0.1"], FSPATHS), &target(), &[]);
    assert!(
        found[0].starts_with(
            "6: warning: `host_net.hostname_intra_data: 127.0.0.1` is the pod's present address"
        ),
        "{found:?}"
    );
}

#[test]
fn mountpaths_without_a_claim_and_claims_without_a_mountpath_are_refused() {
    let found = said(
        &file([OWN; 3], r#""/data/0": "", "/data/7": """#),
        &target(),
        &[],
    );
    assert_eq!(
        found,
        [
            "9: error: no claim is named by the mountpath `/data/7`: objects would be in the container, and gone with it",
            "9: error: the volume `ais-data-1` is no mountpath here",
        ]
    );
    let none = said(&file([OWN; 3], ""), &target(), &[]);
    assert!(
        none[0].starts_with("9: error: `fspaths` is empty"),
        "{none:?}"
    );
    // Where the claims are not named, the paths are not held against them.
    let any = file([OWN; 3], r#""/mnt/a": """#);
    assert_eq!(said(&any, &Settings::of(Role::Target), &[]), [""; 0]);
}

#[test]
fn a_mountpath_that_the_disks_record_is_missed() {
    let disks = [Disk {
        volume: "ais-data-0".to_owned(),
        content: Content::Of(Vmd {
            id: "ais-target-1".to_owned(),
            mountpaths: vec!["/data/0".to_owned(), "/data/2".to_owned()],
        }),
    }];
    assert_eq!(
        said(&file([OWN; 3], FSPATHS), &target(), &disks),
        [
            "9: error: the disks record the mountpath `/data/2`, which is not here: AIStore would end with sie#60"
        ]
    );
}

#[test]
fn a_targets_file_is_no_proxys() {
    let proxy = Settings::of(Role::Proxy);
    let found = said(&file([OWN; 3], FSPATHS), &proxy, &[]);
    assert_eq!(
        found,
        ["9: error: `fspaths` are for targets, and this is a proxy (`role`)"]
    );
    assert_eq!(said(&file([OWN; 3], ""), &proxy, &[]), [""; 0]);
}

#[test]
fn what_is_no_json_or_left_open_is_refused() {
    let broken = file([OWN; 3], FSPATHS).replace("\"port\": \"51081\"", "\"port\": ");
    assert!(said(&broken, &target(), &[])[0].starts_with("0: error: no JSON"));
    let open = file([OWN, OWN, "${POD}.ais-target"], FSPATHS);
    assert!(said(&open, &target(), &[])[0].starts_with("6: error: a variable is left open"));
}

#[test]
fn the_primary_is_a_proxy() {
    let now = membership("target", 1, 3);
    let said = |url: &str, role: Role| {
        let text = format!("{{\"proxy\":{{\"primary_url\":\"{url}\"}}}}");
        let found = global("/ais.json", text.as_bytes(), &Settings::of(role), &now);
        found.into_iter().map(|one| one.message).collect::<Vec<_>>()
    };
    let proxy = "http://ais-proxy-0.ais-proxy.default.svc.cluster.local:51081";
    assert_eq!(said(proxy, Role::Target), [""; 0]);
    assert!(said("", Role::Proxy)[0].starts_with("`proxy.primary_url` names nobody"));
    let own = format!("http://{OWN}:51081");
    assert_eq!(
        said(&own, Role::Target),
        [format!(
            "`proxy.primary_url` names {OWN}, which is a target"
        )]
    );
}

proptest! {
    #[test]
    fn any_file_is_checked(text in ".{0,200}") {
        let now = membership("target", 1, 3);
        let _found = local("/f", text.as_bytes(), &target(), &now, &[]);
        let _found = global("/f", text.as_bytes(), &target(), &now);
    }
}
