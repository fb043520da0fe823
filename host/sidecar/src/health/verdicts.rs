//! Who gives verdicts: the plugin, or a stand-in in tests.

use std::fmt;
use std::sync::Arc;

use outrigger_peers::PeerSet;
use outrigger_plugin_host::{BoxFuture, CallError, Plugin, Probe, Verdict};

/// Gives verdicts on the workload's health.
pub trait Verdicts: fmt::Debug + Send + Sync + 'static {
    /// The verdict on one probe, for the replicas as they are now.
    fn evaluate(
        &self,
        probe: Probe,
        now: Arc<PeerSet>,
    ) -> BoxFuture<'_, Result<Verdict, CallError>>;
}

impl Verdicts for Plugin {
    fn evaluate(
        &self,
        probe: Probe,
        now: Arc<PeerSet>,
    ) -> BoxFuture<'_, Result<Verdict, CallError>> {
        Box::pin(async move { Plugin::evaluate(self, probe, &now).await })
    }
}
