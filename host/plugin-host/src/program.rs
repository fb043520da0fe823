//! A component ready to be called: each call gets a fresh store and instance, a CPU budget, a wall
//! deadline, and is told apart by how it ended.

use std::sync::Arc;

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

use crate::bindings::wit;
use crate::call_state::{CallState, CpuMeter, HostFault, Metered, Shared};
use crate::compile::one_line;
use crate::engine::Ticker;
use crate::error::CallErrorKind;
use crate::exports::Exports;
use crate::limits::LIFT_BYTES_MAX;

/// A linked component.
pub(crate) struct Program {
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) pre: InstancePre<CallState>,
    pub(crate) exports: Exports,
}

/// The guest used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("the CPU time is used up")]
struct CpuSpent;

impl Program {
    /// Makes an instance and calls it. The store is dropped in every case: nothing of a guest that
    /// trapped or was interrupted is used again.
    ///
    /// # Cancel safety
    /// The guest's stack is unwound when the future is dropped, and its store goes with it.
    pub(crate) async fn call<R>(
        &self,
        shared: Arc<Shared>,
        now: Option<Arc<wit::Membership>>,
        ask: impl AsyncFnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallErrorKind> {
        let limits = shared.limits;
        let meter = CpuMeter::new(limits.cpu);
        let mut store = Store::new(&self.engine, CallState::new(shared, now));
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(LIFT_BYTES_MAX);
        store.set_epoch_deadline(1);
        let watched = Arc::clone(&meter);
        store.epoch_deadline_callback(move |_| {
            if watched.is_spent() {
                Err(CpuSpent.into())
            } else {
                // Others on this thread have their turn at each tick.
                Ok(UpdateDeadline::Yield(1))
            }
        });
        let _ticking = self.ticker.enter();
        let outcome = {
            let call = async {
                let instance = self.pre.instantiate_async(&mut store).await?;
                ask(&mut store, &instance).await
            };
            let call = std::pin::pin!(call);
            tokio::time::timeout(limits.wall, Metered { call, meter }).await
        };
        store.data_mut().finish_lines();
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(kind_of(&error, store.data())),
            Err(_) => Err(CallErrorKind::WallDeadline(limits.wall)),
        }
    }
}

fn kind_of(error: &wasmtime::Error, state: &CallState) -> CallErrorKind {
    let limits = state.shared.limits;
    if error.downcast_ref::<CpuSpent>().is_some() {
        return CallErrorKind::CpuDeadline(limits.cpu);
    }
    if let Some(fault) = error.downcast_ref::<HostFault>() {
        return CallErrorKind::Internal(fault.to_string());
    }
    if state.limiter.refused {
        return CallErrorKind::MemoryLimit(limits.memory.0);
    }
    CallErrorKind::Trap(match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => one_line(&format!("{error:#}")),
    })
}
