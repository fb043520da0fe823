//! Stops against a fake host, with what AIStore was captured saying.

use super::*;
use crate::testing::{SMAP, STATUS, at_rest, map_with, membership};
use outrigger_plugin_sdk::endpoint::Target;
use outrigger_plugin_sdk::fake::FakeHost;
use outrigger_plugin_sdk::{DrainReason, Next};

const DAEMON: &str = "GET /v1/daemon?what=node_status";
const MAP: &str = "GET /v1/daemon?what=smap";
const PUT: &str = "PUT /v1/cluster";

fn at(own: u32, desired: u32, attempt: u32, remaining: u32) -> DrainContext {
    DrainContext {
        reason: DrainReason::RollingUpdate,
        remaining,
        elapsed: 60_000 - remaining.min(60_000),
        attempt,
        now: membership("target", own, desired),
    }
}

fn node(host: FakeHost, status: &str, map: &str) -> FakeHost {
    host.endpoint("http", Target::Local, DAEMON, 200, status)
        .endpoint("http", Target::Local, MAP, 200, map)
}

fn target() -> Settings {
    Settings::of(Role::Target)
}

#[test]
fn a_stop_waits_for_a_rebalance_and_says_so_once() {
    let host = node(FakeHost::new(), STATUS, SMAP);
    let first = drain(&target(), &at(1, 2, 0, 20_000));
    assert_eq!(first.note, "waits: the rebalance g1 runs");
    assert_eq!(first.next, Next::AgainIn(1_000));
    assert_eq!(drain(&target(), &at(1, 2, 1, 19_000)).note, "");
    host.forget_answers();
    let host = node(host, &at_rest(), SMAP);
    assert_eq!(drain(&target(), &at(1, 2, 2, 18_000)).next, Next::Done);
    drop(host);
}

#[test]
fn a_second_stop_at_once_waits_for_the_first_and_not_beyond_the_deadline() {
    for (second, why) in [
        (None, "ais-target-1 is not in the cluster map"),
        (Some(4), "ais-target-1 is in maintenance"),
        (Some(8), "ais-target-1 is being decommissioned"),
    ] {
        let _host = node(FakeHost::new(), &at_rest(), &map_with(second));
        assert_eq!(
            drain(&target(), &at(0, 2, 0, 20_000)).note,
            format!("waits: {why}")
        );
        let last = drain(&target(), &at(0, 2, 18, 2_000));
        assert_eq!(last.next, Next::Done);
        assert!(
            last.note.starts_with(&format!("stops although {why}")),
            "{}",
            last.note
        );
    }
}

#[test]
fn a_node_that_is_gone_and_a_proxy_are_not_waited_for() {
    let _host = FakeHost::new();
    assert_eq!(drain(&target(), &at(0, 2, 0, 20_000)).next, Next::Done);
    let proxy = Settings::of(Role::Proxy);
    assert_eq!(drain(&proxy, &at(0, 2, 0, 20_000)).next, Next::Done);
}

#[test]
fn a_planned_stop_goes_through_maintenance_where_that_is_set() {
    let settings = Settings {
        maintenance: true,
        ..target()
    };
    let host = node(FakeHost::new(), &at_rest(), SMAP)
        .volume("state", true)
        .endpoint("proxies", Target::Local, PUT, 200, "");
    let asked = drain(&settings, &at(1, 2, 0, 20_000));
    assert_eq!(asked.note, "asked for maintenance");
    assert_eq!(
        host.content("state", MARKER),
        Some(b"ais-target-1".to_vec())
    );
    let body = host.requests().last().unwrap().body.clone();
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"action":"start-maintenance","value":{"sid":"ais-target-1","skip_rebalance":true,"rm_user_data":false,"keep_initial_config":true,"no_shutdown":false}}"#
    );
    // Until the map has it.
    assert_eq!(
        drain(&settings, &at(1, 2, 1, 19_000)).next,
        Next::AgainIn(1_000)
    );
    host.forget_answers();
    let _host = node(host, &at_rest(), &map_with(Some(4)));
    assert_eq!(drain(&settings, &at(1, 2, 2, 18_000)).next, Next::Done);
}

#[test]
fn without_a_proxy_that_answers_nobody_waits_for_maintenance() {
    let settings = Settings {
        maintenance: true,
        ..target()
    };
    let _host = node(FakeHost::new(), &at_rest(), SMAP).volume("state", true);
    let step = drain(&settings, &at(1, 2, 0, 20_000));
    assert_eq!(step.next, Next::Done);
    assert!(
        step.note
            .starts_with("stops without maintenance, since no proxy answers"),
        "{}",
        step.note
    );
}

#[test]
fn maintenance_that_nobody_would_end_is_not_begun() {
    let settings = Settings {
        maintenance: true,
        ..target()
    };
    let host = node(FakeHost::new(), &at_rest(), SMAP);
    let step = drain(&settings, &at(1, 2, 0, 20_000));
    assert_eq!(step.next, Next::Done);
    assert!(
        step.note.starts_with("stops without maintenance"),
        "{}",
        step.note
    );
    assert!(
        !host
            .request_lines()
            .iter()
            .any(|line| line.starts_with("PUT"))
    );
}

#[test]
fn a_scale_down_waits_until_the_map_does_not_have_the_target() {
    let host = node(FakeHost::new(), &at_rest(), SMAP);
    let first = drain(&target(), &at(1, 1, 0, 20_000));
    assert_eq!(
        first.note,
        "waits for its decommission: `ais cluster add-remove-nodes decommission ais-target-1`"
    );
    assert!(
        !host
            .request_lines()
            .iter()
            .any(|line| line.starts_with("PUT"))
    );
    // Decommissioned: the node ends by itself, and the others know.
    host.forget_answers();
    let newer = map_with(None).replace("\"version\":\"5\"", "\"version\":\"7\"");
    let host = host.endpoint("http", Target::Peer(0), MAP, 200, &newer);
    let last = drain(&target(), &at(1, 1, 1, 19_000));
    assert_eq!(last.next, Next::Done);
    assert_eq!(
        last.note,
        "the cluster map v7 does not have ais-target-1 any more: nothing is lost with it"
    );
    drop(host);
}

#[test]
fn a_scale_down_is_never_a_silent_loss() {
    let _host = node(FakeHost::new(), &at_rest(), SMAP);
    let last = drain(&target(), &at(1, 1, 30, 2_000));
    assert!(matches!(last.next, Next::Failed(_)));
    assert!(
        last.note.starts_with(
            "ais-target-1 is stopped with its objects on 2 mountpaths: it was not decommissioned"
        ),
        "{}",
        last.note
    );
    let _host = node(FakeHost::new(), &at_rest(), &map_with(Some(8)));
    let last = drain(&target(), &at(1, 1, 30, 2_000));
    assert!(
        last.note.contains("its decommission has not ended"),
        "{}",
        last.note
    );
}

#[test]
fn a_cluster_that_is_turned_off_as_a_whole_moves_nothing() {
    let settings = Settings {
        decommission: true,
        ..target()
    };
    let host = node(FakeHost::new(), &at_rest(), SMAP);
    let step = drain(&settings, &at(1, 0, 0, 20_000));
    assert_eq!(step.next, Next::Done);
    assert!(
        step.note.starts_with("all targets are turned off"),
        "{}",
        step.note
    );
    assert!(host.requests().is_empty());
}

#[test]
fn a_target_outside_of_the_cluster_stops_at_once() {
    let left = map_with(None);
    let _host = node(FakeHost::new(), STATUS, &left);
    assert_eq!(drain(&target(), &at(1, 3, 0, 20_000)).next, Next::Done);
}

#[test]
fn the_last_target_has_nobody_to_take_its_objects() {
    let only = map_with(None).replace("ais-target-0", "ais-target-1");
    let _host = node(FakeHost::new(), &at_rest(), &only);
    let step = drain(&target(), &at(1, 1, 0, 20_000));
    assert_eq!(step.next, Next::Done);
    assert!(step.note.contains("it is the last target"), "{}", step.note);
}

#[test]
fn a_decommission_is_asked_for_where_that_is_set_and_again_when_the_primary_is_busy() {
    let settings = Settings {
        decommission: true,
        ..target()
    };
    let busy = r#"{"message":"ErrBusy: cluster membership is currently busy (rebalance[g3] is running), please try again","status":409}"#;
    let host = node(FakeHost::new(), &at_rest(), SMAP)
        .endpoint("proxies", Target::Local, PUT, 409, busy)
        .endpoint("proxies", Target::Local, PUT, 200, "g7");
    let refused = drain(&settings, &at(1, 1, 0, 30_000));
    assert!(refused.note.contains("ErrBusy"), "{}", refused.note);
    drain(&settings, &at(1, 1, 1, 29_000));
    assert_eq!(
        drain(&settings, &at(1, 1, 5, 24_000)).note,
        "asked for its decommission"
    );
    let puts = host
        .request_lines()
        .into_iter()
        .filter(|line| line.starts_with("PUT"));
    assert_eq!(puts.count(), 2);
    // Not while a rebalance runs: it would be refused.
    host.forget_answers();
    let _host = node(host, STATUS, SMAP);
    let waits = drain(&settings, &at(1, 1, 6, 18_000));
    assert!(
        waits.note.starts_with("waits: the rebalance g1 runs"),
        "{}",
        waits.note
    );
}
