//! A node's own status (`what=node_status`): its state, its mountpaths, the rebalance.

use outrigger_plugin_sdk::json::{Error, FromJson, Value};

/// How a moment that has not come is written.
const NEVER: &str = "0001-01-01";

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeStatus {
    /// The bits of its state; see [`crate::flags`].
    pub state: Option<u64>,
    /// The ID of the rebalance that runs on it.
    pub rebalance: Option<String>,
    /// How many mountpaths it uses; none for proxies.
    pub mountpaths: Option<u32>,
    /// The fullest mountpath, in percent.
    pub used: Option<f64>,
    /// Bytes in use on its mountpaths' file systems.
    pub bytes: Option<f64>,
}

impl FromJson for NodeStatus {
    fn from_json(value: &Value) -> Result<Self, Error> {
        if value.get("snode").is_none() {
            return Err(Error::new("no `snode`"));
        }
        let state = value
            .get("tracker")
            .map(|tracker| tracker.field("state.flags"));
        let capacity = value.get("capacity");
        let mountpaths = match capacity.and_then(|capacity| capacity.get("mountpaths")) {
            Some(Value::Object(mountpaths)) => u32::try_from(mountpaths.len()).ok(),
            _ => None,
        };
        let in_capacity = |key| capacity.filter(|_| mountpaths.is_some())?.get(key);
        Ok(Self {
            state: state.transpose()?.flatten(),
            rebalance: value.get("rebalance_snap").and_then(running),
            mountpaths,
            used: in_capacity("pct_max").and_then(number),
            bytes: in_capacity("total_used").and_then(number),
        })
    }
}

/// The ID of a job that has begun and not ended.
fn running(snap: &Value) -> Option<String> {
    let ended: String = snap.field("end-time").ok()?;
    let aborted = snap.field::<Option<bool>>("aborted").ok()?;
    (ended.starts_with(NEVER) && aborted != Some(true))
        .then(|| snap.field("id").unwrap_or_default())
}

/// A number, or one that is written as a text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(digits) | Value::Text(digits) => {
            digits.parse().ok().filter(|n: &f64| n.is_finite())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json;
    use proptest::prelude::*;

    const REBALANCING: &str = include_str!("../tests/data/node_status.json");

    #[test]
    fn a_captured_status_is_read() {
        let status: NodeStatus = json::parse(REBALANCING).unwrap();
        assert_eq!(status.state, Some(2_097_158));
        assert_eq!(status.rebalance.as_deref(), Some("g1"));
        assert_eq!((status.mountpaths, status.used), (Some(2), Some(79.0)));
    }

    #[test]
    fn a_rebalance_that_has_ended_does_not_run() {
        let ended = REBALANCING.replace("0001-01-01T00:00:00Z", "2026-11-21T08:53:20.1Z");
        assert_eq!(json::parse::<NodeStatus>(&ended).unwrap().rebalance, None);
        let aborted = REBALANCING.replace("\"aborted\":false", "\"aborted\":true");
        assert_eq!(json::parse::<NodeStatus>(&aborted).unwrap().rebalance, None);
    }

    #[test]
    fn what_is_not_said_is_not_known() {
        let status: NodeStatus = json::parse(r#"{"snode":{},"capacity":{}}"#).unwrap();
        assert_eq!(status, NodeStatus::default());
        assert!(json::parse::<NodeStatus>(r#"{"message":"invalid","status":400}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_status_or_none(text in ".{0,200}") {
            let _either = json::parse::<NodeStatus>(&text);
        }
    }
}
