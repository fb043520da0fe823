//! A container: started, probed, started again when it ends, and stopped in order.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use outrigger_shutdown::Deadline;
use serde::Deserialize;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::ending::{code_of, ended, exit_sentence};
use super::env_file::variables;
use super::status::{ContainerState, Shared};
use super::{Ground, Why};
use crate::entry::{self, ContainerSpec, Mount, RunAs};
use crate::kubelet_probe::{self, Outcome, Threshold};
use crate::plan::{
    Check, ContainerPlan, Hook, PRE_STOP, PodPlan, ProbePlan, Role, SIDECAR, SIDECAR_PORT,
};

/// The time that a container has after SIGTERM even when preStop took the whole grace period, as
/// the kubelet gives it.
pub(super) const LEAST: Duration = Duration::from_secs(2);

/// What a container is told.
#[derive(Debug)]
pub(super) enum ContainerOrder {
    /// End in order.
    Stop {
        /// By then it is killed.
        deadline: Deadline,
        /// Why the pod ends.
        why: Why,
    },
    /// A signal.
    Signal(Signal),
    /// Stop, and start again without back-off.
    Restart {
        /// What asks it to stop.
        signal: Signal,
    },
}

/// How a run of the program ended.
enum End {
    /// By itself, or because a probe failed.
    Ended(i32),
    /// Because it should start anew.
    Replaced,
    /// Because it should.
    Stopped(i32),
}

pub(super) struct Container {
    pub(super) pod: Arc<PodPlan>,
    pub(super) index: usize,
    /// The sandbox's process; none in plain mode.
    pub(super) sandbox: Option<i32>,
    pub(super) ground: Ground,
    pub(super) shared: Shared,
}

impl Container {
    fn plan(&self) -> &ContainerPlan {
        &self.pod.containers[self.index]
    }

    /// Runs until it is told to stop, or, as an init container, until it has done its work. The
    /// channel closes when it has ended.
    pub(super) async fn run(
        self,
        mut orders: mpsc::Receiver<ContainerOrder>,
        done: watch::Sender<bool>,
    ) {
        let mut restarts = 0;
        loop {
            let began = Instant::now();
            let end = match self.start() {
                Ok(mut child) => self.attend(&mut child, &mut orders).await,
                Err(problem) => {
                    let name = &self.plan().name;
                    self.ground
                        .logs
                        .write(&self.pod.name, name, format!("outrigger: {problem}"));
                    End::Ended(128)
                }
            };
            let (code, delay, told) = match end {
                End::Stopped(code) => {
                    self.ended(code);
                    break;
                }
                End::Ended(0) if self.plan().role == Role::Init => {
                    self.ended(0);
                    break;
                }
                End::Replaced => {
                    restarts = 0;
                    (0, Duration::ZERO, "it was asked to start again".to_owned())
                }
                End::Ended(0) if self.was_expected(began) => {
                    (0, Duration::ZERO, "ended in order".to_owned())
                }
                End::Ended(code) => {
                    let backoff = self.ground.backoff;
                    if began.elapsed() >= backoff.reset_after {
                        restarts = 0;
                    }
                    let delay = backoff.delay(restarts);
                    restarts += 1;
                    (code, delay, exit_sentence(code))
                }
            };
            let delay = delay.max(self.ground.backoff.notice);
            self.restarting(delay, &told);
            if !self.wait(delay, &mut orders, &mut restarts).await {
                self.ended(code);
                break;
            }
        }
        done.send_replace(true);
    }

    /// Whether the program ended in order to start again with another configuration.
    fn was_expected(&self, began: Instant) -> bool {
        self.plan().role == Role::Main
            && self.shared.end_is_expected()
            && began.elapsed() >= self.ground.backoff.served
    }

    /// Waits before a restart; false when it should not come.
    async fn wait(
        &self,
        delay: Duration,
        orders: &mut mpsc::Receiver<ContainerOrder>,
        restarts: &mut u32,
    ) -> bool {
        let over = Deadline::after(delay);
        loop {
            tokio::select! {
                () = over.wait() => return true,
                order = orders.recv() => match order {
                    None | Some(ContainerOrder::Stop { .. }) => return false,
                    Some(ContainerOrder::Restart { .. }) => {
                        *restarts = 0;
                        return true;
                    }
                    Some(ContainerOrder::Signal(_)) => {}
                },
            }
        }
    }

    fn start(&self) -> Result<Child, String> {
        let spec = self.spec(self.plan().argv.iter().map(OsString::from).collect())?;
        let mut command = (self.ground.launch)(&spec)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let (pod, name) = (&self.pod.name, &self.plan().name);
        let task = format!("log {pod}/{name}");
        let logs = &self.ground.logs;
        if let Some(stream) = child.stdout.take() {
            let reading = logs.clone().read(pod.clone(), name.clone(), stream);
            self.ground.tasks.spawn_short(task.clone(), reading);
        }
        if let Some(stream) = child.stderr.take() {
            let reading = logs.clone().read(pod.clone(), name.clone(), stream);
            self.ground.tasks.spawn_short(task, reading);
        }
        let probes = &self.plan().probes;
        let (started, ready) = (
            probes.startup.is_none(),
            probes.startup.is_none() && probes.readiness.is_none(),
        );
        self.shared.change_container(self.index, |status| {
            status.state = ContainerState::Running;
            status.started = started;
            status.ready = ready;
        });
        Ok(child)
    }

    /// What is run for this container, or in its place.
    fn spec(&self, argv: Vec<OsString>) -> Result<ContainerSpec, String> {
        let plan = self.plan();
        let mut env: Vec<(OsString, OsString)> = plan
            .env
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        if let Some(file) = &plan.env_file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            env.extend(variables(&text).map(|(name, value)| (name.into(), value.into())));
        }
        let mut mounts = Vec::new();
        for mount in &plan.mounts {
            mounts.push(Mount {
                source: existing(&mount.source)?,
                target: mount.target.clone(),
                read_only: mount.read_only,
            });
        }
        if self.sandbox.is_some() {
            self.provide_cwd(&mut mounts)?;
        }
        Ok(ContainerSpec {
            sandbox: self.sandbox,
            argv,
            env,
            cwd: Some(plan.cwd.clone()),
            mounts,
            etc: self.pod.etc.clone(),
            pid_namespace: self.sandbox.is_some(),
            run_as: RunAs {
                user: plan.run_as.0,
                group: plan.run_as.1,
            },
        })
    }

    /// A working folder that only the image would have is an empty one.
    fn provide_cwd(&self, mounts: &mut Vec<Mount>) -> Result<(), String> {
        let cwd = &self.plan().cwd;
        if cwd.is_dir() || mounts.iter().any(|mount| cwd.starts_with(&mount.target)) {
            return Ok(());
        }
        let source = existing(&self.pod.folder.join("cwd").join(&self.plan().name))?;
        mounts.push(Mount {
            source,
            target: cwd.clone(),
            read_only: false,
        });
        Ok(())
    }

    async fn attend(&self, child: &mut Child, orders: &mut mpsc::Receiver<ContainerOrder>) -> End {
        let probing = self.probe();
        tokio::pin!(probing);
        loop {
            tokio::select! {
                status = child.wait() => return End::Ended(code_of(status)),
                reason = &mut probing => {
                    self.shared.tell(&self.plan().name, format!("is stopped: {reason}"));
                    let deadline = Deadline::after(self.pod.grace);
                    let hook = self.plan().pre_stop.clone();
                    let signal = Some(Signal::SIGTERM);
                    let (code, last) = self.stop(child, orders, deadline, signal, hook).await;
                    return if last { End::Stopped(code) } else { End::Ended(code) };
                }
                order = orders.recv() => match order {
                    Some(ContainerOrder::Signal(signal)) => {
                        // One that has ended is found by the wait.
                        let _ignored = entry::signal(child, signal);
                    }
                    Some(ContainerOrder::Restart { signal }) => {
                        let deadline = Deadline::after(self.pod.grace);
                        let signal = Some(signal);
                        let (code, last) = self.stop(child, orders, deadline, signal, None).await;
                        return if last { End::Stopped(code) } else { End::Replaced };
                    }
                    Some(ContainerOrder::Stop { deadline, why }) => {
                        let hook = self.plan().pre_stop.as_ref().map(|hook| told_why(hook, why));
                        let signal = Some(Signal::SIGTERM);
                        let (code, _) = self.stop(child, orders, deadline, signal, hook).await;
                        return End::Stopped(code);
                    }
                    None => {
                        let deadline = Deadline::after(LEAST);
                        let (code, _) = self.stop(child, orders, deadline, None, None).await;
                        return End::Stopped(code);
                    }
                },
            }
        }
    }

    /// preStop, the signal, and SIGKILL at the deadline; the exit code, and whether it was told meanwhile
    /// that it shall not start again.
    async fn stop(
        &self,
        child: &mut Child,
        orders: &mut mpsc::Receiver<ContainerOrder>,
        deadline: Deadline,
        signal: Option<Signal>,
        hook: Option<Hook>,
    ) -> (i32, bool) {
        let mut last = false;
        if let Some(hook) = &hook {
            // A program that ends within the hook is not waited for any longer.
            tokio::select! {
                code = ended(child, orders, &mut last) => return (code, last),
                outcome = tokio::time::timeout(deadline.remaining(), self.pre_stop(hook)) => {
                    let problem = match outcome {
                        Ok(Ok(())) => None,
                        Ok(Err(problem)) => Some(problem),
                        Err(_) => Some("it took the whole grace period".to_owned()),
                    };
                    if let Some(problem) = problem {
                        let name = &self.plan().name;
                        self.shared.tell(name, format!("preStop failed: {problem}"));
                    }
                }
            }
        }
        if let Some(signal) = signal {
            let _ignored = entry::signal(child, signal);
            let grace = deadline.remaining().max(LEAST);
            let ended = tokio::time::timeout(grace, ended(child, orders, &mut last)).await;
            if let Ok(code) = ended {
                return (code, last);
            }
            self.shared.tell(
                &self.plan().name,
                format!("did not end by {signal} within its grace period and is killed"),
            );
        }
        let _ignored = entry::signal(child, Signal::SIGKILL);
        (code_of(child.wait().await), last)
    }

    async fn pre_stop(&self, hook: &Hook) -> Result<(), String> {
        match hook {
            Hook::Http(get) => {
                let answer = kubelet_probe::http_get(get).await?;
                if answer.passes() {
                    Ok(())
                } else {
                    Err(format!("the answer was {}", answer.status))
                }
            }
            Hook::Exec(command) => self.execute(command).await,
            Hook::Sleep(span) => {
                tokio::time::sleep(*span).await;
                Ok(())
            }
        }
    }

    /// Runs a program in the container's place.
    async fn execute(&self, command: &[String]) -> Result<(), String> {
        let spec = self.spec(command.iter().map(OsString::from).collect())?;
        let status = (self.ground.launch)(&spec)?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|error| format!("it cannot be started: {error}"))?;
        match entry::exit_code(status) {
            0 => Ok(()),
            code => Err(format!("its exit code is {code}")),
        }
    }

    /// Probes until one of them wants the container stopped; gives the reason.
    async fn probe(&self) -> String {
        let probes = &self.plan().probes;
        if let Some(plan) = &probes.startup {
            let mut threshold = Threshold::new(plan);
            tokio::time::sleep(plan.initial_delay).await;
            loop {
                let checked = self.check(plan).await;
                if let Err(problem) = &checked {
                    let reason = self.reason(problem);
                    self.shared.change(|status| status.reasons = vec![reason]);
                }
                match threshold.take(checked.is_ok()) {
                    Outcome::Passes => break,
                    Outcome::Fails => {
                        let problem = checked.err().unwrap_or_default();
                        return format!("its startup probe failed: {problem}");
                    }
                    Outcome::Same => tokio::time::sleep(plan.period).await,
                }
            }
            let ready = probes.readiness.is_none();
            self.shared.change(|status| {
                status.reasons.clear();
                if let Some(container) = status.containers.get_mut(self.index) {
                    container.started = true;
                    container.ready = ready;
                }
            });
        }
        let readiness = async {
            match &probes.readiness {
                Some(plan) => self.probe_readiness(plan).await,
                None => std::future::pending().await,
            }
        };
        let liveness = async {
            match &probes.liveness {
                Some(plan) => self.probe_liveness(plan).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = readiness => reason,
            reason = liveness => reason,
        }
    }

    async fn probe_liveness(&self, plan: &ProbePlan) -> String {
        let mut threshold = Threshold::new(plan);
        tokio::time::sleep(plan.initial_delay).await;
        loop {
            let checked = self.check(plan).await;
            if threshold.take(checked.is_ok()) == Outcome::Fails {
                let problem = checked.err().unwrap_or_default();
                return format!("its liveness probe failed: {problem}");
            }
            tokio::time::sleep(plan.period).await;
        }
    }

    /// Never ends; its type lets it stand beside the liveness probe.
    async fn probe_readiness(&self, plan: &ProbePlan) -> String {
        let mut threshold = Threshold::new(plan);
        tokio::time::sleep(plan.initial_delay).await;
        loop {
            let checked = self.check(plan).await;
            let outcome = threshold.take(checked.is_ok());
            let own = self.plan().name == SIDECAR;
            self.shared.change(|status| {
                if let Some(container) = status.containers.get_mut(self.index) {
                    match outcome {
                        Outcome::Same => {}
                        Outcome::Passes => container.ready = true,
                        Outcome::Fails => container.ready = false,
                    }
                }
                match &checked {
                    Ok(Some(verdict)) if own => {
                        status.role.clone_from(&verdict.role);
                        status.reasons = verdict.sentences();
                    }
                    Ok(_) => {}
                    Err(problem) => {
                        if own {
                            status.role = None;
                        }
                        status.reasons = vec![self.reason(problem)];
                    }
                }
            });
            tokio::time::sleep(plan.period).await;
        }
    }

    /// Why the pod is not ready. The sidecar speaks for the whole pod, others for themselves.
    fn reason(&self, problem: &str) -> String {
        match self.plan().name.as_str() {
            SIDECAR => problem.to_owned(),
            name => format!("{name}: {problem}"),
        }
    }

    /// One check; what the sidecar says with it, where it is the sidecar's.
    async fn check(&self, plan: &ProbePlan) -> Result<Option<Verdict>, String> {
        kubelet_probe::within(plan.timeout, async {
            match &plan.check {
                Check::Http(get) => {
                    let answer = kubelet_probe::http_get(get).await?;
                    let verdict: Option<Verdict> = (self.plan().name == SIDECAR)
                        .then(|| serde_json::from_slice(&answer.body).ok())
                        .flatten();
                    if answer.passes() {
                        return Ok(verdict);
                    }
                    let said = verdict.map(|verdict| verdict.sentences().join("; "));
                    Err(said
                        .filter(|said| !said.is_empty())
                        .unwrap_or_else(|| format!("the answer was {}", answer.status)))
                }
                Check::Tcp { host, port } => {
                    kubelet_probe::tcp_connect(host, *port).await.map(|()| None)
                }
                Check::Exec(command) => self.execute(command).await.map(|()| None),
            }
        })
        .await
    }

    fn ended(&self, code: i32) {
        let init = self.plan().role == Role::Init && code == 0;
        self.shared.change_container(self.index, |status| {
            status.state = ContainerState::Ended { code };
            status.started = init;
            status.ready = false;
        });
    }

    fn restarting(&self, delay: Duration, why: &str) {
        let message = if delay.is_zero() {
            format!("{why}; it starts again")
        } else {
            format!("{why}; it starts again in {} s", delay.as_secs_f32())
        };
        self.shared.tell(&self.plan().name, message.as_str());
        self.shared.change_container(self.index, |status| {
            status.state = ContainerState::Waiting { reason: message };
            status.restarts += 1;
            status.started = false;
            status.ready = false;
        });
    }
}

/// The sidecar's own hook hears why the pod ends; others stay as the manifest has them.
fn told_why(hook: &Hook, why: Why) -> Hook {
    let mut hook = hook.clone();
    if let Hook::Http(get) = &mut hook
        && (get.port, get.path.as_str()) == (SIDECAR_PORT, PRE_STOP)
    {
        get.path = format!("{PRE_STOP}?reason={}", why.as_str());
    }
    hook
}

/// What the sidecar's probes answer.
#[derive(Debug, Clone, Deserialize)]
struct Verdict {
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    reasons: Vec<Reason>,
}

#[derive(Debug, Clone, Deserialize)]
struct Reason {
    #[serde(default)]
    message: String,
}

impl Verdict {
    fn sentences(&self) -> Vec<String> {
        self.reasons
            .iter()
            .map(|reason| reason.message.clone())
            .collect()
    }
}

/// Where a path really is; a folder that is not there is made, as the kubelet makes subPaths.
fn existing(path: &Path) -> Result<PathBuf, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    match std::fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path).map_err(fail)?;
            std::fs::canonicalize(path).map_err(fail)
        }
        Err(error) => Err(fail(error)),
    }
}
