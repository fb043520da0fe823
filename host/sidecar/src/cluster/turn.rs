//! Turns to restart, by a Lease: one replica of the StatefulSet at a time.
//!
//! Whoever writes its name into a Lease that nobody holds has its turn, renews it while it lasts, and takes
//! its name out at the end. Every write names the version it follows, so two can never both win. A holder
//! that does not renew any more is replaced; that is measured by the clock of whoever waits, from when it
//! saw the last change, and so clocks need not agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use outrigger_api_server::{ApiError, ApiServer, Pause, micro_time};
use outrigger_peers::Identity;
use outrigger_plugin_host::BoxFuture;
use outrigger_shutdown::Tasks;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Known, MANAGER, ROLE_HINT, Wanted};
use crate::control::{ControlError, HeldTurn, TurnGuard};
use crate::timeline::Timeline;

/// How long a turn stands that is not renewed.
const DURATION: Duration = Duration::from_secs(30);
/// How often it is renewed: two renewals may fail.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Beyond its duration, how long a holder is given.
const SLACK: Duration = Duration::from_secs(5);
/// Nobody's lease is believed to last longer than this.
const DURATION_MAX: Duration = Duration::from_mins(10);
/// How long a turn is waited for.
const TURN_WAIT_MAX: Duration = Duration::from_mins(30);
/// How often the Lease is looked at while somebody else holds it.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How often it is tried to give a turn back; after that it expires.
const GIVE_BACK_ATTEMPTS: u32 = 8;

/// Turns of one StatefulSet. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct LeaseTurns {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    api: ApiServer,
    identity: Identity,
    stateful_set: watch::Receiver<Known<Wanted>>,
    timeline: Timeline,
    tasks: Tasks,
    told: AtomicBool,
}

/// What one look at the Lease came to.
enum Look {
    /// It is this turn's.
    Ours(Value),
    /// Somebody else's.
    Theirs {
        holder: String,
        version: String,
        duration: Duration,
    },
    /// Somebody was faster.
    Again,
}

impl LeaseTurns {
    /// Turns of the StatefulSet that `stateful_set` tells of; `tasks` renew and give back.
    pub(crate) fn new(
        api: ApiServer,
        identity: Identity,
        stateful_set: watch::Receiver<Known<Wanted>>,
        timeline: Timeline,
        tasks: Tasks,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                api,
                identity,
                stateful_set,
                timeline,
                tasks,
                told: AtomicBool::new(false),
            }),
        }
    }

    /// Waits for this replica's turn. Where no role allows Leases, or the API server has never been
    /// heard of, every turn is granted, which is told once.
    ///
    /// # Cancel safety
    /// A wait that is cancelled gives back what it may have got.
    pub(crate) async fn acquire(&self) -> Result<TurnGuard, ControlError> {
        let inner = &self.inner;
        let began = Instant::now();
        // Tells this turn from all others, those of this same pod included.
        let mut turn = Turn::new(Arc::clone(inner))?;
        let mut pause = Pause::default();
        let mut seen: Option<(String, Instant)> = None;
        let mut told = String::new();
        while began.elapsed() < TURN_WAIT_MAX {
            let is_expired = |version: &str, duration: Duration| {
                let same = seen.as_ref().filter(|(seen, _)| seen == version);
                same.is_some_and(|(_, since)| since.elapsed() >= duration + SLACK)
            };
            match turn.look(is_expired).await {
                Ok(Look::Ours(lease)) => {
                    turn.renew(lease);
                    return Ok(TurnGuard::held(Box::new(turn)));
                }
                Ok(Look::Theirs {
                    holder,
                    version,
                    duration,
                }) => {
                    pause.reset();
                    if holder != told {
                        let message =
                            format!("this replica waits for its turn to restart, {holder} has it");
                        inner.timeline.record("restart", message, []);
                        told = holder;
                    }
                    if seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
                        seen = Some((version, Instant::now()));
                    }
                    let left = seen.as_ref().map_or(LOOK_EVERY, |(_, since)| {
                        (duration + SLACK).saturating_sub(since.elapsed())
                    });
                    tokio::time::sleep(left.clamp(Duration::from_millis(100), LOOK_EVERY)).await;
                }
                Ok(Look::Again) => tokio::time::sleep(pause.next()).await,
                Err(error) if error.is(403) || inner.api.requests().answered == 0 => {
                    inner.tell_uncoordinated(&error);
                    return Ok(TurnGuard::uncoordinated());
                }
                Err(error) => {
                    if pause.is_first() {
                        let why = error.chain();
                        let message = format!(
                            "the turn to restart cannot be asked for now, it is tried again: {why}"
                        );
                        inner.timeline.record("restart", message, []);
                    }
                    tokio::time::sleep(pause.next()).await;
                }
            }
        }
        Err(ControlError::NoTurn {
            after: TURN_WAIT_MAX,
        })
    }
}

impl Inner {
    fn collection(&self) -> String {
        let namespace = &self.identity.namespace;
        format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
    }

    fn name(&self) -> String {
        format!("outrigger-{}", self.identity.stateful_set)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name())
    }

    async fn replace(&self, lease: &Value) -> Result<Value, ApiError> {
        let replaced = self.api.replace(&self.path(), lease, MANAGER).await?;
        Ok(replaced.value)
    }

    fn tell_uncoordinated(&self, error: &ApiError) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let why = if error.is(403) {
                format!("this pod may not use Leases: {ROLE_HINT}")
            } else {
                error.chain()
            };
            let message = format!(
                "nobody counts turns to restart, replicas may restart at the same time: {why}"
            );
            self.timeline.record("restart", message, []);
        }
    }
}

/// One turn, from when it is first asked for. Dropping it gives back what it may have got.
struct Turn {
    inner: Arc<Inner>,
    /// What tells it from others: the time of its acquisition as the Lease holds it.
    mark: String,
    /// Whether it was written, or may have been.
    is_written: bool,
    /// The Lease as it was written last; none once the turn is over.
    lease: Arc<Mutex<Option<Value>>>,
}

impl Turn {
    fn new(inner: Arc<Inner>) -> Result<Self, ControlError> {
        // Replicas may begin in the same microsecond: a pod's own turns are told apart by it, others
        // by the holder's name.
        let mut micros = [0; 2];
        getrandom::fill(&mut micros).map_err(|error| ControlError::Turn {
            reason: error.to_string(),
        })?;
        let apart = Duration::from_micros(u64::from(u16::from_be_bytes(micros)));
        Ok(Self {
            inner,
            mark: micro_time(SystemTime::now() + apart),
            is_written: false,
            lease: Arc::default(),
        })
    }

    fn is_ours(&self, lease: &Value) -> bool {
        let spec = &lease["spec"];
        spec["holderIdentity"] == self.inner.identity.pod() && spec["acquireTime"] == *self.mark
    }

    /// Looks at the Lease, and takes it where it can be had.
    async fn look(
        &mut self,
        is_expired: impl Fn(&str, Duration) -> bool,
    ) -> Result<Look, ApiError> {
        let inner = Arc::clone(&self.inner);
        let mut lease: Value = match inner.api.get(&inner.path()).await {
            Ok(found) => found.value,
            Err(error) if error.is(404) => {
                let lease = self.taken(json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": self.metadata(),
                }));
                self.is_written = true;
                let created = inner.api.create(&inner.collection(), &lease, MANAGER).await;
                return look(created.map(|answer| answer.value));
            }
            Err(error) => return Err(error),
        };
        if self.is_ours(&lease) {
            return Ok(Look::Ours(lease));
        }
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        if !holder.is_empty() && holder != inner.identity.pod() {
            let version = lease["metadata"]["resourceVersion"].as_str();
            let version = version.unwrap_or_default().to_owned();
            let seconds = lease["spec"]["leaseDurationSeconds"].as_u64();
            let duration = seconds
                .map_or(DURATION, Duration::from_secs)
                .min(DURATION_MAX);
            if !is_expired(&version, duration) {
                return Ok(Look::Theirs {
                    holder: holder.to_owned(),
                    version,
                    duration,
                });
            }
            debug!(holder, "A turn to restart has run out");
        }
        lease = self.taken(lease);
        self.is_written = true;
        look(inner.replace(&lease).await)
    }

    /// The Lease with this turn in it.
    fn taken(&self, mut lease: Value) -> Value {
        let transitions = lease["spec"]["leaseTransitions"].as_u64().unwrap_or(0);
        lease["spec"] = json!({
            "holderIdentity": self.inner.identity.pod(),
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": self.mark,
            "renewTime": self.mark,
            "leaseTransitions": (transitions + 1).min(i32::MAX as u64),
        });
        lease
    }

    fn metadata(&self) -> Value {
        let inner = &self.inner;
        let mut metadata = json!({
            "name": inner.name(),
            "namespace": inner.identity.namespace,
            "labels": {"app.kubernetes.io/managed-by": "outrigger"},
        });
        // It goes with the StatefulSet, where that could be read.
        if let Some(wanted) = inner.stateful_set.borrow().objects.values().next() {
            metadata["ownerReferences"] = json!([{
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "name": inner.identity.stateful_set,
                "uid": wanted.uid,
            }]);
        }
        metadata
    }

    /// Keeps the turn for as long as it lasts.
    fn renew(&mut self, lease: Value) {
        self.lease = Arc::new(Mutex::new(Some(lease)));
        let (inner, lease) = (Arc::clone(&self.inner), Arc::clone(&self.lease));
        let (pod, mark) = (inner.identity.pod(), self.mark.clone());
        self.inner.tasks.spawn_short("turn", async move {
            loop {
                tokio::time::sleep(RENEW_EVERY).await;
                let mut lease = lease.lock().await;
                let Some(held) = &mut *lease else {
                    return;
                };
                held["spec"]["renewTime"] = micro_time(SystemTime::now()).into();
                match inner.replace(held).await {
                    Ok(renewed) => *held = renewed,
                    Err(error) if error.is(409) || error.is(404) => {
                        let found = inner.api.get::<Value>(&inner.path()).await;
                        match found.map(|answer| answer.value) {
                            Ok(found)
                                if found["spec"]["holderIdentity"] == *pod
                                    && found["spec"]["acquireTime"] == *mark =>
                            {
                                *held = found;
                            }
                            Err(error) if !error.is(404) => {
                                debug!(error = error.chain(), "A turn could not be renewed");
                            }
                            _ => {
                                let message = "this replica's turn to restart ran out before it was over, another one may restart now";
                                inner.timeline.record("restart", message, []);
                                *lease = None;
                                return;
                            }
                        }
                    }
                    Err(error) => debug!(error = error.chain(), "A turn could not be renewed"),
                }
            }
        });
    }

    /// What gives it back: what was written last counts, and what the API server says where that is not
    /// known.
    fn give_back_now(&mut self) -> impl Future<Output = Result<(), ControlError>> + Send + use<> {
        let is_written = std::mem::take(&mut self.is_written);
        let inner = Arc::clone(&self.inner);
        let (lease, mark) = (Arc::clone(&self.lease), self.mark.clone());
        async move {
            if !is_written {
                return Ok(());
            }
            let mut held = lease.lock().await.take();
            let mut pause = Pause::default();
            let mut failure = String::new();
            for _ in 0..GIVE_BACK_ATTEMPTS {
                let given = match held.take() {
                    Some(mut held) => {
                        if let Some(spec) = held["spec"].as_object_mut() {
                            for field in ["holderIdentity", "acquireTime", "renewTime"] {
                                spec.remove(field);
                            }
                        }
                        inner.replace(&held).await.map(|_| true)
                    }
                    None => match inner.api.get::<Value>(&inner.path()).await {
                        Ok(found) => {
                            let spec = &found.value["spec"];
                            let is_ours = spec["holderIdentity"] == inner.identity.pod()
                                && spec["acquireTime"] == *mark;
                            held = is_ours.then_some(found.value);
                            if !is_ours {
                                return Ok(());
                            }
                            continue;
                        }
                        Err(error) if error.is(404) => return Ok(()),
                        Err(error) => Err(error),
                    },
                };
                match given {
                    Ok(_) => return Ok(()),
                    Err(error) => failure = error.chain(),
                }
                tokio::time::sleep(pause.next()).await;
            }
            Err(ControlError::Turn { reason: failure })
        }
    }
}

impl HeldTurn for Turn {
    fn give_back(mut self: Box<Self>) -> BoxFuture<'static, Result<(), ControlError>> {
        Box::pin(self.give_back_now())
    }

    fn abandon(self: Box<Self>) {
        // As every drop does.
        drop(self);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Outside a runtime the process is ending, and the turn expires.
        if self.is_written && tokio::runtime::Handle::try_current().is_ok() {
            let given_back = self.give_back_now();
            self.inner.tasks.spawn_short("turn", async move {
                if let Err(error) = given_back.await {
                    warn!(%error, "The turn to restart could not be given back");
                }
            });
        }
    }
}

/// What a write came to.
fn look(written: Result<Value, ApiError>) -> Result<Look, ApiError> {
    match written {
        Ok(lease) => Ok(Look::Ours(lease)),
        Err(error) if error.is(409) => Ok(Look::Again),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
