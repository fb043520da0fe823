//! A plugin whose calls are timed for `/metrics`.

use std::sync::Arc;

use outrigger_peers::PeerSet;
use outrigger_plugin_host::{
    Batch, BoxFuture, CallError, DrainContext, Plugin, PluginInfo, Probe, Step, Verdict,
};
use outrigger_telemetry::names;
use tokio::time::Instant;

use super::{Derives, Recorder};
use crate::health::Verdicts;
use crate::lifecycle::Drains;

/// A plugin whose calls are timed.
#[derive(Debug, Clone)]
pub struct Timed {
    plugin: Plugin,
    recorder: Recorder,
}

impl Timed {
    /// Times the calls of this plugin.
    pub fn new(plugin: Plugin, recorder: Recorder) -> Self {
        Self { plugin, recorder }
    }

    async fn time<T>(&self, function: &str, call: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = call.await;
        let labels = [("function", function)];
        self.recorder
            .took(names::PLUGIN_CALL_SECONDS, &labels, began.elapsed());
        answer
    }
}

impl Verdicts for Timed {
    fn evaluate(
        &self,
        probe: Probe,
        now: Arc<PeerSet>,
    ) -> BoxFuture<'_, Result<Verdict, CallError>> {
        Box::pin(async move {
            let call = self.plugin.evaluate(probe, &now);
            self.time("health.evaluate", call).await
        })
    }
}

impl Drains for Timed {
    fn drain(&self, context: DrainContext) -> BoxFuture<'_, Result<Step, CallError>> {
        Box::pin(async move {
            let call = self.plugin.drain(context);
            self.time("lifecycle.drain", call).await
        })
    }
}

impl Derives for Timed {
    fn derive(&self, now: Arc<PeerSet>, scraped: Batch) -> BoxFuture<'_, Result<Batch, CallError>> {
        Box::pin(async move {
            let call = self.plugin.derive(&now, &scraped);
            self.time("metrics.derive", call).await
        })
    }

    fn wants(&self) -> BoxFuture<'_, Result<Vec<String>, CallError>> {
        Box::pin(async move { self.plugin.wants().await })
    }

    fn info(&self) -> Option<PluginInfo> {
        Some(self.plugin.info())
    }
}
