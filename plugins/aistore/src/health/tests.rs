//! Verdicts, by what was seen of AIStore in each state.

use super::*;
use crate::testing::{SMAP, at_rest, map, map_with, replica};
use outrigger_plugin_sdk::Status::{self, Degraded, Fail, Pass};
use outrigger_plugin_sdk::{Scope, json};

/// `state` without the low CPU of the machine that the captures are of.
const SOUND: u64 = 6;

fn target(ordinal: u32, ready: bool, smap: Option<&str>, state: u64) -> Look {
    let mut status: NodeStatus = json::parse(&at_rest()).unwrap();
    status.state = Some(state);
    Look {
        role: Role::Target,
        own: replica("target", ordinal),
        alive: true,
        ready,
        status: Some(status),
        map: smap.map(map),
        started: false,
        mountpaths: Some(2),
    }
}

fn proxy(ready: bool, smap: Option<&str>, started: bool) -> Look {
    Look {
        role: Role::Proxy,
        own: replica("proxy", 0),
        status: Some(NodeStatus {
            state: Some(SOUND),
            ..NodeStatus::default()
        }),
        started,
        mountpaths: None,
        ..target(0, ready, smap, SOUND)
    }
}

fn said(look: &Look) -> (Status, String) {
    let verdict = judge(look, &[]);
    let codes: Vec<&str> = verdict.reasons.iter().map(|r| r.code.as_str()).collect();
    (verdict.status, codes.join(","))
}

fn fails(code: &str) -> (Status, String) {
    (Fail, code.to_owned())
}

fn degraded(code: &str) -> (Status, String) {
    (Degraded, code.to_owned())
}

#[test]
fn a_target_in_the_cluster_passes_and_tells_what_it_sees() {
    let look = target(1, true, Some(SMAP), SOUND);
    let verdict = judge(&look, &[]);
    assert_eq!((verdict.status, verdict.role), (Pass, None));
    let shown: Vec<String> = verdict
        .attrs
        .iter()
        .map(|(k, v)| format!("{k}: {v}"))
        .collect();
    assert_eq!(shown, ["map: v5", "primary: ais-proxy-0", "targets: 2"]);
}

#[test]
fn a_target_outside_of_the_cluster_is_not_ready_though_its_health_is_200() {
    assert_eq!(said(&target(1, false, None, 4)), fails("not-joined"));
    let left = map_with(None);
    assert_eq!(
        said(&target(1, false, Some(&left), SOUND)),
        fails("not-joined")
    );
    let verdict = judge(&target(1, false, Some(&left), SOUND), &[]);
    assert_eq!(verdict.reasons[0].scope, Scope::Replica);
}

#[test]
fn maintenance_is_known_from_the_map_since_the_nodes_own_state_does_not_say_it() {
    let resting = map_with(Some(4));
    assert_eq!(
        said(&target(1, false, Some(&resting), SOUND)),
        fails("in-maintenance")
    );
    let leaving = map_with(Some(8));
    assert_eq!(
        said(&target(1, false, Some(&leaving), SOUND)),
        fails("decommissioning")
    );
    let verdict = judge(&target(0, true, Some(&resting), SOUND), &[]);
    assert_eq!(verdict.status, Pass);
    assert!(
        verdict
            .attrs
            .contains(&("targets".to_owned(), "2, 1 in maintenance".to_owned()))
    );
}

#[test]
fn faults_of_disks_and_memory_take_a_target_out_of_service() {
    for (bit, code) in [
        (0x2000, "disk-fault"),
        (0x100, "out-of-space"),
        (0x40_0000, "disk-out-of-space"),
        (0x200, "out-of-memory"),
    ] {
        assert_eq!(said(&target(0, true, Some(SMAP), SOUND | bit)), fails(code));
    }
}

#[test]
fn work_and_scarcity_are_told() {
    for (bit, code) in [
        (8, "rebalancing"),
        (0x20, "resilvering"),
        (0x800, "low-capacity"),
        (0x20_0000, "low-cpu"),
    ] {
        assert_eq!(
            said(&target(0, true, Some(SMAP), SOUND | bit)),
            degraded(code)
        );
    }
}

#[test]
fn a_mountpath_that_is_not_in_use_is_told() {
    let mut look = target(0, true, Some(SMAP), SOUND);
    look.mountpaths = Some(3);
    assert_eq!(said(&look), degraded("mountpath-missing"));
    look.mountpaths = None;
    assert_eq!(said(&look), (Pass, String::new()));
    look.status = None;
    assert_eq!(said(&look), degraded("no-status"));
}

#[test]
fn an_address_in_the_map_that_is_not_the_present_one_is_told() {
    let mut look = target(0, true, Some(SMAP), SOUND);
    look.own.addresses = vec!["10.1.0.7".to_owned()];
    assert_eq!(said(&look), degraded("stale-address"));
    let message = &judge(&look, &[]).reasons[0].message;
    assert!(
        message.starts_with("the cluster map has this node at 127.0.0.1"),
        "{message}"
    );
    // Its peer, from here.
    let mut peer = replica("target", 1);
    peer.addresses = vec!["10.1.0.8".to_owned()];
    look.own.addresses = vec!["127.0.0.1".to_owned()];
    let verdict = judge(&look, &[&peer]);
    assert_eq!(verdict.reasons[0].code, "stale-peer-address");
    assert_eq!(verdict.reasons[0].scope, Scope::Cluster);
    // Names are looked up anew, and what is not known is not judged.
    let named = SMAP.replace(
        "127.0.0.1",
        "ais-target-0.ais-target.default.svc.cluster.local",
    );
    look.map = Some(map(&named));
    look.own.addresses = vec!["10.1.0.7".to_owned()];
    assert_eq!(said(&look), (Pass, String::new()));
    look.map = Some(map(SMAP));
    look.own.addresses.clear();
    assert_eq!(said(&look), (Pass, String::new()));
}

#[test]
fn a_proxy_waits_for_the_cluster_though_it_says_it_is_ready() {
    // Cold start: 200 at once, no map for 20 s.
    let look = proxy(true, None, false);
    assert_eq!(said(&look), fails("cluster-not-started"));
    assert_eq!(judge(&look, &[]).reasons[0].scope, Scope::Cluster);
    // After a restart the map is rebuilt from the targets in 11 s.
    assert_eq!(
        said(&proxy(true, Some(SMAP), false)),
        fails("cluster-not-started")
    );
    assert_eq!(said(&proxy(false, Some(SMAP), true)), fails("not-ready"));
    let started = judge(&proxy(true, Some(SMAP), true), &[]);
    assert_eq!(
        (started.status, started.role.as_deref()),
        (Pass, Some("leader"))
    );
}

#[test]
fn a_proxy_that_is_not_primary_follows() {
    let other = SMAP.replace("ais-proxy-0", "ais-proxy-1");
    let mut look = proxy(true, Some(&other), true);
    assert_eq!(said(&look), fails("cluster-not-started"));
    look.own = replica("proxy", 1);
    assert_eq!(judge(&look, &[]).role.as_deref(), Some("leader"));
    if let Some(map) = &mut look.map {
        map.primary = "ais-proxy-0".to_owned();
    }
    assert_eq!(judge(&look, &[]).role.as_deref(), Some("follower"));
}

#[test]
fn a_node_that_does_not_answer_fails() {
    let mut look = target(0, true, Some(SMAP), SOUND);
    look.alive = false;
    assert_eq!(said(&look), fails("not-answering"));
}
