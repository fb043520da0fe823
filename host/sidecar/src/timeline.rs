//! What happened and why: the one record of every decision of the sidecar.
//!
//! The newest entries are held in memory for `/timeline` and `/events`, all are appended to a file
//! that outlives the sidecar's process, and each is an event of the log too: news at `info`, what follows
//! from news or comes with every start and stop at `debug`.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::limits;

mod journal;

use journal::Journal;

/// The target of the log's events.
const LOG: &str = "outrigger::timeline";

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Grows by one with each entry, over restarts of the sidecar too. The first one is 1.
    pub seq: u64,
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// What kind of thing: a stable word such as `drain`.
    pub kind: Cow<'static, str>,
    /// What somebody should act on; none where it is for the record alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concern: Option<Concern>,
    /// One sentence for people.
    pub message: String,
    /// The facts, for programs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// What somebody should act on: such entries are Events on the pod too, where that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concern {
    /// A profile, a plugin or a render is refused: what was before stands.
    Refused,
    /// A change was taken back, since the replica's health fell after it.
    RolledBack,
    /// A drain did not come to its end in time.
    DrainCutOff,
}

/// The record. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Timeline {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ring: Mutex<VecDeque<Arc<Entry>>>,
    /// The newest entry's number; 0 = none yet.
    newest: watch::Sender<u64>,
    journal: Option<Journal>,
}

impl Timeline {
    /// One that is gone with the process.
    pub fn in_memory() -> Self {
        Self::with(VecDeque::new(), None)
    }

    /// One that goes on where the file ends. A folder that cannot be used is said on the log and on
    /// the timeline itself, which then lives in memory alone: a full or read-only disk never
    /// stops the sidecar.
    pub fn open(file: &Path) -> Self {
        let ring = journal::read(file);
        match Journal::open(file) {
            Ok(journal) => Self::with(ring, Some(journal)),
            Err(error) => {
                warn!(path = %file.display(), %error, "The timeline is not kept on disk");
                let timeline = Self::with(ring, None);
                timeline.record(
                    "timeline",
                    format!(
                        "the timeline is not kept on disk: {}: {error}",
                        file.display()
                    ),
                    [],
                );
                timeline
            }
        }
    }

    fn with(ring: VecDeque<Arc<Entry>>, journal: Option<Journal>) -> Self {
        let newest = ring.back().map_or(0, |entry| entry.seq);
        Self {
            inner: Arc::new(Inner {
                ring: Mutex::new(ring),
                newest: watch::Sender::new(newest),
                journal,
            }),
        }
    }

    /// Puts one thing on record: `timeline.record("files", "set 3 is in place", [("set", 3.into())])`.
    /// Never blocks on the disk. Overlong messages are cut, overlong fields left out and counted.
    pub fn record(
        &self,
        kind: &'static str,
        message: impl Into<String>,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> u64 {
        self.record_with(None, kind, message.into(), fields)
    }

    /// The same for what somebody should act on.
    pub fn warn(
        &self,
        concern: Concern,
        kind: &'static str,
        message: impl Into<String>,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> u64 {
        self.record_with(Some(concern), kind, message.into(), fields)
    }

    fn record_with(
        &self,
        concern: Option<Concern>,
        kind: &'static str,
        message: String,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> u64 {
        let entry = self.put(concern, kind, message, fields);
        if entry.fields.is_empty() {
            info!(target: LOG, seq = entry.seq, kind, "{}", entry.message);
        } else {
            let fields = Value::Object(entry.fields.clone());
            info!(target: LOG, seq = entry.seq, kind, %fields, "{}", entry.message);
        }
        entry.seq
    }

    /// The same for what is no news to whoever reads the log: it is told there at `debug`.
    pub fn note(
        &self,
        kind: &'static str,
        message: impl Into<String>,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> u64 {
        let entry = self.put(None, kind, message.into(), fields);
        let fields = Value::Object(entry.fields.clone());
        debug!(target: LOG, seq = entry.seq, kind, %fields, "{}", entry.message);
        entry.seq
    }

    fn put(
        &self,
        concern: Option<Concern>,
        kind: &'static str,
        message: String,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Arc<Entry> {
        let message = cut(message, limits::TIMELINE_MESSAGE_BYTES_MAX);
        let fields = bounded(fields);
        let mut ring = self.ring();
        let entry = Arc::new(Entry {
            seq: *self.inner.newest.borrow() + 1,
            unix_ms: unix_ms(),
            kind: Cow::Borrowed(kind),
            concern,
            message,
            fields,
        });
        if ring.len() == limits::TIMELINE_ENTRIES {
            ring.pop_front();
        }
        ring.push_back(Arc::clone(&entry));
        // Within the lock: entries reach the file in the order of their numbers.
        if let Some(journal) = &self.inner.journal {
            journal.append(&entry);
        }
        self.inner.newest.send_replace(entry.seq);
        entry
    }

    /// The entries after this number that are still in memory, oldest first; 0 = all.
    pub fn since(&self, seq: u64) -> Vec<Arc<Entry>> {
        let ring = self.ring();
        let from = ring.partition_point(|entry| entry.seq <= seq);
        ring.range(from..).cloned().collect()
    }

    /// The newest entry's number; 0 = none yet.
    pub fn newest(&self) -> u64 {
        *self.inner.newest.borrow()
    }

    /// Follows the record from here on.
    pub fn subscribe(&self) -> Subscription {
        self.subscribe_after(self.newest())
    }

    /// Follows the record from after this entry on.
    pub fn subscribe_after(&self, seq: u64) -> Subscription {
        let mut newest = self.inner.newest.subscribe();
        // What is newer than `seq` already must wake the first `next`.
        newest.mark_changed();
        Subscription {
            seen: seq,
            newest,
            inner: Arc::clone(&self.inner),
        }
    }

    /// How many entries did not reach the disk, because it is too slow or fails.
    pub fn unwritten(&self) -> u64 {
        self.inner.journal.as_ref().map_or(0, Journal::unwritten)
    }

    /// Waits until everything on record so far has been handed to the file; call it before the end
    /// of the process. Blocks for at most a second.
    pub fn flush(&self) {
        if let Some(journal) = &self.inner.journal {
            journal.flush();
        }
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Arc<Entry>>> {
        self.inner.ring()
    }
}

impl Inner {
    fn ring(&self) -> MutexGuard<'_, VecDeque<Arc<Entry>>> {
        // Nothing that could panic runs under this lock.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Someone who follows the record. Holds no entries: who is slow misses only what memory no longer
/// holds.
#[derive(Debug)]
pub struct Subscription {
    seen: u64,
    newest: watch::Receiver<u64>,
    inner: Arc<Inner>,
}

impl Subscription {
    /// Waits for entries that were not given yet; at least one, oldest first.
    ///
    /// # Cancel safety
    /// Safe: what was not given is given next time.
    pub async fn next(&mut self) -> Vec<Arc<Entry>> {
        loop {
            let newest = *self.newest.borrow_and_update();
            if newest > self.seen {
                let ring = self.inner.ring();
                let from = ring.partition_point(|entry| entry.seq <= self.seen);
                let entries: Vec<_> = ring.range(from..).cloned().collect();
                if let Some(last) = entries.last() {
                    self.seen = last.seq;
                    return entries;
                }
                self.seen = newest;
            }
            self.newest
                .changed()
                .await
                .expect("the sender lives as long as self.inner");
        }
    }
}

/// Now, in milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

fn bounded(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    let mut kept = Map::new();
    let (mut bytes, mut left_out) = (0, 0_u32);
    for (name, value) in fields {
        bytes += name.len() + value.to_string().len();
        if bytes > limits::TIMELINE_FIELDS_BYTES_MAX {
            left_out += 1;
        } else {
            kept.insert(name.to_owned(), value);
        }
    }
    if left_out > 0 {
        kept.insert("left-out".to_owned(), left_out.into());
    }
    kept
}

/// Cuts a text at a character's border and marks the cut.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max.saturating_sub('…'.len_utf8())));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
