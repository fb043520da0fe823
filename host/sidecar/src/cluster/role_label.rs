//! The pod's label `outrigger.dev/role` follows the replica's role, so that Services can select by it.
//!
//! It is written when it changes and never read: nobody but this sidecar may write it. While the replica
//! is drained there is none.

use std::time::Duration;

use outrigger_api_server::{ApiError, ApiServer, Pause};
use outrigger_peers::Identity;
use outrigger_shutdown::Shutdown;
use outrigger_telemetry::names;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::watch;

use super::followed::FORBIDDEN_PAUSE;
use super::{MANAGER, ROLE_HINT};
use crate::lifecycle::Phase;
use crate::metrics::Recorder;
use crate::timeline::Timeline;

/// The label.
pub const ROLE_LABEL: &str = "outrigger.dev/role";

/// How long a first role is waited for before the label that an earlier sidecar may have left is removed.
const FIRST_ROLE: Duration = Duration::from_secs(20);

/// Between two changes: a role that flaps must not keep the API server busy.
const PACE: Duration = Duration::from_secs(1);

/// How the label stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleLabel {
    /// What was written last; none inside = that there is no role. None = nothing was written yet.
    pub written: Option<Option<String>>,
    /// Why what should be there is not; none where it is.
    pub problem: Option<String>,
}

/// What publishing a role needs.
#[derive(Debug)]
pub(crate) struct RolePublisher {
    pub(crate) api: ApiServer,
    pub(crate) identity: Identity,
    pub(crate) role: watch::Receiver<Option<String>>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) timeline: Timeline,
    pub(crate) recorder: Recorder,
    pub(crate) out: watch::Sender<RoleLabel>,
}

impl RolePublisher {
    /// Publishes until the shutdown.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        tokio::select! {
            () = self.publish() => {}
            () = shutdown.triggered() => {}
        }
    }

    async fn publish(&mut self) {
        let mut pause = Pause::default();
        // Most pods have no label yet, and a role comes with the first verdict.
        let first = async {
            while self.wanted().is_none() {
                self.changed().await;
            }
        };
        // Without one, what an earlier sidecar may have left is removed.
        drop(tokio::time::timeout(FIRST_ROLE, first).await);
        loop {
            let wanted = self.wanted();
            if self.out.borrow().written.as_ref() == Some(&wanted) {
                self.changed().await;
                continue;
            }
            let rest = match self.write(wanted.as_deref()).await {
                Ok(()) => {
                    pause.reset();
                    self.wrote(wanted);
                    PACE
                }
                Err(error) => {
                    self.failed(&error);
                    if error.is(403) {
                        FORBIDDEN_PAUSE
                    } else {
                        pause.next()
                    }
                }
            };
            tokio::time::sleep(rest).await;
        }
    }

    /// The label's value now.
    fn wanted(&mut self) -> Option<String> {
        let phase = *self.phase.borrow_and_update();
        let role = self.role.borrow_and_update().clone()?;
        if !phase.may_serve() {
            return None;
        }
        if is_label_value(&role) {
            return Some(role);
        }
        let problem = format!("the role `{role}` cannot be the value of a label");
        self.trouble(problem, "invalid");
        None
    }

    async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.role.changed() => {}
            Ok(()) = self.phase.changed() => {}
            // Both rooms have ended, and with them the sidecar.
            else => std::future::pending().await,
        }
    }

    async fn write(&self, role: Option<&str>) -> Result<(), ApiError> {
        let identity = &self.identity;
        let (namespace, pod) = (&identity.namespace, identity.pod());
        let mut patch = json!({"metadata": {"labels": {ROLE_LABEL: role}}});
        if !identity.uid.is_empty() {
            // Never on a pod that has come in this one's place.
            patch["metadata"]["uid"] = identity.uid.as_str().into();
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
        let written = self.api.merge_patch::<IgnoredAny>(&path, &patch, MANAGER);
        written.await.map(drop)
    }

    fn wrote(&self, role: Option<String>) {
        let message = match &role {
            Some(role) => format!("the pod's label {ROLE_LABEL} is {role}"),
            None => format!("the pod has no label {ROLE_LABEL}"),
        };
        self.timeline.note("role", message, []);
        self.recorder
            .count(names::ROLE_LABEL_WRITES, &[("result", "done")]);
        self.out.send_modify(|label| {
            label.written = Some(role);
            // A role that no label can hold is still one.
            let keeps = |problem: &String| problem.starts_with("the role ");
            label.problem = label.problem.take().filter(keeps);
        });
    }

    fn failed(&self, error: &ApiError) {
        if error.is(403) {
            let problem = format!(
                "this pod may not set its label {ROLE_LABEL}, nobody can select it by its role: {ROLE_HINT}"
            );
            self.trouble(problem, "forbidden");
        } else {
            let why = error.chain();
            self.trouble(
                format!("the pod's label {ROLE_LABEL} cannot be set: {why}"),
                "failed",
            );
        }
    }

    /// Told once for as long as it lasts.
    fn trouble(&self, problem: String, result: &'static str) {
        self.recorder
            .count(names::ROLE_LABEL_WRITES, &[("result", result)]);
        let is_news = self.out.borrow().problem.as_ref() != Some(&problem);
        if is_news {
            self.timeline.record("role", problem.clone(), []);
            self.out.send_modify(|label| label.problem = Some(problem));
        }
    }
}

/// Whether the API server takes it: at most 63 letters, digits, `-`, `_` and `.`, the first and the
/// last a letter or a digit.
fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(inner)
        && outer(text.bytes().next())
        && outer(text.bytes().last())
}

#[cfg(test)]
mod tests;
