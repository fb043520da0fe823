//! A pod as processes: its folders, its sandbox, its containers in order, their probes, and its end.

mod container;
mod ending;
mod env_file;
mod pod;
mod projection;
mod status;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use outrigger_shutdown::Tasks;
use tokio::process::Command;
use tokio::sync::{Notify, mpsc, watch};

use crate::controller::Backoff;
use crate::entry::{self, ContainerSpec};
use crate::events::Events;
use crate::forward::hub::Control;
use crate::log_lines::Logs;
use crate::network::Network;
use crate::plan::{PodPlan, Projection};

pub use projection::{ProjectError, project};
pub use status::{ContainerState, ContainerStatus, PodStatus};

/// How a container's description becomes a command.
pub type Launch = fn(&ContainerSpec) -> Result<Command, String>;

/// Where the ports of a pod can be reached from this machine.
pub type Outside = Arc<dyn Fn(IpAddr, u16) -> SocketAddr + Send + Sync>;

/// What pods stand on.
#[derive(Clone)]
pub struct Ground {
    /// The bridge; none in plain mode.
    pub network: Option<Arc<Network>>,
    /// The front, which listens for the pods; none where their addresses can be reached directly.
    pub forward: Option<Arc<Control>>,
    /// Where a pod's port should be reached.
    pub outside: Outside,
    /// How containers are started.
    pub launch: Launch,
    /// What they write.
    pub logs: Logs,
    /// What happens.
    pub events: Events,
    /// Who runs.
    pub tasks: Tasks,
    /// How long they wait for a restart.
    pub backoff: Backoff,
}

impl std::fmt::Debug for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground").finish_non_exhaustive()
    }
}

/// [`entry::command`], the way in which containers are started outside of tests.
pub fn launch(spec: &ContainerSpec) -> Result<Command, String> {
    entry::command(spec).map_err(|error| error.to_string())
}

/// Why a pod ends: the sidecar's drain is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Fewer replicas are wanted.
    ScaleDown,
    /// Every replica is restarted.
    Roll,
    /// Somebody asked for it, or everything ends.
    Asked,
}

impl Why {
    /// The sidecar's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScaleDown => "scale-down",
            Self::Roll => "rolling-update",
            Self::Asked => "manual",
        }
    }
}

/// What a pod is told.
#[derive(Debug, Clone)]
pub enum PodOrder {
    /// Stop in order, then end.
    Terminate(Why),
    /// A signal to a container; none = the workload's.
    Signal {
        /// Which.
        container: Option<String>,
        /// What.
        signal: Signal,
    },
    /// Stop the workload's container and start it again, without back-off.
    Restart {
        /// Why.
        reason: String,
        /// What asks it to stop; SIGTERM unless said otherwise.
        signal: Option<Signal>,
    },
    /// Put other files into the volumes that come from objects.
    Project(Vec<Projection>),
}

/// A pod that runs.
#[derive(Debug)]
pub struct Pod {
    /// What it was made from.
    pub plan: Arc<PodPlan>,
    status: watch::Receiver<PodStatus>,
    orders: mpsc::Sender<PodOrder>,
    expected: Arc<AtomicBool>,
}

impl Pod {
    /// Starts a pod. `changed` is notified whenever its status changes.
    pub fn start(plan: PodPlan, ground: &Ground, changed: Arc<Notify>) -> Self {
        let plan = Arc::new(plan);
        let (sender, status) = watch::channel(PodStatus::new(&plan));
        let (orders, receiver) = mpsc::channel(32);
        let expected = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&expected);
        let state = status::Shared::new(sender, ground.events.clone(), changed, told);
        let running = pod::run(Arc::clone(&plan), ground.clone(), state, receiver);
        ground
            .tasks
            .spawn_short(format!("pod {}", plan.name), running);
        Self {
            plan,
            status,
            orders,
            expected,
        }
    }

    /// Says whether workloads may end in order now, because a replica has the turn to restart: such
    /// an end is no failure, and costs no back-off.
    pub fn expect_end(&self, expected: bool) {
        self.expected.store(expected, Ordering::Relaxed);
    }

    /// How it is.
    pub fn status(&self) -> PodStatus {
        self.status.borrow().clone()
    }

    /// Tells it something. False when it is too busy or has ended.
    pub fn order(&self, order: PodOrder) -> bool {
        self.orders.try_send(order).is_ok()
    }
}
