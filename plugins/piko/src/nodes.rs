//! What Piko's `/status/cluster/nodes` says, and whose row is whose.

use outrigger_plugin_sdk::Replica;
use outrigger_plugin_sdk::json::{Error, FromJson, Value};

use crate::settings::id_prefix;

/// What the answering server holds of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeStatus {
    /// It answers.
    Active,
    /// It does not; forgotten 60 s later.
    Unreachable,
    /// It said that it leaves; forgotten 60 s later.
    Left,
    /// A word of a later version.
    Other,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its ID, new with each start.
    pub id: String,
    /// As the answering server sees it.
    pub status: NodeStatus,
    /// Where it takes requests, as it told.
    pub proxy_addr: String,
    /// How many agents' connections it has.
    pub upstreams: u32,
}

impl FromJson for Node {
    fn from_json(value: &Value) -> Result<Self, Error> {
        let status: String = value.field("status")?;
        Ok(Self {
            id: value.field("id")?,
            status: match status.as_str() {
                "active" => NodeStatus::Active,
                "unreachable" => NodeStatus::Unreachable,
                "left" => NodeStatus::Left,
                _ => NodeStatus::Other,
            },
            proxy_addr: value
                .field::<Option<String>>("proxy_addr")?
                .unwrap_or_default(),
            upstreams: value.field::<Option<u32>>("upstreams")?.unwrap_or_default(),
        })
    }
}

/// The own node's ID, from `/status/cluster/nodes/local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNode(pub String);

impl FromJson for LocalNode {
    fn from_json(value: &Value) -> Result<Self, Error> {
        value.field("id").map(Self)
    }
}

/// Whether a node ID is one of this replica's: its name and something after it, or, where somebody fixed
/// the ID, its name alone.
pub fn is_id_of(id: &str, replica: &Replica) -> bool {
    id == replica.name || id.starts_with(&id_prefix(replica))
}

impl Node {
    /// Whether it is this replica's: by its ID, or, where the ID is nobody's, by its address.
    pub fn is_of<'a>(&self, replica: &Replica, all: impl IntoIterator<Item = &'a Replica>) -> bool {
        if is_id_of(&self.id, replica) {
            return true;
        }
        let host = self
            .proxy_addr
            .rsplit_once(':')
            .map_or("", |(host, _)| host.trim_matches(['[', ']']));
        replica.addresses.iter().any(|address| address == host)
            && !all.into_iter().any(|other| is_id_of(&self.id, other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{membership, with_addresses};
    use outrigger_plugin_sdk::json;

    const JOINED: &str = include_str!("../tests/data/joined.json");
    const LOCAL: &str = include_str!("../tests/data/local.json");

    #[test]
    fn a_captured_list_is_read() {
        let nodes: Vec<Node> = json::parse(JOINED).unwrap();
        assert_eq!(nodes.len(), 3);
        assert_eq!(nodes[0].id, "piko-0-sa45o2x");
        assert_eq!(
            (nodes[0].status, nodes[0].upstreams),
            (NodeStatus::Active, 1)
        );
        let LocalNode(id) = json::parse(LOCAL).unwrap();
        assert_eq!(id, "piko-0-sa45o2x");
    }

    #[test]
    fn a_row_belongs_to_the_replica_whose_name_begins_its_id() {
        let now = with_addresses(membership(0, 11));
        let row = |id: &str, address: &str| Node {
            id: id.to_owned(),
            status: NodeStatus::Active,
            proxy_addr: address.to_owned(),
            upstreams: 0,
        };
        let owner = |row: Node| {
            let is_its = |replica: &&Replica| row.is_of(replica, &now.replicas);
            now.replicas
                .iter()
                .find(is_its)
                .map(|replica| replica.ordinal)
        };
        assert_eq!(owner(row("piko-1-jx1o1vu", "")), Some(1));
        assert_eq!(owner(row("piko-10-jx1o1vu", "")), Some(10));
        assert_eq!(
            owner(row("piko-2", "127.10.0.2:8000")),
            Some(2),
            "the ID counts first"
        );
        assert_eq!(
            owner(row("${POD_NAME}-8h57yj4", "127.10.0.3:8000")),
            Some(2)
        );
        assert_eq!(owner(row("-00wk7se", "127.10.9.9:8000")), None);
    }
}
