//! A plugin in use: the present generation, what its calls came to, and the change from one
//! generation to the next.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use outrigger_peers::PeerSet;
use serde::Serialize;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::bindings::{to_guest, wit};
use crate::error::{CallError, CallErrorKind, SwapError};
use crate::generation::{CodeOrigin, Generation};
use crate::quarantine::Quarantine;
use crate::types::{
    Artifact, Batch, Diagnostic, DrainContext, Interface, Plan, Probe, Step, Verdict,
};

/// A plugin in use. Cheap to clone.
///
/// # Guarantees
/// - A call that is in flight while the generation changes ends on the generation on which it began.
/// - Each function has its own quarantine: one that keeps failing does not silence the others.
///
/// # Cancel safety
/// Every call may be dropped: its guest is interrupted, its store discarded, and nothing is counted.
#[derive(Debug, Clone)]
pub struct Plugin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    current: ArcSwap<Generation>,
    calls: Mutex<Calls>,
    /// The newest snapshot that a call was given: what calls without one of their own see.
    last_seen: ArcSwapOption<wit::Membership>,
    /// Held while a generation takes over, so that two changes come one after the other.
    swapping: tokio::sync::Mutex<Previous>,
}

/// The generation before the present one, and how many there were.
#[derive(Debug)]
struct Previous {
    generation: Option<Arc<Generation>>,
    count: u32,
}

#[derive(Debug, Default)]
struct Calls {
    functions: BTreeMap<&'static str, Function>,
    failures: BTreeMap<&'static str, u64>,
    last_error: Option<LastError>,
}

#[derive(Debug, Default, Clone)]
struct Function {
    calls: u64,
    quarantine: Quarantine,
}

/// What is known of a plugin in use.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginInfo {
    /// Its name in the profile.
    pub name: String,
    /// The name that it gives itself.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// One line about it.
    pub summary: String,
    /// The component's SHA-256 in hexadecimal.
    pub digest: String,
    /// Counts the generations of this plugin from 1.
    pub generation: u32,
    /// Where its compiled code came from.
    pub origin: CodeOrigin,
    /// The optional interfaces that it exports.
    pub exports: Vec<Interface>,
    /// What it asks for and the profile does not grant.
    pub not_granted: Vec<String>,
    /// Calls since the start, over all generations.
    pub calls: u64,
    /// Calls without an answer, by [`CallErrorKind::as_str`].
    pub failures: BTreeMap<&'static str, u64>,
    /// By function.
    pub functions: BTreeMap<&'static str, FunctionInfo>,
    /// For how many milliseconds the function that is left alone for longest still is; none = none is.
    pub quarantined_ms: Option<u64>,
    /// The newest call without an answer.
    pub last_error: Option<LastError>,
    /// Log lines that were dropped because there were too many, over all generations.
    pub log_lines_dropped: u64,
}

/// What is known of one function of a plugin.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FunctionInfo {
    /// Calls since the start.
    pub calls: u64,
    /// Faults since the last answer.
    pub faults: u32,
    /// For how many milliseconds it is still left alone.
    pub quarantined_ms: Option<u64>,
}

/// A call without an answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastError {
    /// What happened.
    #[serde(flatten)]
    pub error: CallError,
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Plugin {
    /// A plugin whose first generation is this one.
    pub fn new(mut first: Generation) -> Self {
        first.number = 1;
        Self(Arc::new(Inner {
            name: first.shared.name.clone(),
            current: ArcSwap::from_pointee(first),
            calls: Mutex::default(),
            last_seen: ArcSwapOption::empty(),
            swapping: tokio::sync::Mutex::new(Previous {
                generation: None,
                count: 1,
            }),
        }))
    }

    /// Its name in the profile.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The present generation.
    pub fn current(&self) -> Arc<Generation> {
        self.0.current.load_full()
    }

    /// Whether the present generation exports this interface.
    pub fn exports(&self, interface: Interface) -> bool {
        self.0.current.load().interfaces.contains(&interface)
    }

    /// What is known of it now.
    pub fn info(&self) -> PluginInfo {
        let generation = self.current();
        let now = Instant::now();
        let calls = self.0.calls();
        let functions = calls.functions.iter();
        let functions: BTreeMap<&'static str, FunctionInfo> = functions
            .map(|(name, function)| {
                let info = FunctionInfo {
                    calls: function.calls,
                    faults: function.quarantine.faults(),
                    quarantined_ms: function.quarantine.remaining(now).map(millis),
                };
                (*name, info)
            })
            .collect();
        PluginInfo {
            name: self.0.name.clone(),
            plugin: generation.plugin_name().to_owned(),
            version: generation.version().to_owned(),
            summary: generation.summary().to_owned(),
            digest: generation.digest(),
            generation: generation.number,
            origin: generation.origin.clone(),
            exports: generation.interfaces.iter().copied().collect(),
            not_granted: generation.not_granted(),
            calls: functions.values().map(|function| function.calls).sum(),
            failures: calls.failures.clone(),
            quarantined_ms: functions
                .values()
                .filter_map(|function| function.quarantined_ms)
                .max(),
            functions,
            last_error: calls.last_error.clone(),
            log_lines_dropped: generation.shared.log.dropped(),
        }
    }

    /// `discovery.resolve`: what the configuration should say about the replicas.
    pub async fn resolve(&self, now: &PeerSet) -> Result<Plan, CallError> {
        let (generation, now) = (self.current(), self.0.see(now));
        self.0
            .call("discovery.resolve", generation.resolve(now))
            .await
    }

    /// `templating.render`: the files with these paths, in the order in which the plugin gives them.
    pub async fn render(
        &self,
        now: &PeerSet,
        wanted: &[String],
    ) -> Result<Vec<Artifact>, CallError> {
        let (generation, now) = (self.current(), self.0.see(now));
        self.0
            .call("templating.render", generation.render(now, wanted.to_vec()))
            .await
    }

    /// `templating.validate`: what is wrong with the whole set, errors first.
    pub async fn validate(
        &self,
        now: &PeerSet,
        items: &[Artifact],
    ) -> Result<Vec<Diagnostic>, CallError> {
        let (generation, now) = (self.current(), self.0.see(now));
        self.0
            .call("templating.validate", generation.validate(now, items))
            .await
    }

    /// `health.evaluate`: how the workload is.
    pub async fn evaluate(&self, probe: Probe, now: &PeerSet) -> Result<Verdict, CallError> {
        let (generation, now) = (self.current(), self.0.see(now));
        let function = match probe {
            Probe::Startup => "health.evaluate(startup)",
            Probe::Readiness => "health.evaluate(readiness)",
            Probe::Liveness => "health.evaluate(liveness)",
        };
        self.0.call(function, generation.evaluate(probe, now)).await
    }

    /// `metrics.derive`: the series of this moment.
    pub async fn derive(&self, now: &PeerSet, scraped: &Batch) -> Result<Batch, CallError> {
        let (generation, now) = (self.current(), self.0.see(now));
        self.0
            .call("metrics.derive", generation.derive(now, scraped))
            .await
    }

    /// `metrics.wants`: the names of the workload's families that `derive` needs.
    pub async fn wants(&self) -> Result<Vec<String>, CallError> {
        let generation = self.current();
        let now = self.0.last_seen.load_full();
        self.0.call("metrics.wants", generation.wants(now)).await
    }

    /// `lifecycle.drain`: one step.
    pub async fn drain(&self, context: DrainContext) -> Result<Step, CallError> {
        let (generation, now) = (self.current(), self.0.see(&context.now));
        self.0
            .call("lifecycle.drain", generation.drain(now, &context))
            .await
    }

    /// Lets a new generation take over: the old one hands over what it has to say (where both export
    /// `handover`), the new one gives a first verdict about readiness (where it exports `health` and
    /// the replicas are known), and then it is the present one. The old one is kept for
    /// [`Plugin::roll_back`] until [`Plugin::settle`]; one that is kept already stays the one to return
    /// to. Where it fails, nothing has changed.
    ///
    /// A verdict that is not `pass`, or a failure that the plugin answers, is an answer and refuses
    /// nothing: the workload may really be ill.
    ///
    /// # Cancel safety
    /// When the future is dropped the old generation stays; what the new one stored stays stored.
    pub async fn swap(&self, mut next: Generation) -> Result<(), SwapError> {
        let mut previous = self.0.swapping.lock().await;
        let old = self.current();
        if old.plugin_name() != next.plugin_name() {
            return Err(SwapError::OtherPlugin {
                old: old.plugin_name().to_owned(),
                new: next.plugin_name().to_owned(),
            });
        }
        if let Some(lacking) = old.interfaces.difference(&next.interfaces).next() {
            return Err(SwapError::Lacks(*lacking));
        }
        let now = self.0.last_seen.load_full();
        let fail = |function, kind| CallError {
            plugin: self.0.name.clone(),
            function,
            kind,
        };
        let hands_over =
            |generation: &Generation| generation.interfaces.contains(&Interface::Handover);
        if hands_over(&old) && hands_over(&next) {
            let data = old.save(now.clone()).await;
            let data = data.map_err(|kind| SwapError::Save(fail("handover.save", kind)))?;
            next.restore(now.clone(), old.version().to_owned(), data)
                .await
                .map_err(|kind| SwapError::Restore(fail("handover.restore", kind)))?;
        }
        if let Some(now) = now
            && next.interfaces.contains(&Interface::Health)
        {
            match next.evaluate(Probe::Readiness, now).await {
                Ok(_) | Err(CallErrorKind::Failure(_)) => {}
                Err(kind) => {
                    let error = fail("health.evaluate(readiness)", kind);
                    return Err(SwapError::Trial(error));
                }
            }
        }
        previous.count += 1;
        next.number = previous.count;
        tracing::debug!(
            plugin.name = self.0.name,
            plugin.version = next.version(),
            plugin.digest = next.digest(),
            generation = next.number,
            "Plugin swapped"
        );
        self.0.current.store(Arc::new(next));
        previous.generation.get_or_insert(old);
        self.0.forget_faults();
        Ok(())
    }

    /// The present generation has proved itself: the one before it is let go.
    pub async fn settle(&self) {
        self.0.swapping.lock().await.generation = None;
    }

    /// Lets the last generation that was settled return. False where there is none, or while another swap
    /// is under way.
    pub fn roll_back(&self) -> bool {
        let Ok(mut previous) = self.0.swapping.try_lock() else {
            return false;
        };
        let Some(old) = previous.generation.take() else {
            return false;
        };
        tracing::warn!(
            plugin.name = self.0.name,
            plugin.version = old.version(),
            plugin.digest = old.digest(),
            generation = old.number,
            "Plugin rolled back"
        );
        self.0.current.store(old);
        self.0.forget_faults();
        true
    }
}

impl Inner {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Only counters: they are good after a panic too.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, now: &PeerSet) -> Arc<wit::Membership> {
        let membership = Arc::new(to_guest::membership(now, SystemTime::now()));
        self.last_seen.store(Some(Arc::clone(&membership)));
        membership
    }

    /// A new generation begins without the faults of the one before.
    fn forget_faults(&self) {
        for function in self.calls().functions.values_mut() {
            function.quarantine = Quarantine::default();
        }
    }

    /// Makes one call unless the function is quarantined, and counts what it came to.
    async fn call<T>(
        &self,
        function: &'static str,
        call: impl Future<Output = Result<T, CallErrorKind>>,
    ) -> Result<T, CallError> {
        let admitted = {
            let mut calls = self.calls();
            let entry = calls.functions.entry(function).or_default();
            entry.quarantine.admit(Instant::now())
        };
        let outcome = match admitted {
            Ok(()) => {
                let span = tracing::info_span!("plugin-call", plugin.name = self.name, function);
                call.instrument(span).await
            }
            Err(left) => Err(CallErrorKind::Quarantined { ms: millis(left) }),
        };
        self.count(function, outcome)
    }

    fn count<T>(
        &self,
        function: &'static str,
        outcome: Result<T, CallErrorKind>,
    ) -> Result<T, CallError> {
        let mut calls = self.calls();
        let entry = calls.functions.entry(function).or_default();
        let was_made = !matches!(
            outcome,
            Err(CallErrorKind::Quarantined { .. }
                | CallErrorKind::NotExported
                | CallErrorKind::Overloaded)
        );
        entry.calls += u64::from(was_made);
        let kind = match outcome {
            Ok(answer) => {
                entry.quarantine.answered();
                return Ok(answer);
            }
            Err(kind) => kind,
        };
        if matches!(kind, CallErrorKind::Failure(_)) {
            entry.quarantine.answered();
        } else if kind.is_fault() {
            let left_alone = entry.quarantine.failed(Instant::now());
            tracing::warn!(plugin.name = self.name, function, error = %kind, "Plugin call failed");
            if let Some(span) = left_alone {
                tracing::warn!(
                    plugin.name = self.name,
                    function,
                    quarantine_ms = millis(span),
                    "Plugin function is left alone, it failed too often"
                );
            }
        }
        *calls.failures.entry(kind.as_str()).or_default() += 1;
        let error = CallError {
            plugin: self.name.clone(),
            function,
            kind,
        };
        if was_made {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
            calls.last_error = Some(LastError {
                error: error.clone(),
                unix_ms: since_epoch.map_or(0, millis),
            });
        }
        Err(error)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
