//! The cluster map, as a node serves it: who is of the cluster, who is primary, who is in maintenance.

use outrigger_plugin_sdk::json::{Error, FromJson, Value};

/// In maintenance.
const MAINTENANCE: u64 = 1 << 2;

/// Being decommissioned.
const DECOMMISSION: u64 = 1 << 3;

/// The map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Map {
    /// Grows with each change.
    pub version: u64,
    /// The primary's ID.
    pub primary: String,
    /// The proxies.
    pub proxies: Vec<Node>,
    /// The targets.
    pub targets: Vec<Node>,
}

/// A node of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its ID, which is the pod's name.
    pub id: String,
    /// The names or addresses under which the others reach it: public, control, data.
    pub hosts: Vec<String>,
    /// Whether it is in maintenance.
    pub maintenance: bool,
    /// Whether it is being decommissioned.
    pub decommission: bool,
}

impl Map {
    /// A target of it.
    pub fn target(&self, id: &str) -> Option<&Node> {
        self.targets.iter().find(|node| node.id == id)
    }

    /// A proxy of it.
    pub fn proxy(&self, id: &str) -> Option<&Node> {
        self.proxies.iter().find(|node| node.id == id)
    }
}

impl FromJson for Map {
    fn from_json(value: &Value) -> Result<Self, Error> {
        let version: String = value.field("version")?;
        let primary = value
            .get("proxy_si")
            .ok_or_else(|| Error::new("no `proxy_si`"))?;
        Ok(Self {
            version: version
                .parse()
                .map_err(|_| Error::new(format!("`version`: {version} is no number")))?,
            primary: primary.field("daemon_id")?,
            proxies: nodes(value, "pmap")?,
            targets: nodes(value, "tmap")?,
        })
    }
}

fn nodes(value: &Value, key: &str) -> Result<Vec<Node>, Error> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(nodes)) => nodes
            .iter()
            .map(|(_, node)| Node::from_json(node))
            .collect(),
        Some(_) => Err(Error::new(format!("`{key}`: expected nodes by their ID"))),
    }
}

impl FromJson for Node {
    fn from_json(value: &Value) -> Result<Self, Error> {
        let flags: u64 = value.field::<Option<u64>>("flags")?.unwrap_or_default();
        let net = |name| value.get(name)?.field("node_ip_addr").ok();
        Ok(Self {
            id: value.field("daemon_id")?,
            hosts: ["public_net", "intra_control_net", "intra_data_net"]
                .into_iter()
                .filter_map(net)
                .filter(|host: &String| !host.is_empty())
                .collect(),
            maintenance: flags & MAINTENANCE != 0,
            decommission: flags & DECOMMISSION != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json;
    use proptest::prelude::*;

    const STARTED: &str = include_str!("../tests/data/smap.json");

    #[test]
    fn a_captured_map_is_read() {
        let map: Map = json::parse(STARTED).unwrap();
        assert_eq!((map.version, map.primary.as_str()), (5, "ais-proxy-0"));
        let ids: Vec<&str> = map.targets.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["ais-target-0", "ais-target-1"]);
        assert!(map.proxy("ais-proxy-0").is_some() && map.proxy("ais-target-0").is_none());
        let first = map.target("ais-target-0").unwrap();
        assert_eq!(
            first.hosts,
            [
                "ais-target-0.ais-target.default.svc.cluster.local",
                "127.0.0.1",
                "127.0.0.1"
            ]
        );
        assert!(!first.maintenance && !first.decommission);
    }

    #[test]
    fn with_all_host_names_set_the_map_has_no_addresses() {
        let map: Map = json::parse(include_str!("../tests/data/smap-5.0.json")).unwrap();
        let nodes = map.proxies.iter().chain(&map.targets);
        let hosts: Vec<&String> = nodes.flat_map(|node| &node.hosts).collect();
        assert_eq!(hosts.len(), 9);
        assert!(
            hosts
                .iter()
                .all(|host| host.ends_with(".svc.cluster.local"))
        );
    }

    #[test]
    fn maintenance_and_decommission_are_told_apart() {
        let flagged = |flags: &str| {
            let text = STARTED.replacen("\"flags\":0", &format!("\"flags\":{flags}"), 1);
            let map: Map = json::parse(&text).unwrap();
            let first = map.target("ais-target-0").unwrap().clone();
            (first.maintenance, first.decommission)
        };
        assert_eq!(flagged("4"), (true, false));
        assert_eq!(flagged("8"), (false, true));
        assert_eq!(flagged("2"), (false, false));
    }

    #[test]
    fn before_the_cluster_has_started_there_is_no_map() {
        for text in ["", "{}", "null", "{\"version\":\"0\",\"proxy_si\":null}"] {
            assert!(json::parse::<Map>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_map_or_none(text in ".{0,200}") {
            let _either = json::parse::<Map>(&text);
        }
    }
}
