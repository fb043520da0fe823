//! One loaded version of a plugin. Never changes; a new version is a new generation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::bindings::{from_guest, to_guest, wit};
use crate::call_state::{CallState, Shared};
use crate::engine::hex;
use crate::error::CallErrorKind;
use crate::limits::HANDOVER_BYTES_MAX;
use crate::plugin_thread::{JobError, PluginThread};
use crate::program::Program;
use crate::settings_schema::SettingsSchema;
use crate::types::{
    Artifact, Batch, Diagnostic, DrainContext, Interface, Plan, Probe, Step, Verdict,
};

/// Where a generation's compiled code came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeOrigin {
    /// It ships with this program.
    Builtin,
    /// It was compiled before and kept.
    Cache,
    /// It was compiled just now.
    Compiled {
        /// Why what was kept could not be used, where there was something.
        #[serde(rename = "cache-refused")]
        cache_refused: Option<String>,
    },
}

/// One loaded version of a plugin.
pub struct Generation {
    pub(crate) number: u32,
    pub(crate) description: from_guest::Description,
    pub(crate) schema: SettingsSchema,
    pub(crate) digest: [u8; 32],
    pub(crate) origin: CodeOrigin,
    pub(crate) interfaces: BTreeSet<Interface>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) program: Arc<Program>,
    pub(crate) thread: PluginThread,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("plugin", &self.description.name)
            .field("version", &self.description.version)
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}

impl Generation {
    /// Counts the generations of one plugin from 1; 0 until it has taken over.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The plugin's own name, as it describes itself.
    pub fn plugin_name(&self) -> &str {
        &self.description.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.description.version
    }

    /// One line about it.
    pub fn summary(&self) -> &str {
        &self.description.summary
    }

    /// What else it says of itself.
    pub fn attrs(&self) -> &BTreeMap<String, String> {
        &self.description.attrs
    }

    /// The JSON schema of its settings.
    pub fn settings_schema(&self) -> &serde_json::Value {
        self.schema.as_json()
    }

    /// The component's SHA-256 in hexadecimal.
    pub fn digest(&self) -> String {
        hex(&self.digest)
    }

    /// Where its compiled code came from.
    pub fn origin(&self) -> &CodeOrigin {
        &self.origin
    }

    /// The optional interfaces that it exports.
    pub fn interfaces(&self) -> &BTreeSet<Interface> {
        &self.interfaces
    }

    /// What it asks for and the profile does not grant, such as `endpoint api`. Its requests there
    /// are denied.
    pub fn not_granted(&self) -> Vec<String> {
        self.shared.grants.not_granted()
    }

    async fn call<R: Send + 'static>(
        &self,
        now: Option<Arc<wit::Membership>>,
        ask: impl AsyncFnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<R> + Send + 'static,
    ) -> Result<R, CallErrorKind> {
        run(&self.thread, &self.program, &self.shared, now, ask).await
    }

    pub(crate) async fn resolve(&self, now: Arc<wit::Membership>) -> Result<Plan, CallErrorKind> {
        let found = self.program.exports.discovery.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let argument = wit::Membership::clone(&now);
        let answer = self.call(Some(now), async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_resolve(store, &argument).await
        });
        from_guest::plan(answer.await?.map_err(failed)?).map_err(CallErrorKind::BadAnswer)
    }

    pub(crate) async fn render(
        &self,
        now: Arc<wit::Membership>,
        wanted: Vec<String>,
    ) -> Result<Vec<Artifact>, CallErrorKind> {
        let found = self.program.exports.templating.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let argument = wit::Membership::clone(&now);
        let paths = wanted.clone();
        let answer = self.call(Some(now), async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_render(store, &argument, &paths).await
        });
        let artifacts = answer.await?.map_err(failed)?;
        from_guest::artifacts(artifacts, &wanted).map_err(CallErrorKind::BadAnswer)
    }

    pub(crate) async fn validate(
        &self,
        now: Arc<wit::Membership>,
        items: &[Artifact],
    ) -> Result<Vec<Diagnostic>, CallErrorKind> {
        let found = self.program.exports.templating.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let argument = wit::Membership::clone(&now);
        let items = to_guest::artifacts(items);
        let answer = self.call(Some(now), async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_validate(store, &argument, &items).await
        });
        Ok(from_guest::diagnostics(answer.await?.map_err(failed)?))
    }

    pub(crate) async fn evaluate(
        &self,
        probe: Probe,
        now: Arc<wit::Membership>,
    ) -> Result<Verdict, CallErrorKind> {
        let found = self.program.exports.health.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let argument = wit::Membership::clone(&now);
        let probe = to_guest::probe(probe);
        let answer = self.call(Some(now), async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_evaluate(store, probe, &argument).await
        });
        from_guest::verdict(answer.await?.map_err(failed)?).map_err(CallErrorKind::BadAnswer)
    }

    pub(crate) async fn derive(
        &self,
        now: Arc<wit::Membership>,
        scraped: &Batch,
    ) -> Result<Batch, CallErrorKind> {
        let found = self.program.exports.metrics.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let argument = wit::Membership::clone(&now);
        let scraped = to_guest::batch(scraped);
        let answer = self.call(Some(now), async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_derive(store, &argument, &scraped).await
        });
        from_guest::batch(answer.await?.map_err(failed)?).map_err(CallErrorKind::BadAnswer)
    }

    pub(crate) async fn wants(
        &self,
        now: Option<Arc<wit::Membership>>,
    ) -> Result<Vec<String>, CallErrorKind> {
        let found = self.program.exports.metrics.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let answer = self.call(now, async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_wants(store).await
        });
        from_guest::wants(answer.await?).map_err(CallErrorKind::BadAnswer)
    }

    pub(crate) async fn drain(
        &self,
        now: Arc<wit::Membership>,
        context: &DrainContext,
    ) -> Result<Step, CallErrorKind> {
        let found = self.program.exports.lifecycle.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let argument = to_guest::drain_context(context, wit::Membership::clone(&now));
        let answer = self.call(Some(now), async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_drain(store, &argument).await
        });
        Ok(from_guest::step(answer.await?))
    }

    pub(crate) async fn save(
        &self,
        now: Option<Arc<wit::Membership>>,
    ) -> Result<Vec<u8>, CallErrorKind> {
        let found = self.program.exports.handover.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let answer = self.call(now, async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_save(store).await
        });
        let data = answer.await?;
        if data.len() > HANDOVER_BYTES_MAX {
            return Err(CallErrorKind::BadAnswer(format!(
                "{} bytes to hand over, the most is {HANDOVER_BYTES_MAX}",
                data.len()
            )));
        }
        Ok(data)
    }

    pub(crate) async fn restore(
        &self,
        now: Option<Arc<wit::Membership>>,
        from_version: String,
        data: Vec<u8>,
    ) -> Result<(), CallErrorKind> {
        let found = self.program.exports.handover.clone();
        let found = found.ok_or(CallErrorKind::NotExported)?;
        let answer = self.call(now, async move |store, instance| {
            let guest = found.load(&mut *store, instance)?;
            guest.call_restore(store, &from_version, &data).await
        });
        answer.await?.map_err(failed)
    }
}

/// Runs one call on the plugin thread.
pub(crate) async fn run<R: Send + 'static>(
    thread: &PluginThread,
    program: &Arc<Program>,
    shared: &Arc<Shared>,
    now: Option<Arc<wit::Membership>>,
    ask: impl AsyncFnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<R> + Send + 'static,
) -> Result<R, CallErrorKind> {
    let program = Arc::clone(program);
    let shared = Arc::clone(shared);
    let job = move || async move { program.call(shared, now, ask).await };
    thread.run(job).await.unwrap_or_else(|error| {
        Err(match error {
            JobError::Overloaded => CallErrorKind::Overloaded,
            JobError::Panicked(message) => CallErrorKind::Internal(message),
        })
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it stands in `map_err`, which hands over the value"
)]
fn failed(theirs: wit::Failure) -> CallErrorKind {
    CallErrorKind::Failure(from_guest::failure(&theirs))
}
