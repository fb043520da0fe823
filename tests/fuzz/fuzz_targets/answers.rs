//! What workloads answer in JSON is read, or is none; whoever is in it is found in it, and our own marker is read
//! as it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_fuzz::members;
use outrigger_plugin_agdb::admin::AdminStatus;
use outrigger_plugin_agdb::identity::Identity;
use outrigger_plugin_agdb::status::{self, Row};
use outrigger_plugin_aistore::smap::Map;
use outrigger_plugin_aistore::status::NodeStatus;
use outrigger_plugin_piko::nodes::{LocalNode, Node};
use outrigger_plugin_sdk::json::{self, ToJson as _};

fuzz_target!(|text: &str| {
    if let Ok(rows) = json::parse::<Vec<Row>>(text) {
        let members = status::members(&rows);
        assert!(members.is_sorted() && members.len() == rows.len());
        if let Some(leader) = status::leader(&rows) {
            assert!(rows.iter().any(|row| row.leader && row.address == leader));
        }
    }
    let _admin = json::parse::<AdminStatus>(text);
    if let Ok(identity) = json::parse::<Identity>(text) {
        assert_eq!(json::parse(&identity.to_json().to_string()), Ok(identity));
    }
    let _local = json::parse::<LocalNode>(text);
    if let Ok(nodes) = json::parse::<Vec<Node>>(text) {
        let now = members("piko", 1);
        for node in &nodes {
            // A row is one replica's at most: names do not begin with one another up to a dash.
            let of = now
                .replicas
                .iter()
                .filter(|replica| node.is_of(replica, &now.replicas));
            assert!(of.count() <= 1, "{node:?}");
        }
    }
    if let Ok(map) = json::parse::<Map>(text) {
        assert!(
            map.targets
                .iter()
                .all(|node| map.target(&node.id).is_some())
        );
        assert!(map.proxies.iter().all(|node| map.proxy(&node.id).is_some()));
        let mut nodes = map.targets.iter().chain(&map.proxies);
        assert!(nodes.all(|node| node.hosts.iter().all(|host| !host.is_empty())));
    }
    if let Ok(status) = json::parse::<NodeStatus>(text) {
        let numbers = [status.used, status.bytes];
        assert!(numbers.into_iter().flatten().all(f64::is_finite));
    }
});
