//! What is known of one kind of object in the API server, and how current that is.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outrigger_api_server::{ApiError, ApiServer, Metadata, Scope, Sink};
use outrigger_telemetry::names;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::limits;
use crate::metrics::Recorder;
use crate::timeline::unix_ms;

/// How long one watch lasts: with this, watches cost a few requests an hour.
pub(super) const WATCH_FOR: Duration = Duration::from_mins(30);

/// Before it is asked again whether what was forbidden is allowed now.
pub(super) const FORBIDDEN_PAUSE: Duration = Duration::from_mins(10);

/// The same where a workload may wait for the answer.
pub(super) const AWAITED_PAUSE: Duration = Duration::from_secs(30);

/// What is kept of an object.
pub trait Kept: Clone + PartialEq + Send + Sync + 'static {
    /// What is read of it.
    type Object: DeserializeOwned + Clone + Send;
    /// What metrics call where this comes from.
    const SOURCE: &'static str;

    /// The object's metadata.
    fn metadata(object: &Self::Object) -> &Metadata;
    /// What is kept.
    fn keep(object: &Self::Object) -> Self;
}

/// What is known of one kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known<T> {
    /// The objects by their names: those that were known last, however long ago that is.
    pub objects: BTreeMap<String, T>,
    /// Whether all of them have been read once.
    pub is_complete: bool,
    /// When the API server was last heard of, in milliseconds since the Unix epoch; 0 = never.
    pub heard_unix_ms: u64,
    /// Why nothing new is heard; none while all is well.
    pub trouble: Option<Trouble>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            is_complete: false,
            heard_unix_ms: 0,
            trouble: None,
        }
    }
}

impl<T> Known<T> {
    /// Whether no role of the service account allows it.
    pub fn is_forbidden(&self) -> bool {
        self.trouble
            .as_ref()
            .is_some_and(|trouble| trouble.is_forbidden)
    }

    /// How it stands, in a word for the status: `followed`, `stale`, `forbidden`, `unreachable`, `unknown`.
    pub fn standing(&self) -> &'static str {
        match &self.trouble {
            Some(trouble) if trouble.is_forbidden => "forbidden",
            Some(_) if self.is_complete => "stale",
            Some(_) => "unreachable",
            None if self.is_complete => "followed",
            None => "unknown",
        }
    }
}

/// Why nothing new is heard of the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub began: Instant,
    /// The last word about it.
    pub reason: String,
    /// Whether it is for the lack of a role.
    pub is_forbidden: bool,
}

/// Keeps `out` current until this is dropped. What is forbidden is tried again now and then.
pub(super) async fn follow<T: Kept>(
    api: &ApiServer,
    scope: &Scope,
    out: &watch::Sender<Known<T>>,
    forbidden_pause: Duration,
    recorder: &Recorder,
) {
    loop {
        let filling = Filling {
            out,
            recorder,
            listed: Mutex::default(),
            forbidden: Notify::new(),
        };
        tokio::select! {
            () = outrigger_api_server::follow(api, scope, &filling) => {}
            () = filling.forbidden.notified() => {}
        }
        tokio::time::sleep(forbidden_pause).await;
    }
}

struct Filling<'a, T> {
    out: &'a watch::Sender<Known<T>>,
    recorder: &'a Recorder,
    /// What a list has brought that is not whole yet.
    listed: Mutex<Option<BTreeMap<String, T>>>,
    forbidden: Notify,
}

impl<T> Filling<'_, T> {
    fn listed(&self) -> MutexGuard<'_, Option<BTreeMap<String, T>>> {
        // Nothing that could panic runs under this lock.
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Kept> Sink for Filling<'_, T> {
    type Object = T::Object;

    fn metadata(object: &T::Object) -> &Metadata {
        T::metadata(object)
    }

    fn set(&self, object: &T::Object) {
        let name = T::metadata(object).name.clone();
        let kept = T::keep(object);
        if let Some(listed) = &mut *self.listed() {
            insert(listed, name, kept);
            return;
        }
        self.out.send_if_modified(|known| {
            let changed = known.objects.get(&name) != Some(&kept);
            insert(&mut known.objects, name, kept);
            changed
        });
    }

    fn remove(&self, object: &T::Object) {
        let name = &T::metadata(object).name;
        self.out
            .send_if_modified(|known| known.objects.remove(name).is_some());
    }

    fn list_begins(&self) {
        *self.listed() = Some(BTreeMap::new());
    }

    fn list_ends(&self) {
        let listed = self.listed().take().unwrap_or_default();
        self.out.send_modify(|known| {
            known.objects = listed;
            known.is_complete = true;
        });
    }

    fn heard(&self) {
        self.out.send_modify(|known| {
            known.heard_unix_ms = unix_ms();
            known.trouble = None;
        });
    }

    fn failed(&self, error: &ApiError) {
        let is_forbidden = error.is(403);
        let labels = [("source", T::SOURCE), ("kind", kind(error))];
        self.recorder.count(names::DISCOVERY_FAILURES, &labels);
        self.out.send_modify(|known| {
            let began = known
                .trouble
                .as_ref()
                .map_or_else(Instant::now, |trouble| trouble.began);
            known.trouble = Some(Trouble {
                began,
                reason: error.chain(),
                is_forbidden,
            });
        });
        if is_forbidden {
            self.forbidden.notify_one();
        }
    }
}

fn insert<T>(objects: &mut BTreeMap<String, T>, name: String, kept: T) {
    if objects.len() < limits::OBJECTS_MAX || objects.contains_key(&name) {
        objects.insert(name, kept);
    } else {
        tracing::warn!(
            name,
            limit = limits::OBJECTS_MAX,
            "An object is left out: there are more than are followed"
        );
    }
}

/// What metrics call an error.
pub(super) fn kind(error: &ApiError) -> &'static str {
    match error {
        ApiError::Refused { code: 403, .. } => "forbidden",
        ApiError::Refused { code: 401, .. } => "unauthorized",
        ApiError::Refused { .. } => "refused",
        ApiError::TimedOut => "timeout",
        ApiError::Unreachable(_) | ApiError::BrokeOff(_) => "network",
        ApiError::TooLong(_)
        | ApiError::TooMany(_)
        | ApiError::Malformed(_)
        | ApiError::Request(_) => "bad-answer",
    }
}
