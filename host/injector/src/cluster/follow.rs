//! Follows one kind of object: lists all of them, then watches what changes, for ever.
//!
//! A watch that has died without a word is the usual wound of such caches. Here the API server is asked
//! to end each watch after [`WATCH_FOR`], and a watch that is silent for longer is given up; how long ago
//! anything was heard is visible ([`super::KindStatus::silent`]).

use std::time::Duration;

use kube::core::params::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::api::{ApiError, ApiServer, Lines, Pause};
use super::objects::Metadata;
use super::store::Store;

/// After that the API server ends a watch by itself, in seconds.
const WATCH_FOR: u32 = 120;
/// A watch that says nothing for so long is dead: bookmarks come about every minute, and its own end
/// after [`WATCH_FOR`] at the latest.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_FOR as u64 + 20);

/// A watch that ends sooner is not begun again at once.
const SHORT: Duration = Duration::from_secs(1);

/// A kind of object, and what is kept of one.
pub(crate) trait Kind: Send + Sync + 'static {
    /// What is read.
    type Object: DeserializeOwned + Clone + Send;
    /// What is kept.
    type Facts: PartialEq + Send + Sync + 'static;
    /// The plural.
    const NAME: &'static str;
    /// Where all of them are, in all namespaces.
    const PATH: &'static str;
    /// Only those with this label.
    const LABELS: Option<&'static str>;
    /// How many come in one answer: whole answers are in memory while they are read.
    const PAGE: u32;

    fn metadata(object: &Self::Object) -> &Metadata;
    fn facts(object: &Self::Object) -> Self::Facts;
    fn weight(object: &Self::Object) -> usize;
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

/// Keeps `store` current until it is dropped.
pub(crate) async fn follow<K: Kind>(api: &ApiServer, store: &Store<K::Facts>) {
    let mut pause = Pause::default();
    loop {
        match list::<K>(api, store).await {
            Ok(mut version) => {
                store.heard();
                pause.reset();
                while let Ended::At(next) = watch::<K>(api, store, version, &mut pause).await {
                    version = next;
                }
                debug!(kind = K::NAME, "Listing anew: the watch is too far behind");
            }
            Err(error) => failed::<K>(store, &error),
        }
        tokio::time::sleep(pause.next()).await;
    }
}

async fn list<K: Kind>(api: &ApiServer, store: &Store<K::Facts>) -> Result<String, ApiError> {
    let mut params = ListParams {
        label_selector: K::LABELS.map(str::to_owned),
        limit: Some(K::PAGE),
        ..ListParams::default()
    };
    store.list_begins();
    loop {
        let request = Request::new(K::PATH)
            .list(&params)
            .map_err(|error| ApiError::Request(error.into()))?;
        let list: List<K::Object> = api.request(request).await?.value;
        for object in list.items {
            take::<K>(store, &object);
        }
        let more = list.metadata.more.filter(|more| !more.is_empty());
        if more.is_none() {
            store.list_ends();
            return Ok(list.metadata.resource_version);
        }
        params.continue_token = more;
    }
}

fn take<K: Kind>(store: &Store<K::Facts>, object: &K::Object) {
    let Metadata {
        namespace, name, ..
    } = K::metadata(object);
    store.set(namespace, name, K::facts(object), K::weight(object));
}

async fn watch<K: Kind>(
    api: &ApiServer,
    store: &Store<K::Facts>,
    version: String,
    pause: &mut Pause,
) -> Ended {
    let mut version = version;
    let begun = Instant::now();
    match watched::<K>(api, store, &mut version, pause).await {
        Ok(()) => {
            if begun.elapsed() < SHORT {
                tokio::time::sleep(pause.next()).await;
            }
            Ended::At(version)
        }
        Err(error) if error.is(410) => Ended::TooOld,
        Err(error) => {
            failed::<K>(store, &error);
            tokio::time::sleep(pause.next()).await;
            Ended::At(version)
        }
    }
}

async fn watched<K: Kind>(
    api: &ApiServer,
    store: &Store<K::Facts>,
    version: &mut String,
    pause: &mut Pause,
) -> Result<(), ApiError> {
    let params = WatchParams {
        label_selector: K::LABELS.map(str::to_owned),
        timeout: Some(WATCH_FOR),
        ..WatchParams::default()
    };
    let request = Request::new(K::PATH)
        .watch(&params, version)
        .map_err(|error| ApiError::Request(error.into()))?;
    let mut lines = api.lines(request).await?;
    store.heard();
    while let Some(line) = next(&mut lines).await? {
        let object = match serde_json::from_slice(&line).map_err(ApiError::Malformed)? {
            WatchEvent::<K::Object>::Added(object) | WatchEvent::Modified(object) => {
                take::<K>(store, &object);
                object
            }
            WatchEvent::Deleted(object) => {
                let Metadata {
                    namespace, name, ..
                } = K::metadata(&object);
                store.remove(namespace, name);
                object
            }
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                store.heard();
                pause.reset();
                continue;
            }
            WatchEvent::Error(status) => {
                return Err(ApiError::Refused {
                    code: status.code,
                    message: status.message.clone(),
                });
            }
        };
        if let Some(seen) = &K::metadata(&object).resource_version {
            version.clone_from(seen);
        }
        store.heard();
        pause.reset();
    }
    Ok(())
}

/// Tells whenever one object was touched, so that somebody reads it. Where that may not be watched,
/// nobody is told: the reader looks now and then anyway.
pub(crate) async fn touched(api: &ApiServer, collection: &str, name: &str, changed: &Notify) {
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
        timeout: Some(WATCH_FOR),
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

fn failed<K: Kind>(store: &Store<K::Facts>, error: &ApiError) {
    warn!(
        kind = K::NAME,
        error = error.chain(),
        hint = error.hint(),
        "The cluster cannot be followed"
    );
    store.failed(error.chain());
}
