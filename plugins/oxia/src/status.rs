//! The coordinator's status file: which shards there are, who leads each and who keeps its copies. YAML, though
//! it is named `.json`.
//!
//! Strict: what is not of this shape is an error, as half an answer about shards is worse than none. Keys that
//! are not used here may be anything.

use outrigger_plugin_sdk::yaml::{self, Node, Value};

/// The most that is read of it, in bytes; some 1,900 shards of three copies are the limit of nodes.
pub const BYTES_MAX: u32 = 4 << 20;

/// What a shard does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has not been given a leader yet.
    New,
    /// It has a leader, and the followers that it needs were found when that was elected.
    Steady,
    /// A leader is being elected.
    Election,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its namespace and its number, such as `default/0`.
    pub name: String,
    /// What it does.
    pub state: State,
    /// Grows by one with each election that is tried.
    pub term: i64,
    /// The server that leads it.
    pub leader: Option<String>,
    /// The servers that keep its copies.
    pub ensemble: Vec<String>,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// What tells this cluster from another.
    pub instance: String,
    /// Its namespaces.
    pub namespaces: Vec<String>,
    /// The shards that stay, in the file's order; those that are being deleted are left out.
    pub shards: Vec<Shard>,
}

/// Reads a status.
///
/// # Errors
/// One sentence, with the line.
pub fn read(content: &[u8]) -> Result<Status, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
    let root = yaml::parse(text)
        .map_err(|error| format!("no YAML: {error}"))?
        .ok_or("it is empty")?;
    if !matches!(root.value, Value::Map(_)) {
        return Err(wrong(&root, "a mapping is expected"));
    }
    let instance = root.entry(&["instanceId"]);
    let instance = instance.and_then(|entry| entry.node.text());
    let mut status = Status {
        instance: instance.unwrap_or_default().to_owned(),
        ..Status::default()
    };
    let Some(namespaces) = root.entry(&["namespaces"]) else {
        return Ok(status);
    };
    for namespace in mapping(&namespaces.node)? {
        status.namespaces.push(namespace.key.clone());
        let Some(shards) = namespace.node.entry(&["shards"]) else {
            continue;
        };
        for entry in mapping(&shards.node)? {
            let name = format!("{}/{}", namespace.key, entry.key);
            status.shards.extend(shard(name, &entry.node)?);
        }
    }
    Ok(status)
}

fn wrong(node: &Node, what: &str) -> String {
    format!("line {}: {what}", node.line)
}

/// The entries of a mapping, or none of nothing.
fn mapping(node: &Node) -> Result<&[yaml::Entry], String> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        _ if node.is_null() => Ok(&[]),
        _ => Err(wrong(node, "a mapping is expected")),
    }
}

/// A shard; none when it is being deleted.
fn shard(name: String, node: &Node) -> Result<Option<Shard>, String> {
    let state = match number(node, "status")? {
        0 => State::New,
        1 => State::Steady,
        2 => State::Election,
        3 => return Ok(None),
        other => {
            return Err(wrong(
                node,
                &format!("the shard's status {other} is not known"),
            ));
        }
    };
    let ensemble = node
        .entry(&["ensemble"])
        .filter(|entry| matches!(entry.node.value, Value::List(_)))
        .ok_or_else(|| wrong(node, "the shard has no list `ensemble`"))?;
    let leader = node.entry(&["leader"]).map(|entry| &entry.node);
    Ok(Some(Shard {
        name,
        state,
        term: number(node, "term")?,
        leader: match leader {
            Some(leader) if !leader.is_null() => Some(server(leader)?),
            _ => None,
        },
        ensemble: ensemble
            .node
            .items()
            .iter()
            .map(server)
            .collect::<Result<_, _>>()?,
    }))
}

fn number(node: &Node, key: &str) -> Result<i64, String> {
    let entry = node
        .entry(&[key])
        .ok_or_else(|| wrong(node, &format!("the shard has no `{key}`")))?;
    let number = entry.node.text().and_then(|text| text.parse().ok());
    number.ok_or_else(|| wrong(&entry.node, &format!("`{key}` is no whole number")))
}

/// A server's name, or as Oxia takes it without one, its internal address.
fn server(node: &Node) -> Result<String, String> {
    ["name", "internal"]
        .iter()
        .find_map(|key| node.entry(&[key])?.node.text())
        .map(str::to_owned)
        .ok_or_else(|| wrong(node, "a server has neither `name` nor `internal`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::STEADY;
    use proptest::prelude::*;

    #[test]
    fn the_captured_status_is_read() {
        let status = read(STEADY.as_bytes()).unwrap();
        assert_eq!(status.instance, "153496fa-2124-4a5a-beca-9232cef906b5");
        assert_eq!(status.namespaces, ["default"]);
        let short = |shard: &Shard| {
            let leader = shard.leader.clone().unwrap_or_default();
            (shard.name.clone(), shard.state, shard.term, leader)
        };
        let shards: Vec<_> = status.shards.iter().map(short).collect();
        let shard =
            |name: &str, leader: &str| (name.to_owned(), State::Steady, 1, leader.to_owned());
        assert_eq!(
            shards,
            [shard("default/0", "oxia-2"), shard("default/1", "oxia-0")]
        );
        assert_eq!(status.shards[0].ensemble, ["oxia-2", "oxia-0", "oxia-1"]);
    }

    #[test]
    fn a_shard_in_election_has_no_leader_and_one_that_is_deleted_is_none() {
        let text = "namespaces: {a: {shards: {0: {status: 2, term: 7, leader: null, ensemble: [{internal: 'b:6649'}]}, \
                    1: {status: 3, term: 1, ensemble: []}}}, b: {}, c: null}";
        let status = read(text.as_bytes()).unwrap();
        assert_eq!(status.shards.len(), 1);
        let shard = &status.shards[0];
        assert_eq!(
            (shard.state, shard.term, &shard.leader),
            (State::Election, 7, &None)
        );
        assert_eq!(shard.ensemble, ["b:6649"]);
        assert_eq!(status.namespaces, ["a", "b", "c"]);
        assert_eq!(read(b"{}"), Ok(Status::default()));
    }

    #[test]
    fn what_is_not_of_the_shape_is_an_error_with_its_line() {
        let of = |text: &str| read(text.as_bytes()).unwrap_err();
        assert_eq!(of(""), "it is empty");
        assert_eq!(of("[1]"), "line 1: a mapping is expected");
        assert_eq!(of("namespaces: 5"), "line 1: a mapping is expected");
        assert_eq!(
            of("namespaces:\n  a:\n    shards:\n      0: {term: 1, ensemble: []}\n"),
            "line 4: the shard has no `status`"
        );
        assert_eq!(
            of("namespaces: {a: {shards: {0: {status: 9, term: 1, ensemble: []}}}}"),
            "line 1: the shard's status 9 is not known"
        );
        assert_eq!(
            of("namespaces: {a: {shards: {0: {status: 1, term: x, ensemble: []}}}}"),
            "line 1: `term` is no whole number"
        );
        assert_eq!(
            of("namespaces: {a: {shards: {0: {status: 1, term: 1, ensemble: oxia-0}}}}"),
            "line 1: the shard has no list `ensemble`"
        );
        assert_eq!(
            of("namespaces: {a: {shards: {0: {status: 1, term: 1, ensemble: [{}]}}}}"),
            "line 1: a server has neither `name` nor `internal`"
        );
        // Cut in the middle of being written.
        let half = &STEADY[..STEADY.len() / 2];
        assert!(
            read(half.as_bytes()).is_err()
                || read(half.as_bytes()).is_ok_and(|s| s.shards.len() < 2)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _either = read(&content);
        }

        #[test]
        fn a_status_with_a_piece_taken_out_is_read_or_refused(from in 0..STEADY.len(), length in 0..200_usize, with in "[a-z0-9:{}\\[\\],\n -]{0,10}") {
            let to = (from + length).min(STEADY.len());
            let text = format!("{}{with}{}", &STEADY[..from], &STEADY[to..]);
            if let Ok(status) = read(text.as_bytes()) {
                prop_assert!(status.shards.len() <= STEADY.len());
            }
        }
    }
}
