//! Follows one kind of object: lists all of them, then watches what changes, for ever.
//!
//! A watch that has died without a word is the usual wound of such caches. Here a watch that says nothing
//! for longer than [`SILENCE_MAX`] is given up, not even a bookmark; how long ago anything was heard is the
//! sink's to show.

use std::time::Duration;

use kube::core::params::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::client::{ApiError, ApiServer, Lines, Pause, chance};
use crate::metadata::Metadata;

/// A watch that says nothing for so long is dead: bookmarks come about every minute.
const SILENCE_MAX: Duration = Duration::from_secs(140);

/// After that the API server ends the watch of one object by itself, in seconds.
const TOUCHED_FOR: u32 = 120;

/// A watch that ends sooner is not begun again at once.
const SHORT: Duration = Duration::from_secs(1);

/// Which objects are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Their plural, for people.
    pub kind: &'static str,
    /// Where all of them are: of one namespace, or of all.
    pub path: String,
    /// Only those with these labels.
    pub labels: Option<String>,
    /// Only those with these fields.
    pub fields: Option<String>,
    /// How many come in one answer: whole answers are in memory while they are read.
    pub page: u32,
    /// After that the API server ends a watch by itself, and the next one begins where it ended. Shortened
    /// by up to an eighth by chance, so that not all who began together come back together.
    pub watch_for: Duration,
}

impl Scope {
    /// How long the next watch lasts, in seconds.
    fn watch_seconds(&self) -> u32 {
        let seconds = self.watch_for.mul_f64(1.0 - chance() / 8.0).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
    }
}

/// Takes what is followed.
pub trait Sink: Sync {
    /// What is read of an object.
    type Object: DeserializeOwned + Clone + Send;

    /// Its metadata.
    fn metadata(object: &Self::Object) -> &Metadata;
    /// It is there, or has changed.
    fn set(&self, object: &Self::Object);
    /// It is gone.
    fn remove(&self, object: &Self::Object);
    /// A list begins: who is not in it is gone, once it is whole. Until then all stays.
    fn list_begins(&self);
    /// The list is whole.
    fn list_ends(&self);
    /// The API server was heard of: all that is known is current.
    fn heard(&self);
    /// Following broke off; it is tried again.
    fn failed(&self, error: &ApiError);
}

#[derive(Debug, Deserialize)]
struct List<T> {
    metadata: ListMetadata,
    items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    more: Option<String>,
}

/// How a watch ended.
enum Ended {
    /// In order, or broken off: it goes on from this version.
    At(String),
    /// Too much has happened since: everything is listed anew.
    TooOld,
}

/// Keeps `sink` current until this is dropped.
pub async fn follow<S: Sink>(api: &ApiServer, scope: &Scope, sink: &S) {
    let mut pause = Pause::default();
    loop {
        match list(api, scope, sink).await {
            Ok(mut version) => {
                sink.heard();
                pause.reset();
                while let Ended::At(next) = watch(api, scope, sink, version, &mut pause).await {
                    version = next;
                }
                debug!(
                    kind = scope.kind,
                    "Listing anew: the watch is too far behind"
                );
            }
            Err(error) => failed(scope, sink, &error, &pause),
        }
        tokio::time::sleep(pause.next()).await;
    }
}

async fn list<S: Sink>(api: &ApiServer, scope: &Scope, sink: &S) -> Result<String, ApiError> {
    let mut params = ListParams {
        label_selector: scope.labels.clone(),
        field_selector: scope.fields.clone(),
        limit: Some(scope.page),
        ..ListParams::default()
    };
    sink.list_begins();
    loop {
        let request = Request::new(&scope.path)
            .list(&params)
            .map_err(|error| ApiError::Request(error.into()))?;
        let list: List<S::Object> = api.request(request).await?.value;
        for object in list.items {
            sink.set(&object);
        }
        let more = list.metadata.more.filter(|more| !more.is_empty());
        if more.is_none() {
            sink.list_ends();
            return Ok(list.metadata.resource_version);
        }
        params.continue_token = more;
    }
}

async fn watch<S: Sink>(
    api: &ApiServer,
    scope: &Scope,
    sink: &S,
    version: String,
    pause: &mut Pause,
) -> Ended {
    let mut version = version;
    let begun = Instant::now();
    match watched(api, scope, sink, &mut version, pause).await {
        Ok(()) => {
            if begun.elapsed() < SHORT {
                tokio::time::sleep(pause.next()).await;
            }
            Ended::At(version)
        }
        Err(error) if error.is(410) => Ended::TooOld,
        Err(error) => {
            failed(scope, sink, &error, pause);
            tokio::time::sleep(pause.next()).await;
            Ended::At(version)
        }
    }
}

async fn watched<S: Sink>(
    api: &ApiServer,
    scope: &Scope,
    sink: &S,
    version: &mut String,
    pause: &mut Pause,
) -> Result<(), ApiError> {
    let params = WatchParams {
        label_selector: scope.labels.clone(),
        field_selector: scope.fields.clone(),
        timeout: Some(scope.watch_seconds()),
        ..WatchParams::default()
    };
    let request = Request::new(&scope.path)
        .watch(&params, version)
        .map_err(|error| ApiError::Request(error.into()))?;
    let mut lines = api.lines(request).await?;
    sink.heard();
    while let Some(line) = next(&mut lines).await? {
        let object = match serde_json::from_slice(&line).map_err(ApiError::Malformed)? {
            WatchEvent::<S::Object>::Added(object) | WatchEvent::Modified(object) => {
                sink.set(&object);
                object
            }
            WatchEvent::Deleted(object) => {
                sink.remove(&object);
                object
            }
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                sink.heard();
                pause.reset();
                continue;
            }
            WatchEvent::Error(status) => {
                return Err(ApiError::Refused {
                    code: status.code,
                    message: status.message.clone(),
                    retry_after: None,
                });
            }
        };
        if let Some(seen) = &S::metadata(&object).resource_version {
            version.clone_from(seen);
        }
        sink.heard();
        pause.reset();
    }
    Ok(())
}

/// Tells whenever one object was touched, so that somebody reads it. Where that may not be watched,
/// nobody is told: the reader looks now and then anyway.
pub async fn touched(api: &ApiServer, collection: &str, name: &str, changed: &Notify) {
    let mut pause = Pause::default();
    loop {
        let begun = Instant::now();
        if let Err(error) = touches(api, collection, name, changed).await {
            debug!(
                collection,
                name,
                error = error.chain(),
                "An object cannot be watched"
            );
        }
        if begun.elapsed() > SHORT {
            pause.reset();
        }
        tokio::time::sleep(pause.next()).await;
    }
}

async fn touches(
    api: &ApiServer,
    collection: &str,
    name: &str,
    changed: &Notify,
) -> Result<(), ApiError> {
    let params = WatchParams {
        field_selector: Some(format!("metadata.name={name}")),
        timeout: Some(TOUCHED_FOR),
        ..WatchParams::default()
    };
    // From any version on: the first line is the object as it is.
    let request = Request::new(collection)
        .watch(&params, "0")
        .map_err(|error| ApiError::Request(error.into()))?;
    let mut lines = api.lines(request).await?;
    while let Some(line) = next(&mut lines).await? {
        match serde_json::from_slice(&line).map_err(ApiError::Malformed)? {
            WatchEvent::<IgnoredAny>::Bookmark(_) => {}
            WatchEvent::Error(status) => {
                return Err(ApiError::Refused {
                    code: status.code,
                    message: status.message.clone(),
                    retry_after: None,
                });
            }
            WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => {
                changed.notify_one();
            }
        }
    }
    Ok(())
}

async fn next(lines: &mut Lines) -> Result<Option<Vec<u8>>, ApiError> {
    tokio::time::timeout(SILENCE_MAX, lines.next())
        .await
        .unwrap_or(Err(ApiError::TimedOut))
}

/// Warns of what has just begun; what lasts is the sink's to show.
fn failed<S: Sink>(scope: &Scope, sink: &S, error: &ApiError, pause: &Pause) {
    if pause.is_first() {
        warn!(
            kind = scope.kind,
            error = error.chain(),
            hint = error.hint(),
            "The cluster cannot be followed"
        );
    } else {
        debug!(
            kind = scope.kind,
            error = error.chain(),
            "The cluster cannot be followed still"
        );
    }
    sink.failed(error);
}
