//! Keeps a store current with one kind of object of all namespaces.

use std::time::Duration;

use outrigger_api_server::{ApiError, ApiServer, Metadata, Scope, Sink};
use serde::de::DeserializeOwned;

use super::store::Store;

/// How long one watch lasts. There are few webhooks, and what they know decides over pods.
const WATCH_FOR: Duration = Duration::from_mins(2);

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

struct Filling<'a, K: Kind>(&'a Store<K::Facts>);

impl<K: Kind> Sink for Filling<'_, K> {
    type Object = K::Object;

    fn metadata(object: &K::Object) -> &Metadata {
        K::metadata(object)
    }

    fn set(&self, object: &K::Object) {
        let Metadata {
            namespace, name, ..
        } = K::metadata(object);
        self.0
            .set(namespace, name, K::facts(object), K::weight(object));
    }

    fn remove(&self, object: &K::Object) {
        let Metadata {
            namespace, name, ..
        } = K::metadata(object);
        self.0.remove(namespace, name);
    }

    fn list_begins(&self) {
        self.0.list_begins();
    }

    fn list_ends(&self) {
        self.0.list_ends();
    }

    fn heard(&self) {
        self.0.heard();
    }

    fn failed(&self, error: &ApiError) {
        self.0.failed(error.chain());
    }
}

/// Keeps `store` current until this is dropped.
pub(crate) async fn follow<K: Kind>(api: &ApiServer, store: &Store<K::Facts>) {
    let scope = Scope {
        kind: K::NAME,
        path: K::PATH.to_owned(),
        labels: K::LABELS.map(str::to_owned),
        fields: None,
        page: K::PAGE,
        watch_for: WATCH_FOR,
    };
    outrigger_api_server::follow(api, &scope, &Filling::<K>(store)).await;
}
