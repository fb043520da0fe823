//! How a pod and its containers are.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outrigger_peers::Phase;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::events::{Event, Events, ReachablePort};
use crate::plan::{PodPlan, Role};

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum ContainerState {
    /// It has not started yet, or waits for its restart.
    Waiting {
        /// Why.
        reason: String,
    },
    /// It runs.
    Running,
    /// It ended and is not started again.
    Ended {
        /// Its exit code; 128 and more = a signal.
        code: i32,
    },
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: ContainerState,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether its startup probe has passed since its last start.
    pub started: bool,
    /// Whether its readiness probe passes.
    pub ready: bool,
    /// Whether it counts for the pod's readiness.
    pub counts: bool,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, as conditions of a pod are"
)]
pub struct PodStatus {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ordinal: u32,
    /// New with each pod.
    pub uid: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Whether it has its address.
    pub linked: bool,
    /// Since when it has been ready without a break.
    pub ready_since: Option<Instant>,
    /// Whether it has been ready.
    pub was_ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether all its processes have ended.
    pub gone: bool,
    /// The role that its sidecar published.
    pub role: Option<String>,
    /// Why it is not ready.
    pub reasons: Vec<String>,
    /// Where it can be reached from this machine.
    pub reachable: Vec<ReachablePort>,
    /// Its containers in the order of their start.
    pub containers: Vec<ContainerStatus>,
}

impl PodStatus {
    pub(crate) fn new(plan: &PodPlan) -> Self {
        Self {
            name: plan.name.clone(),
            ordinal: plan.ordinal,
            uid: plan.uid.clone(),
            ip: plan.ip,
            linked: false,
            ready_since: None,
            was_ready: false,
            terminating: false,
            gone: false,
            role: None,
            reasons: Vec::new(),
            reachable: Vec::new(),
            containers: plan
                .containers
                .iter()
                .map(|container| ContainerStatus {
                    name: container.name.clone(),
                    state: ContainerState::Waiting {
                        reason: "those before it come first".to_owned(),
                    },
                    restarts: 0,
                    started: false,
                    ready: false,
                    counts: container.role != Role::Init,
                })
                .collect(),
        }
    }

    /// Whether it is ready.
    pub fn ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// How others see it.
    pub fn phase(&self) -> Phase {
        if self.gone {
            Phase::Gone
        } else if self.terminating {
            Phase::Terminating
        } else if self.ready() {
            Phase::Ready
        } else if self.was_ready {
            Phase::NotReady
        } else if self.linked {
            Phase::Starting
        } else {
            Phase::Pending
        }
    }

    fn settle(&mut self) {
        let all = self
            .containers
            .iter()
            .filter(|c| c.counts)
            .all(|container| {
                container.state == ContainerState::Running && container.started && container.ready
            });
        if all && !self.terminating {
            self.ready_since.get_or_insert_with(Instant::now);
            self.was_ready = true;
        } else {
            self.ready_since = None;
        }
    }
}

/// The status that a pod's parts write.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    status: Arc<watch::Sender<PodStatus>>,
    events: Events,
    changed: Arc<Notify>,
    expected: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn new(
        status: watch::Sender<PodStatus>,
        events: Events,
        changed: Arc<Notify>,
        expected: Arc<AtomicBool>,
    ) -> Self {
        Self {
            status: Arc::new(status),
            events,
            changed,
            expected,
        }
    }

    /// Whether workloads may end in order now, to start again with another configuration.
    pub(super) fn end_is_expected(&self) -> bool {
        self.expected.load(Ordering::Relaxed)
    }

    /// Changes the status and tells what follows from it.
    pub(super) fn change(&self, how: impl FnOnce(&mut PodStatus)) {
        let mut told = None;
        let different = self.status.send_if_modified(|status| {
            let before = status.clone();
            how(status);
            status.settle();
            let face = |status: &PodStatus| {
                let told = !status.ready() && !status.terminating;
                let reasons = if told {
                    status.reasons.clone()
                } else {
                    Vec::new()
                };
                (status.phase(), status.role.clone(), reasons)
            };
            if face(&before) != face(status) {
                let (phase, role, reasons) = face(status);
                told = Some(Event::Pod {
                    pod: status.name.clone(),
                    phase,
                    role,
                    reasons,
                });
            }
            *status != before
        });
        if let Some(event) = told {
            self.events.tell(event);
        }
        if different {
            self.changed.notify_one();
        }
    }

    /// Changes one container's status.
    pub(super) fn change_container(&self, index: usize, how: impl FnOnce(&mut ContainerStatus)) {
        self.change(|status| {
            if let Some(container) = status.containers.get_mut(index) {
                how(container);
            }
        });
    }

    /// Tells what happened to a container.
    pub(super) fn tell(&self, container: &str, message: impl Into<String>) {
        let pod = self.status.borrow().name.clone();
        self.events.tell(Event::Container {
            pod,
            container: container.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// Waits until a container has started, or will not.
    pub(super) async fn started(&self, index: usize) {
        let mut receiver = self.status.subscribe();
        // The sender lives as long as self.
        let _ignored = receiver
            .wait_for(|status| status.containers.get(index).is_none_or(|c| c.started))
            .await;
    }
}
