//! Events on objects: what was decided about them and why, where `kubectl describe` shows it.
//!
//! Nobody waits for one: what does not fit the queue is counted and dropped.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use kube::core::Request;
use kube::core::params::PostParams;
use outrigger_shutdown::Shutdown;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use crate::client::{ApiError, ApiServer};

/// Events that wait to be sent.
const QUEUE: usize = 256;
/// The same event is not sent again within this time: a controller tries again and again.
const SAME_WITHIN: Duration = Duration::from_mins(10);
/// Events that are remembered for that.
const REMEMBERED: usize = 2048;
/// Between two events: the API server has more to do.
const PACE: Duration = Duration::from_millis(200);
/// At shutdown, how long the events that wait may take.
const LAST_WITHIN: Duration = Duration::from_secs(1);
/// What an Event's note may hold, in bytes.
const NOTE_BYTES: usize = 1024;
/// Who reports events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporter {
    /// What it is, such as `outrigger.dev/webhook`.
    pub controller: &'static str,
    /// Which one: its pod's name.
    pub instance: String,
}

/// What is told about an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The object's namespace.
    pub namespace: String,
    /// The object's API version, such as `apps/v1`.
    pub api_version: String,
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The object's uid.
    pub uid: String,
    /// What was done, in one word for machines, such as `Inject`.
    pub action: &'static str,
    /// Why, in one word for machines, such as `SidecarDenied`.
    pub reason: &'static str,
    /// For people; what is longer than 1,024 bytes is cut.
    pub message: String,
    /// Whether somebody should act.
    pub warning: bool,
}

/// How many events went which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCounts {
    /// Taken by the API server.
    pub sent: u64,
    /// Told already, a short time ago.
    pub repeated: u64,
    /// There were too many.
    pub dropped: u64,
    /// Refused by the API server, or it was not there.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    repeated: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// Takes events. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct EventSink {
    queue: mpsc::Sender<Notice>,
    told: Arc<Mutex<HashMap<u64, Instant>>>,
    counters: Arc<Counters>,
}

/// Sends what a sink takes.
#[derive(Debug)]
pub struct EventSender {
    queue: mpsc::Receiver<Notice>,
    counters: Arc<Counters>,
}

/// A sink, and who sends what it takes.
pub fn events() -> (EventSink, EventSender) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let counters = Arc::new(Counters::default());
    let sink = EventSink {
        queue: sender,
        told: Arc::default(),
        counters: Arc::clone(&counters),
    };
    (
        sink,
        EventSender {
            queue: receiver,
            counters,
        },
    )
}

impl EventSink {
    /// Takes note, unless the same was told a short time ago or too many wait. Never waits.
    pub fn tell(&self, notice: Notice) {
        let counter = if !self.is_new(&notice) {
            &self.counters.repeated
        } else if self.queue.try_send(notice).is_err() {
            &self.counters.dropped
        } else {
            return;
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn is_new(&self, notice: &Notice) -> bool {
        let mut hasher = DefaultHasher::new();
        notice.hash(&mut hasher);
        let now = Instant::now();
        let mut told: MutexGuard<'_, _> = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED {
            told.retain(|_, at| now.duration_since(*at) < SAME_WITHIN);
        }
        if told.len() >= REMEMBERED {
            // So many different ones: forgetting all costs a repetition each.
            told.clear();
        }
        let before = told
            .get(&hasher.finish())
            .is_some_and(|at| now.duration_since(*at) < SAME_WITHIN);
        if !before {
            told.insert(hasher.finish(), now);
        }
        !before
    }

    /// How many events went which way.
    pub fn counts(&self) -> EventCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters {
            sent,
            repeated,
            dropped,
            failed,
        } = &*self.counters;
        EventCounts {
            sent: of(sent),
            repeated: of(repeated),
            dropped: of(dropped),
            failed: of(failed),
        }
    }
}

impl EventSender {
    /// Sends until shutdown, and then what waits already, for a moment.
    pub async fn run(mut self, api: ApiServer, reporter: Reporter, shutdown: Shutdown) {
        let too_late = async {
            shutdown.triggered().await;
            tokio::time::sleep(LAST_WITHIN).await;
        };
        tokio::select! {
            () = self.send_all(&api, &reporter, &shutdown) => {}
            // What is not sent by then is not worth waiting for.
            () = too_late => {}
        }
    }

    async fn send_all(&mut self, api: &ApiServer, reporter: &Reporter, shutdown: &Shutdown) {
        loop {
            let notice = tokio::select! {
                biased;
                () = shutdown.triggered() => break,
                notice = self.queue.recv() => notice,
            };
            // All sinks are gone: nobody will tell anything, but a task ends at shutdown alone.
            let Some(notice) = notice else {
                return shutdown.triggered().await;
            };
            self.send_one(api, &notice, reporter).await;
            tokio::select! {
                () = tokio::time::sleep(PACE) => {}
                () = shutdown.triggered() => {}
            }
        }
        // Whoever runs beside this may have a last word.
        tokio::task::yield_now().await;
        while let Ok(notice) = self.queue.try_recv() {
            self.send_one(api, &notice, reporter).await;
        }
    }

    async fn send_one(&self, api: &ApiServer, notice: &Notice, reporter: &Reporter) {
        let counter = match send(api, notice, reporter).await {
            Ok(()) => &self.counters.sent,
            Err(error) => {
                debug!(error = error.chain(), "An event was not taken");
                &self.counters.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

async fn send(api: &ApiServer, notice: &Notice, reporter: &Reporter) -> Result<(), ApiError> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|error| ApiError::Request(error.to_string().into()))?;
    let body = event(
        notice,
        reporter,
        SystemTime::now(),
        u64::from_be_bytes(number),
    );
    let path = format!(
        "/apis/events.k8s.io/v1/namespaces/{}/events",
        notice.namespace
    );
    let request = Request::new(path).create(&PostParams::default(), body.to_string().into_bytes());
    let request = request.map_err(|error| ApiError::Request(error.into()))?;
    api.request::<IgnoredAny>(request).await.map(drop)
}

fn event(notice: &Notice, reporter: &Reporter, now: SystemTime, number: u64) -> serde_json::Value {
    // Names hold 253 characters, 17 of them the number's.
    let name = format!("{}.{number:016x}", cut(&notice.name, 236));
    let time = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": notice.namespace, "name": name},
        "eventTime": format!("{time:.6}"),
        "reportingController": reporter.controller,
        "reportingInstance": cut(&reporter.instance, 128),
        "action": notice.action,
        "reason": notice.reason,
        "regarding": {
            "apiVersion": notice.api_version,
            "kind": notice.kind,
            "namespace": notice.namespace,
            "name": notice.name,
            "uid": notice.uid,
        },
        "note": cut(&notice.message, NOTE_BYTES),
        "type": if notice.warning { "Warning" } else { "Normal" },
    })
}

/// At most so many bytes of it, ending with a whole character.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(message: &str) -> Notice {
        Notice {
            namespace: "db".to_owned(),
            api_version: "apps/v1".to_owned(),
            kind: "StatefulSet".to_owned(),
            name: "agdb".to_owned(),
            uid: "u-1".to_owned(),
            action: "Inject",
            reason: "SidecarDenied",
            message: message.to_owned(),
            warning: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_is_told_once_in_ten_minutes() {
        let (sink, mut sender) = events();
        sink.tell(notice("no profile"));
        sink.tell(notice("no profile"));
        sink.tell(notice("another"));
        tokio::time::advance(SAME_WITHIN).await;
        sink.tell(notice("no profile"));
        let told: Vec<String> = std::iter::from_fn(|| sender.queue.try_recv().ok())
            .map(|notice| notice.message)
            .collect();
        assert_eq!(told, ["no profile", "another", "no profile"]);
        assert_eq!(
            sink.counts(),
            EventCounts {
                repeated: 1,
                ..EventCounts::default()
            }
        );
    }

    #[tokio::test]
    async fn a_flood_is_dropped_and_memory_stays_bounded() {
        let (sink, sender) = events();
        for number in 0..10_000 {
            sink.tell(notice(&number.to_string()));
        }
        assert_eq!(sink.counts().dropped, 10_000 - QUEUE as u64);
        assert!(sink.told.lock().unwrap().len() <= REMEMBERED);
        assert_eq!(sender.queue.len(), QUEUE);
    }

    #[test]
    fn an_event_is_within_what_the_api_server_takes() {
        let long = Notice {
            name: "n".repeat(250),
            ..notice(&"ä".repeat(1000))
        };
        let event = event(
            &long,
            &Reporter {
                controller: "outrigger.dev/webhook",
                instance: "outrigger-0".to_owned(),
            },
            SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            7,
        );
        assert_eq!(event["note"].as_str().unwrap().len(), 1024);
        assert_eq!(event["metadata"]["name"].as_str().unwrap().len(), 253);
        assert_eq!(event["eventTime"], "1970-01-01T00:00:01.500000Z");
        assert_eq!(event["type"], "Warning");
    }
}
