//! What one call of a guest has: its plugin's setup, one snapshot of the replicas, its budget.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use outrigger_profile::PluginLimits;
use wasmtime::ResourceLimiter;

use crate::bindings::wit;
use crate::grants::EffectiveGrants;
use crate::host::PluginSetup;
use crate::imports::log::LogGate;
use crate::limits::{INSTANCES_MAX, REQUESTS_PER_CALL_MAX, TABLE_ENTRIES_MAX};
use crate::state_store::StateStore;
use crate::transport::{RelatedReader, SecretReader, Transport};
use crate::wasi::WasiState;

/// What all calls of one generation share.
pub(crate) struct Shared {
    pub(crate) name: String,
    /// Each value as JSON text.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) grants: EffectiveGrants,
    pub(crate) limits: PluginLimits,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) secrets: Arc<dyn SecretReader>,
    pub(crate) related: Arc<dyn RelatedReader>,
    pub(crate) volumes: BTreeMap<String, PathBuf>,
    pub(crate) state: Arc<StateStore>,
    pub(crate) log: LogGate,
}

impl Shared {
    pub(crate) fn new(setup: &PluginSetup, grants: EffectiveGrants) -> Self {
        let settings = setup.settings.iter();
        Self {
            name: setup.name.clone(),
            settings: settings
                .map(|(key, value)| (key.clone(), value.to_string()))
                .collect(),
            grants,
            limits: setup.limits,
            transport: Arc::clone(&setup.transport),
            secrets: Arc::clone(&setup.secrets),
            related: Arc::clone(&setup.related),
            volumes: setup.volumes.clone(),
            state: Arc::clone(&setup.state),
            log: LogGate::new(Arc::clone(&setup.dropped_lines)),
        }
    }
}

/// The data of one call's store.
pub(crate) struct CallState {
    pub(crate) shared: Arc<Shared>,
    /// None while nothing is known of the replicas: at loading.
    pub(crate) membership: Option<Arc<wit::Membership>>,
    /// What this call asked for of every related StatefulSet: it stays the same for it.
    pub(crate) related: BTreeMap<String, Option<wit::Membership>>,
    pub(crate) limiter: Limiter,
    pub(crate) requests_left: u32,
    pub(crate) wasi: WasiState,
}

impl CallState {
    pub(crate) fn new(shared: Arc<Shared>, membership: Option<Arc<wit::Membership>>) -> Self {
        let memory = shared.limits.memory.0;
        Self {
            shared,
            membership,
            related: BTreeMap::new(),
            limiter: Limiter {
                memory_max: usize::try_from(memory).unwrap_or(usize::MAX),
                memory: 0,
                refused: false,
            },
            requests_left: REQUESTS_PER_CALL_MAX,
            wasi: WasiState::default(),
        }
    }
}

/// A fault of the host that ends the guest's call.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HostFault(pub(crate) String);

/// Bounds memories (all of a call's together), tables and instances.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_max: usize,
    memory: usize,
    /// Whether a memory was refused to grow: the most likely cause of a trap that follows.
    pub(crate) refused: bool,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let after = self.memory.saturating_add(desired.saturating_sub(current));
        if after > self.memory_max || maximum.is_some_and(|most| desired > most) {
            self.refused = true;
            return Ok(false);
        }
        self.memory = after;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ENTRIES_MAX)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        INSTANCES_MAX
    }
}

/// Counts the CPU time of one call: what its thread spent while the call was polled. Unlike a count
/// of epochs it does not blame the guest for a busy machine.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    budget: Duration,
    /// Nanoseconds of the polls that have ended.
    spent: AtomicU64,
    /// The thread's CPU time when the present poll began, in nanoseconds.
    poll_began: AtomicU64,
}

impl CpuMeter {
    pub(crate) fn new(budget: Duration) -> Arc<Self> {
        Arc::new(Self {
            budget,
            spent: AtomicU64::new(0),
            poll_began: AtomicU64::new(thread_cpu_nanos()),
        })
    }

    /// Whether the budget is used up. Asked from within a poll.
    pub(crate) fn is_spent(&self) -> bool {
        let spent = self.spent.load(Ordering::Relaxed) + self.this_poll();
        Duration::from_nanos(spent) > self.budget
    }

    fn this_poll(&self) -> u64 {
        thread_cpu_nanos().saturating_sub(self.poll_began.load(Ordering::Relaxed))
    }
}

fn thread_cpu_nanos() -> u64 {
    // The clock exists on every Linux; without it there is no CPU deadline, and the wall deadline holds.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| {
        u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
    })
}

/// The call, metered by a [`CpuMeter`].
pub(crate) struct Metered<'a, F: ?Sized> {
    pub(crate) call: Pin<&'a mut F>,
    pub(crate) meter: Arc<CpuMeter>,
}

impl<F: Future + ?Sized> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.meter
            .poll_began
            .store(thread_cpu_nanos(), Ordering::Relaxed);
        let polled = self.call.as_mut().poll(context);
        let took = self.meter.this_poll();
        self.meter.spent.fetch_add(took, Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_costs_no_cpu_time_and_working_does() {
        let meter = CpuMeter::new(Duration::from_millis(20));
        let waiting = std::pin::pin!(std::future::pending::<()>());
        let mut waiting = Metered {
            call: waiting,
            meter: Arc::clone(&meter),
        };
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..10 {
            assert!(Pin::new(&mut waiting).poll(&mut context).is_pending());
        }
        assert!(!meter.is_spent());
        let mut work = 0_u64;
        while !meter.is_spent() {
            work = std::hint::black_box(work.wrapping_add(1));
        }
    }

    #[test]
    fn all_memories_of_a_call_share_one_bound() {
        let mut limiter = Limiter {
            memory_max: 100,
            memory: 0,
            refused: false,
        };
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 30, None).unwrap());
        assert!(!limiter.memory_growing(60, 80, None).unwrap());
        assert!(limiter.refused);
        assert!(limiter.memory_growing(30, 40, None).unwrap());
    }
}
