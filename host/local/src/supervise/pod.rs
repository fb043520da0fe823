//! The order of a pod's life: folders, address, containers one after the other, and all that back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use outrigger_shutdown::Deadline;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::container::{Container, ContainerOrder, LEAST};
use super::projection::{ProjectError, project};
use super::status::Shared;
use super::{Ground, PodOrder, Why};
use crate::entry::Sandbox;
use crate::events::{Event, ReachablePort};
use crate::forward::Wanted;
use crate::plan::{PodPlan, Role};

/// Between two attempts to make a pod's sandbox.
const RETRY: Duration = Duration::from_secs(5);

/// A container that runs.
struct Running {
    index: usize,
    orders: mpsc::Sender<ContainerOrder>,
    done: watch::Receiver<bool>,
}

struct Life {
    plan: Arc<PodPlan>,
    ground: Ground,
    shared: Shared,
    orders: mpsc::Receiver<PodOrder>,
    running: Vec<Running>,
    terminating: bool,
    why: Why,
}

pub(super) async fn run(
    plan: Arc<PodPlan>,
    ground: Ground,
    shared: Shared,
    orders: mpsc::Receiver<PodOrder>,
) {
    let mut life = Life {
        plan,
        ground,
        shared,
        orders,
        running: Vec::new(),
        terminating: false,
        why: Why::Asked,
    };
    let sandbox = life.prepare().await;
    if !life.terminating {
        life.link().await;
        let pid = sandbox.as_ref().map(Sandbox::pid);
        life.start_all(pid).await;
        while !life.terminating {
            life.until(std::future::pending::<()>()).await;
        }
        let began = Instant::now();
        life.stop_and_signal().await;
        life.ground.events.tell(Event::PodStopped {
            pod: life.plan.name.clone(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
    life.unlink(sandbox).await;
    life.shared.change(|status| status.gone = true);
}

impl Life {
    /// Waits for something while orders are carried out; none when the pod should end first.
    async fn until<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(what);
        loop {
            if self.terminating {
                return None;
            }
            tokio::select! {
                biased;
                order = self.orders.recv() => self.obey(order.unwrap_or(PodOrder::Terminate(Why::Asked))),
                done = &mut what => return Some(done),
            }
        }
    }

    fn obey(&mut self, order: PodOrder) {
        match order {
            PodOrder::Terminate(why) => {
                self.terminating = true;
                self.why = why;
                self.shared.change(|status| {
                    status.terminating = true;
                    status.role = None;
                });
            }
            PodOrder::Signal { container, signal } => self.signal(container.as_deref(), signal),
            PodOrder::Restart { reason, signal } => {
                let signal = signal.unwrap_or(Signal::SIGTERM);
                self.shared
                    .tell(&self.plan.workload, format!("is restarted: {reason}"));
                self.tell(&self.plan.workload, ContainerOrder::Restart { signal });
            }
            PodOrder::Project(projections) => {
                for projection in &projections {
                    self.projected(project(projection));
                }
            }
        }
    }

    fn signal(&self, container: Option<&str>, signal: Signal) {
        let name = container.unwrap_or(&self.plan.workload);
        self.tell(name, ContainerOrder::Signal(signal));
    }

    fn projected(&self, outcome: Result<bool, ProjectError>) {
        if let Err(error) = outcome {
            let pod = &self.plan.name;
            let source = &error.source;
            self.shared
                .events()
                .notice(format!("{pod}: {error}: {source}"));
        }
    }

    fn tell(&self, container: &str, order: ContainerOrder) {
        let named = |running: &&Running| self.plan.containers[running.index].name == container;
        if let Some(running) = self.running.iter().find(named) {
            // A container whose queue is full is on its way already.
            let _ignored = running.orders.try_send(order);
        }
    }

    /// Folders, files and the sandbox; tried again until they are there.
    async fn prepare(&mut self) -> Option<Sandbox> {
        loop {
            match self.attempt().await {
                Ok(sandbox) => return sandbox,
                Err(problem) => {
                    let pod = self.plan.name.clone();
                    self.shared
                        .events()
                        .notice(format!("{pod}: {problem}; tried again in 5 s"));
                    self.shared.change(|status| status.reasons = vec![problem]);
                }
            }
            self.until(tokio::time::sleep(RETRY)).await?;
        }
    }

    async fn attempt(&self) -> Result<Option<Sandbox>, String> {
        make_folders(&self.plan)?;
        let Some(network) = &self.ground.network else {
            return Ok(None);
        };
        let sandbox = Sandbox::start(&self.plan.name)
            .await
            .map_err(|error| error.to_string())?;
        network
            .attach(sandbox.pid(), self.plan.ip, &self.plan.name)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Some(sandbox))
    }

    /// Makes the ports reachable from outside.
    async fn link(&mut self) {
        let mut reachable = Vec::new();
        for container in &self.plan.containers {
            for port in container.ports.iter().filter(|port| port.protocol == "TCP") {
                let outside = (self.ground.outside)(self.plan.ip.into(), port.port);
                let address = match &self.ground.forward {
                    None => Some(outside),
                    Some(forward) => {
                        let wanted = Wanted {
                            listen: outside,
                            to: (self.plan.ip, port.port).into(),
                        };
                        match forward.listen(wanted).await {
                            Ok(bound) => bound.address(),
                            Err(error) => {
                                let pod = &self.plan.name;
                                self.shared.events().notice(format!("{pod}: {error}"));
                                None
                            }
                        }
                    }
                };
                reachable.extend(address.map(|address| ReachablePort {
                    container: container.name.clone(),
                    name: port.name.clone(),
                    port: port.port,
                    address,
                }));
            }
        }
        self.shared.events().tell(Event::Reachable {
            pod: self.plan.name.clone(),
            ports: reachable.clone(),
        });
        self.shared.change(|status| {
            status.linked = true;
            status.reasons.clear();
            status.reachable = reachable;
        });
    }

    async fn unlink(&mut self, sandbox: Option<Sandbox>) {
        if let Some(forward) = &self.ground.forward {
            for container in &self.plan.containers {
                for port in &container.ports {
                    let outside = (self.ground.outside)(self.plan.ip.into(), port.port);
                    // The front closes what is left when the hub ends.
                    let _ignored = forward.close(outside).await;
                }
            }
        }
        if let Some(network) = &self.ground.network
            && let Err(error) = network.detach(&self.plan.name).await
        {
            self.shared
                .events()
                .notice(format!("{}: {error}", self.plan.name));
        }
        if let Some(sandbox) = sandbox {
            sandbox.stop().await;
        }
    }

    async fn start_all(&mut self, sandbox: Option<i32>) {
        for index in 0..self.plan.containers.len() {
            let (orders, receiver) = mpsc::channel(8);
            let (done_sender, done) = watch::channel(false);
            let container = Container {
                pod: Arc::clone(&self.plan),
                index,
                sandbox,
                ground: self.ground.clone(),
                shared: self.shared.clone(),
            };
            let plan = &self.plan.containers[index];
            let role = plan.role;
            self.ground.tasks.spawn_short(
                format!("container {}/{}", self.plan.name, plan.name),
                container.run(receiver, done_sender),
            );
            let mut ended = done.clone();
            self.running.push(Running {
                index,
                orders,
                done,
            });
            let shared = self.shared.clone();
            match role {
                Role::Main => {}
                Role::Sidecar => {
                    self.until(shared.started(index)).await;
                }
                Role::Init => {
                    self.until(async move { ended.wait_for(|done| *done).await.is_ok() })
                        .await;
                }
            }
            if self.terminating {
                return;
            }
        }
    }

    /// Stops all, and passes on the signals that a drain sends meanwhile.
    async fn stop_and_signal(&mut self) {
        let mut orders = std::mem::replace(&mut self.orders, mpsc::channel(1).1);
        let stopping = self.stop_all();
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                () = &mut stopping => return,
                Some(order) = orders.recv() => if let PodOrder::Signal { container, signal } = order {
                    self.signal(container.as_deref(), signal);
                },
            }
        }
    }

    /// The workload first, the sidecars after it in reverse order, all within the grace period.
    async fn stop_all(&self) {
        let deadline = Deadline::after(self.plan.grace);
        let is_sidecar =
            |running: &Running| self.plan.containers[running.index].role == Role::Sidecar;
        let (sidecars, others): (Vec<&Running>, Vec<&Running>) =
            self.running.iter().partition(|running| is_sidecar(running));
        for running in &others {
            // One that has ended takes no orders.
            let _ignored = running
                .orders
                .send(ContainerOrder::Stop {
                    deadline,
                    why: self.why,
                })
                .await;
        }
        for running in &others {
            // The container ended without a word: it is gone all the same.
            ended(running).await;
        }
        for running in sidecars.iter().rev() {
            let deadline = Deadline::after(deadline.remaining().max(LEAST));
            let _ignored = running
                .orders
                .send(ContainerOrder::Stop {
                    deadline,
                    why: self.why,
                })
                .await;
            ended(running).await;
        }
    }
}

/// Waits until a container has ended.
async fn ended(running: &Running) {
    let mut done = running.done.clone();
    // One whose channel is closed has ended too.
    let _ignored = done.wait_for(|done| *done).await;
}

/// Makes the pod's own folder anew, and all others that are missing.
fn make_folders(plan: &PodPlan) -> Result<(), String> {
    let fail = |path: &std::path::Path, error: std::io::Error| {
        format!("cannot make {}: {error}", path.display())
    };
    match std::fs::remove_dir_all(&plan.folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(fail(&plan.folder, error));
        }
        _ => {}
    }
    // A working folder may lie inside of a link that is made further down.
    let (early, late): (Vec<_>, Vec<_>) = plan
        .folders
        .iter()
        .partition(|folder| !plan.links.iter().any(|(link, _)| folder.starts_with(link)));
    for folder in early {
        std::fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
    }
    for (link, target) in &plan.links {
        if let Some(parent) = link.parent() {
            std::fs::create_dir_all(parent).map_err(|error| fail(parent, error))?;
        }
        let _ignored = std::fs::remove_file(link);
        std::os::unix::fs::symlink(target, link).map_err(|error| fail(link, error))?;
    }
    for projection in &plan.projections {
        project(projection).map_err(|error| format!("{error}: {}", error.source))?;
    }
    for folder in late {
        std::fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
    }
    Ok(())
}
