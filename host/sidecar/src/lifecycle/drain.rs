//! One drain: its steps in order, within one deadline, each told with what it took.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use outrigger_plugin_host::{CallErrorKind, DrainContext, DrainReason, Next};
use outrigger_profile::{DrainRequest, Profile};
use outrigger_shutdown::Deadline;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::alive::{self, Alive};
use super::process::{Place, Process};
use super::{Drains, Inner, LifecycleSetup, RESERVE, lock};
use crate::control::signal_name;
use crate::timeline::Concern;
use crate::transport::{authority, exchange_status, method};

/// The least time between two steps of a plugin.
const AGAIN_MIN: Duration = Duration::from_millis(10);

/// How many steps of one drain are kept for the answer; a plugin that says something new with each
/// of its steps would make more.
const STEPS_MAX: usize = 100;

/// How one drain went.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DrainOutcome {
    /// Why.
    #[serde(serialize_with = "word")]
    pub reason: DrainReason,
    /// Whether every step was done.
    pub complete: bool,
    /// What was done, in order; at most 100.
    pub steps: Vec<DrainStep>,
    /// All of it, in milliseconds.
    pub took_ms: u64,
    /// What sets its end: `grace-period`, or `drain.timeout` where that is shorter.
    pub limit: &'static str,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `serialize_with` hands over a reference to the field"
)]
fn word<S: serde::Serializer>(reason: &DrainReason, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(reason.as_str())
}

impl DrainOutcome {
    pub(super) fn aborted(reason: DrainReason) -> Self {
        Self {
            reason,
            complete: false,
            steps: Vec::new(),
            took_ms: 0,
            limit: GRACE_PERIOD,
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DrainStep {
    /// `notice`, `http`, `plugin` or `signal`.
    pub step: &'static str,
    /// How it went.
    pub result: StepResult,
    /// What was done or waited for.
    pub note: String,
    /// In milliseconds.
    pub took_ms: u64,
}

/// How one step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// As it should.
    Done,
    /// Under way: a plugin's step that is followed by another.
    Continues,
    /// It failed; the drain went on.
    Failed,
    /// The deadline cut it off.
    OutOfTime,
}

impl StepResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Continues => "continues",
            Self::Failed => "failed",
            Self::OutOfTime => "out-of-time",
        }
    }
}

/// What limits a drain unless the profile does.
const GRACE_PERIOD: &str = "grace-period";

struct Drain<'a> {
    inner: &'a Inner,
    setup: &'a LifecycleSetup,
    reason: DrainReason,
    deadline: Deadline,
    /// The workload as it was when this began.
    process: Option<Process>,
    steps: Vec<DrainStep>,
    complete: bool,
}

/// Runs every step. The replica is unready already.
pub(super) async fn run(
    inner: &Inner,
    profile: &Profile,
    reason: DrainReason,
    deadline: Deadline,
) -> DrainOutcome {
    let setup = &inner.setup;
    let mut drain = Drain {
        inner,
        setup,
        reason,
        deadline,
        process: Process::now(Place::of(&setup.workload_host, &profile.workload)),
        steps: Vec::new(),
        complete: true,
    };
    setup.timeline.record(
        "drain",
        format!("this replica is unready and drained: {reason}"),
        [
            ("reason", reason.as_str().into()),
            ("deadline-ms", millis(deadline.remaining()).into()),
        ],
    );
    drain.begins("notice");
    drain.notice(profile.drain.notice).await;
    for request in &profile.drain.http {
        drain.begins("http");
        drain.http(request).await;
    }
    if let Some(plugin) = &setup.plugin {
        drain.begins("plugin");
        drain.plugin(&**plugin).await;
    }
    drain.begins("signal");
    drain.signal(profile).await;
    *lock(&inner.step) = None;
    let is_profiles = profile.drain.timeout < setup.grace_period.saturating_sub(RESERVE);
    let outcome = DrainOutcome {
        reason,
        complete: drain.complete,
        steps: drain.steps,
        took_ms: millis(deadline.elapsed()),
        limit: if is_profiles {
            "drain.timeout"
        } else {
            GRACE_PERIOD
        },
    };
    let message = if outcome.complete {
        "the drain is done"
    } else {
        "the drain has ended, not everything was done"
    };
    let fields = [
        ("reason", reason.as_str().into()),
        ("took-ms", outcome.took_ms.into()),
    ];
    let is_late = |step: &DrainStep| step.result == StepResult::OutOfTime;
    if outcome.steps.iter().any(is_late) {
        let concern = Concern::DrainCutOff;
        setup.timeline.warn(concern, "drain", message, fields);
    } else {
        setup.timeline.record("drain", message, fields);
    }
    outcome
}

impl Drain<'_> {
    fn begins(&self, step: &'static str) {
        *lock(&self.inner.step) = Some(step);
    }

    fn step(
        &mut self,
        step: &'static str,
        result: StepResult,
        note: impl Into<String>,
        began: Instant,
    ) {
        let (note, took_ms) = (note.into(), millis(began.elapsed()));
        if matches!(result, StepResult::Failed | StepResult::OutOfTime) {
            self.complete = false;
        }
        let fields = [
            ("step", step.into()),
            ("result", result.as_str().into()),
            ("took-ms", took_ms.into()),
        ];
        let message = format!("{step}: {note}");
        if step == "notice" && result == StepResult::Done {
            self.setup.timeline.note("drain", message, fields);
        } else {
            self.setup.timeline.record("drain", message, fields);
        }

        if self.steps.len() < STEPS_MAX {
            self.steps.push(DrainStep {
                step,
                result,
                note,
                took_ms,
            });
        }
    }

    /// Gives endpoints the time to notice.
    async fn notice(&mut self, notice: Duration) {
        let span = notice.min(self.deadline.remaining());
        if span.is_zero() {
            return;
        }
        let began = Instant::now();
        tokio::time::sleep(span).await;
        let note = "clients and endpoints had time to notice";
        self.step("notice", StepResult::Done, note, began);
    }

    async fn http(&mut self, request: &DrainRequest) {
        let began = Instant::now();
        let what = format!(
            "{} {} on port {}",
            method(request.method),
            request.path,
            request.port
        );
        let sent = send(&self.setup.workload_host, request);
        let (result, note) = match tokio::time::timeout(self.deadline.remaining(), sent).await {
            Ok(Ok(status)) if status < 400 => {
                (StepResult::Done, format!("{what}: status {status}"))
            }
            Ok(Ok(status)) => (StepResult::Failed, format!("{what}: status {status}")),
            Ok(Err(error)) => (StepResult::Failed, format!("{what}: {error}")),
            Err(_) => (StepResult::OutOfTime, format!("{what}: no answer in time")),
        };
        self.step("http", result, note, began);
    }

    /// Calls the plugin until it is done, fails, or time is over.
    async fn plugin(&mut self, plugin: &dyn Drains) {
        let mut said = String::new();
        let mut has_ended = false;
        let began = Instant::now();
        for attempt in 0_u32.. {
            let context = DrainContext {
                reason: self.reason,
                remaining: self.deadline.remaining(),
                elapsed: self.deadline.elapsed(),
                attempt,
                now: Arc::clone(&self.setup.peers.borrow()),
            };
            let called = tokio::time::timeout(self.deadline.remaining(), plugin.drain(context));
            let step = match called.await {
                Err(_) => {
                    let note = format!("no time is left, the last word was: {said}");
                    return self.step("plugin", StepResult::OutOfTime, note, began);
                }
                Ok(Err(error)) if error.kind == CallErrorKind::NotExported => return,
                Ok(Err(error)) => {
                    return self.step("plugin", StepResult::Failed, error.to_string(), began);
                }
                Ok(Ok(step)) => step,
            };
            match step.next {
                Next::Done => {
                    let note = if step.note.is_empty() {
                        "done".to_owned()
                    } else {
                        step.note
                    };
                    return self.step("plugin", StepResult::Done, note, began);
                }
                Next::Failed(failure) => {
                    let note = format!("{}: {}", failure.kind, failure.message);
                    return self.step("plugin", StepResult::Failed, note, began);
                }
                Next::AgainIn(span) => {
                    if !step.note.is_empty() && step.note != said {
                        self.step("plugin", StepResult::Continues, &*step.note, began);
                        said = step.note;
                    }
                    let pause = span.max(AGAIN_MIN).min(self.deadline.remaining());
                    let pause = tokio::time::sleep(pause);
                    tokio::select! {
                        () = pause => {}
                        // The plugin is asked at once: it may see the end too, and have a word for it.
                        () = ended(self.process.as_ref()), if !has_ended => has_ended = true,
                    }
                    // Started again so soon that the plugin does not see that it ended.
                    if has_ended && self.process.as_ref().is_some_and(Process::runs_again) {
                        let note = "the workload has ended, and runs again";
                        return self.step("plugin", StepResult::Done, note, began);
                    }
                    if self.deadline.passed() {
                        let note = format!("no time is left, the last word was: {said}");
                        return self.step("plugin", StepResult::OutOfTime, note, began);
                    }
                }
            }
        }
    }

    /// Stops the workload where it is still there and the profile says how.
    async fn signal(&mut self, profile: &Profile) {
        let Some(signal) = profile.drain.signal else {
            return;
        };
        let has_ended = self.process.as_ref().is_some_and(Process::has_ended);
        if has_ended
            || alive::is_alive(&self.setup.workload_host, &profile.workload).await == Alive::No
        {
            return;
        }
        let began = Instant::now();
        let name = signal_name(signal);
        let (result, note) = match self.setup.control.signal(signal).await {
            Ok(()) => (StepResult::Done, format!("SIG{name} to the workload")),
            Err(error) => (StepResult::Failed, format!("SIG{name}: {error}")),
        };
        self.step("signal", result, note, began);
    }
}

/// Waits until the process has ended; for ever where it is not known.
async fn ended(process: Option<&Process>) {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

async fn send(host: &str, request: &DrainRequest) -> Result<u16, String> {
    let message = Request::builder()
        .method(method(request.method))
        .uri(&request.path)
        .header(header::HOST, authority(host, request.port))
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    let stream = TcpStream::connect((host, request.port))
        .await
        .map_err(|error| format!("no connection: {error}"))?;
    let status = exchange_status(stream, message)
        .await
        .map_err(|error| error.to_string())?;
    Ok(status.as_u16())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
