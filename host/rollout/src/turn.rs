//! Whether a replica restarts its workload by itself: the sidecars' Lease tells, which is only read here.

use std::time::Duration;

use outrigger_api_server::{ApiError, ApiServer};
use serde_json::Value;
use tokio::time::Instant;

/// How long a turn stands that is not renewed, where the Lease does not say.
const DURATION: Duration = Duration::from_secs(30);
/// Beyond that, how long a holder is given.
const SLACK: Duration = Duration::from_secs(5);
/// Nobody's turn is believed to last longer than this.
const DURATION_MAX: Duration = Duration::from_mins(10);

/// The sidecars' turns to restart.
#[derive(Debug)]
pub(crate) struct Turns {
    path: String,
    /// The version that was seen last, and since when.
    seen: Option<(String, Instant)>,
    /// Whether it may be read.
    is_readable: bool,
}

impl Turns {
    /// Those of a StatefulSet.
    pub(crate) fn of(namespace: &str, name: &str) -> Self {
        Self {
            path: format!(
                "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/outrigger-{name}"
            ),
            seen: None,
            is_readable: true,
        }
    }

    /// Whether nobody knows, since the Lease may not be read.
    pub(crate) fn is_unknown(&self) -> bool {
        !self.is_readable
    }

    /// The pod that has the turn. A holder that has not renewed it for its length, by our own clock, is gone.
    pub(crate) async fn holder(&mut self, api: &ApiServer) -> Result<Option<String>, ApiError> {
        if !self.is_readable {
            return Ok(None);
        }
        let lease: Value = match api.get(&self.path).await {
            Ok(lease) => lease.value,
            Err(error) if error.is(404) => return Ok(None),
            Err(error) if error.is(403) => {
                self.is_readable = false;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let spec = &lease["spec"];
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        if holder.is_empty() {
            return Ok(None);
        }
        let version = lease["metadata"]["resourceVersion"].as_str();
        let version = version.unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if seen == version => *since,
            _ => {
                let now = Instant::now();
                self.seen = Some((version.to_owned(), now));
                now
            }
        };
        let seconds = spec["leaseDurationSeconds"].as_u64();
        let length = seconds
            .map_or(DURATION, Duration::from_secs)
            .min(DURATION_MAX);
        Ok((since.elapsed() < length + SLACK).then(|| holder.to_owned()))
    }
}
