//! The shell around the controller's decisions: looks at the pods, acts, and tells.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use outrigger_peers::{Ordinal, Phase, Replica};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::cluster_file::{self, ClusterFile};
use super::reconcile::{Action, Observed, PodSeen, Policy, Roll, State, reconcile};
use super::turns::Turns;
use crate::events::Event;
use crate::plan::{PlanError, PodPlan};
use crate::supervise::{Ground, Pod, PodOrder, PodStatus, Why};

/// How often it looks even when nothing has changed: turns and readiness spans run out by time.
const LOOK: Duration = Duration::from_secs(1);
/// Before a pod that could not be planned is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// More replicas than this are a slip: each is several processes.
pub(crate) const REPLICAS_MAX: u32 = 100;

/// Makes the plan of a pod: ordinal, uid, how many replicas there should be.
pub type Make = Box<dyn Fn(u32, &str, u32) -> Result<PodPlan, PlanError> + Send>;
/// The name by which others reach a replica.
pub type HostOf = Box<dyn Fn(u32) -> String + Send>;

/// What a controller works with.
pub struct ControllerConfig {
    /// The StatefulSet's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The first ordinal.
    pub start: u32,
    /// How many.
    pub replicas: u32,
    /// In which order.
    pub policy: Policy,
    /// How long a pod is ready before it counts as available.
    pub min_ready: Duration,
    /// Where `cluster.json` is written.
    pub local: PathBuf,
    /// Makes the plan of a pod.
    pub make: Make,
    /// The name by which others reach a replica.
    pub host_of: HostOf,
    /// What pods stand on.
    pub ground: Ground,
}

impl std::fmt::Debug for ControllerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControllerConfig")
            .field("name", &self.name)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// What a controller is asked to do. Each is answered once it is under way, not once it is done.
#[derive(Debug)]
pub enum Order {
    /// Another number of replicas.
    Scale(u32),
    /// Restart every replica.
    Roll,
    /// Delete a pod; another one takes its place.
    Delete(u32),
    /// A signal to a pod's workload.
    Signal(u32, Signal),
    /// Stop and start a pod's workload.
    Restart {
        /// Which pod.
        ordinal: u32,
        /// Why.
        reason: String,
        /// What asks it to stop.
        signal: Option<Signal>,
    },
    /// A pod wants to restart its workload when nobody else does.
    AskTurn(u32, String),
    /// It has done so.
    GiveTurnBack(u32),
    /// The objects have changed: put new files into the volumes.
    Project,
    /// End everything.
    Down,
}

/// An order that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such pod.
    #[error("there is no pod with the ordinal {0}")]
    NoPod(u32),
    /// It does not listen.
    #[error("the pod with the ordinal {0} is ending")]
    Busy(u32),
    /// A roll is under way.
    #[error("the replicas are being restarted already")]
    Rolling,
    /// Too many.
    #[error("one machine runs at most {REPLICAS_MAX} replicas")]
    TooMany,
    /// The controller has ended.
    #[error("everything is being stopped")]
    Ending,
}

/// Whether a pod has the turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnAnswer {
    /// Whether it is granted.
    pub granted: bool,
    /// Who has it instead.
    pub holder: Option<u32>,
}

/// How a StatefulSet is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetSnapshot {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The first ordinal.
    pub start: u32,
    /// How many there should be.
    pub desired: u32,
    /// Whether every replica is being restarted.
    pub rolling: bool,
    /// Who has the turn to restart its workload.
    pub turn: Option<u32>,
    /// Whether all that should be there are ready, and no others are.
    pub settled: bool,
    /// Whether everything has ended.
    pub ended: bool,
    /// The pods that exist, with their labels.
    pub pods: Vec<(PodStatus, Arc<BTreeMap<String, String>>)>,
}

type Asked = (Order, oneshot::Sender<Result<(), OrderError>>);

/// The handle of a controller that runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Controller {
    orders: mpsc::Sender<Asked>,
    snapshot: watch::Receiver<SetSnapshot>,
}

impl Controller {
    /// Starts it.
    pub fn start(config: ControllerConfig) -> Self {
        let (orders, receiver) = mpsc::channel(64);
        let (sender, snapshot) = watch::channel(SetSnapshot {
            name: config.name.clone(),
            namespace: config.namespace.clone(),
            start: config.start,
            desired: config.replicas,
            ..SetSnapshot::default()
        });
        let tasks = config.ground.tasks.clone();
        let name = format!("controller {}", config.name);
        tasks.spawn_short(name, Shell::new(config, sender).run(receiver));
        Self { orders, snapshot }
    }

    /// Asks for something.
    pub async fn order(&self, order: Order) -> Result<(), OrderError> {
        let (reply, answer) = oneshot::channel();
        self.orders
            .send((order, reply))
            .await
            .map_err(|_| OrderError::Ending)?;
        answer.await.map_err(|_| OrderError::Ending)?
    }

    /// How the StatefulSet is.
    pub fn snapshot(&self) -> SetSnapshot {
        self.snapshot.borrow().clone()
    }

    /// Its changes.
    pub fn watch(&self) -> watch::Receiver<SetSnapshot> {
        self.snapshot.clone()
    }

    /// Asks for the turn and waits for it, for no longer than `limit`.
    pub async fn turn(
        &self,
        ordinal: u32,
        reason: &str,
        limit: Duration,
    ) -> Result<TurnAnswer, OrderError> {
        self.order(Order::AskTurn(ordinal, reason.to_owned()))
            .await?;
        let mut receiver = self.snapshot.clone();
        let granted = tokio::time::timeout(
            limit,
            receiver.wait_for(|snapshot| snapshot.turn == Some(ordinal)),
        )
        .await
        .is_ok_and(|waited| waited.is_ok());
        let holder = self.snapshot.borrow().turn;
        Ok(TurnAnswer { granted, holder })
    }
}

struct Shell {
    config: ControllerConfig,
    state: State,
    turns: Turns,
    pods: BTreeMap<u32, Pod>,
    changed: Arc<Notify>,
    snapshot: watch::Sender<SetSnapshot>,
    written: Option<ClusterFile>,
    retry_at: BTreeMap<u32, Instant>,
}

impl Shell {
    fn new(config: ControllerConfig, snapshot: watch::Sender<SetSnapshot>) -> Self {
        Self {
            state: State {
                start: config.start,
                replicas: config.replicas,
                policy: config.policy,
                ..State::default()
            },
            config,
            turns: Turns::default(),
            pods: BTreeMap::new(),
            changed: Arc::new(Notify::new()),
            snapshot,
            written: None,
            retry_at: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Asked>) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                _ = look.tick() => {}
                order = orders.recv() => match order {
                    Some((order, reply)) => {
                        let answer = self.obey(order);
                        // Whoever asked may have gone.
                        let _ignored = reply.send(answer);
                    }
                    None => self.state.down = true,
                },
            }
            self.advance();
            if self.state.down && self.pods.is_empty() {
                self.snapshot.send_modify(|snapshot| snapshot.ended = true);
                return;
            }
        }
    }

    fn obey(&mut self, order: Order) -> Result<(), OrderError> {
        match order {
            Order::Scale(replicas) if replicas > REPLICAS_MAX => return Err(OrderError::TooMany),
            Order::Scale(replicas) => self.state.replicas = replicas,
            Order::Roll if self.state.roll.is_some() => return Err(OrderError::Rolling),
            Order::Roll => {
                let pending = self
                    .pods
                    .iter()
                    .map(|(ordinal, pod)| (*ordinal, pod.plan.uid.clone()))
                    .collect();
                self.state.roll = Some(Roll { pending });
            }
            Order::Delete(ordinal) => self.tell(ordinal, PodOrder::Terminate(Why::Asked))?,
            Order::Signal(ordinal, signal) => {
                let container = None;
                self.tell(ordinal, PodOrder::Signal { container, signal })?;
            }
            Order::Restart {
                ordinal,
                reason,
                signal,
            } => self.tell(ordinal, PodOrder::Restart { reason, signal })?,
            Order::AskTurn(ordinal, reason) => {
                if !self.pods.contains_key(&ordinal) {
                    return Err(OrderError::NoPod(ordinal));
                }
                self.turns.ask(ordinal, &reason, Instant::now());
            }
            Order::GiveTurnBack(ordinal) => self.turns.give_back(ordinal),
            Order::Project => self.project(),
            Order::Down => self.state.down = true,
        }
        Ok(())
    }

    fn tell(&self, ordinal: u32, order: PodOrder) -> Result<(), OrderError> {
        let pod = self.pods.get(&ordinal).ok_or(OrderError::NoPod(ordinal))?;
        if pod.order(order) {
            Ok(())
        } else {
            Err(OrderError::Busy(ordinal))
        }
    }

    /// New files for the volumes of the pods that run.
    fn project(&self) {
        for (ordinal, pod) in &self.pods {
            match (self.config.make)(*ordinal, &pod.plan.uid, self.state.replicas) {
                Ok(plan) => {
                    pod.order(PodOrder::Project(plan.projections));
                }
                Err(error) => self.config.ground.events.notice(error.to_string()),
            }
        }
    }

    fn advance(&mut self) {
        self.pods.retain(|_, pod| !pod.status().gone);
        // What is done is seen at once, so that a second look decides upon it.
        for _ in 0..3 {
            let seen = self.seen();
            let now = Instant::now();
            if let Some(told) = self.turns.advance(self.state.wanted(), &seen, now) {
                self.config.ground.events.notice(told);
            }
            self.state.turn_taken = self.turns.holder().is_some();
            for pod in self.pods.values() {
                pod.expect_end(self.state.turn_taken);
            }
            let actions = reconcile(&self.state, &seen);
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.act(&action);
            }
        }
        self.publish();
    }

    fn seen(&self) -> Observed {
        self.pods
            .iter()
            .map(|(ordinal, pod)| {
                let status = pod.status();
                let available = status
                    .ready_since
                    .is_some_and(|since| since.elapsed() >= self.config.min_ready);
                let seen = PodSeen {
                    uid: status.uid.clone(),
                    ready: status.ready(),
                    available,
                    was_ready: status.was_ready,
                    terminating: status.terminating,
                    role: status.role,
                };
                (*ordinal, seen)
            })
            .collect()
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Create(ordinal) => self.create(*ordinal),
            Action::Delete(ordinal) => {
                let why = if self.state.down {
                    Why::Asked
                } else if self.state.wanted().contains(ordinal) {
                    Why::Roll
                } else {
                    Why::ScaleDown
                };
                if let Some(pod) = self.pods.get(ordinal) {
                    pod.order(PodOrder::Terminate(why));
                }
            }
            Action::RollDone => {
                self.state.roll = None;
                self.config.ground.events.tell(Event::RollDone);
            }
        }
    }

    fn create(&mut self, ordinal: u32) {
        let now = Instant::now();
        if self.retry_at.get(&ordinal).is_some_and(|at| *at > now) {
            return;
        }
        let uid = match new_uid() {
            Ok(uid) => uid,
            Err(problem) => return self.config.ground.events.notice(problem),
        };
        match (self.config.make)(ordinal, &uid, self.state.replicas) {
            Ok(plan) => {
                self.retry_at.remove(&ordinal);
                let pod = Pod::start(plan, &self.config.ground, Arc::clone(&self.changed));
                self.pods.insert(ordinal, pod);
            }
            Err(error) => {
                self.retry_at.insert(ordinal, now + RETRY);
                self.config.ground.events.notice(error.to_string());
            }
        }
    }

    fn publish(&mut self) {
        let statuses: Vec<_> = self
            .pods
            .values()
            .map(|pod| (pod.status(), Arc::new(pod.plan.labels.clone())))
            .collect();
        self.write_file(&statuses);
        let wanted = self.state.wanted();
        let settled = statuses.len() == wanted.len()
            && statuses
                .iter()
                .all(|(pod, _)| pod.ready() && wanted.contains(&pod.ordinal));
        let next = SetSnapshot {
            name: self.config.name.clone(),
            namespace: self.config.namespace.clone(),
            start: self.state.start,
            desired: self.state.replicas,
            rolling: self.state.roll.is_some(),
            turn: self.turns.holder(),
            settled: settled && !self.state.down,
            ended: false,
            pods: statuses,
        };
        self.snapshot.send_if_modified(|snapshot| {
            let different = *snapshot != next;
            *snapshot = next;
            different
        });
    }

    fn write_file(&mut self, statuses: &[(PodStatus, Arc<BTreeMap<String, String>>)]) {
        let mut replicas: BTreeMap<u32, Replica> = self
            .state
            .wanted()
            .map(|ordinal| {
                let name = format!("{}-{ordinal}", self.config.name);
                let host = (self.config.host_of)(ordinal);
                let mut replica = Replica::expected(Ordinal(ordinal), name, host);
                replica.phase = Phase::Pending;
                (ordinal, replica)
            })
            .collect();
        for (status, _) in statuses {
            let host = (self.config.host_of)(status.ordinal);
            let mut replica = Replica::expected(Ordinal(status.ordinal), status.name.clone(), host);
            replica.phase = status.phase();
            replica.role.clone_from(&status.role);
            if status.linked {
                replica.addresses.push(status.ip.into());
            }
            replicas.insert(status.ordinal, replica);
        }
        let revision = self.written.as_ref().map_or(0, |file| file.revision);
        let mut file = ClusterFile {
            revision,
            start: self.state.start,
            desired: self.state.replicas,
            replicas: replicas.into_values().collect(),
        };
        if self.written.as_ref() == Some(&file) {
            return;
        }
        file.revision += 1;
        match cluster_file::write(&self.config.local, &file) {
            Ok(()) => self.written = Some(file),
            Err(error) => {
                let path = self.config.local.display();
                self.config
                    .ground
                    .events
                    .notice(format!("cannot write cluster.json in {path}: {error}"));
            }
        }
    }
}

/// A random identity in the form of a UUID.
fn new_uid() -> Result<String, String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = crate::hex::of(&bytes);
    Ok([
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-"))
}
