//! Reads and writes of one object. Paths are absolute; what is written says by whom.

use std::time::SystemTime;

use hyper::{Method, Request, header};
use k8s_openapi::jiff::Timestamp;
use kube::core::params::ListParams;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Answer, ApiError, ApiServer};

/// Objects in one page of a list: whole pages are in memory while they are read.
const PAGE: u32 = 500;
/// Objects of a list.
const LIST_MAX: usize = 50_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    more: String,
}

impl ApiServer {
    /// Reads all objects of a collection that a label selector chooses, each reduced at once; the time is
    /// that of the first page. At most 50,000.
    pub async fn list<T>(
        &self,
        collection: &str,
        selector: &str,
        reduce: impl Fn(&Value) -> T,
    ) -> Result<Answer<Vec<T>>, ApiError> {
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        let (mut all, mut time) = (Vec::new(), None);
        while all.len() < LIST_MAX {
            let request = kube::core::Request::new(collection).list(&params);
            let request = request.map_err(|error| ApiError::Request(error.into()))?;
            let page: Answer<Page> = self.request(request).await?;
            time = time.or(page.time);
            all.extend(page.value.items.iter().map(&reduce));
            let more = page.value.metadata.more;
            if more.is_empty() {
                return Ok(Answer { value: all, time });
            }
            params.continue_token = Some(more);
        }
        Err(ApiError::TooMany(LIST_MAX))
    }

    /// Reads an object.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ApiError> {
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|error| ApiError::Request(error.into()))?;
        self.request(request).await
    }

    /// Creates an object in a collection; 409 where it is there already.
    pub async fn create<T: DeserializeOwned>(
        &self,
        collection: &str,
        object: &Value,
        by: &str,
    ) -> Result<Answer<T>, ApiError> {
        self.write(Method::POST, collection, "application/json", object, by)
            .await
    }

    /// Replaces an object; 409 where its `resourceVersion` is not the one that is given.
    pub async fn replace<T: DeserializeOwned>(
        &self,
        path: &str,
        object: &Value,
        by: &str,
    ) -> Result<Answer<T>, ApiError> {
        self.write(Method::PUT, path, "application/json", object, by)
            .await
    }

    /// Changes an object by a merge patch.
    pub async fn merge_patch<T: DeserializeOwned>(
        &self,
        path: &str,
        patch: &Value,
        by: &str,
    ) -> Result<Answer<T>, ApiError> {
        let kind = "application/merge-patch+json";
        self.write(Method::PATCH, path, kind, patch, by).await
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: &Value,
        by: &str,
    ) -> Result<Answer<T>, ApiError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?fieldManager={by}"))
            .header(header::CONTENT_TYPE, kind)
            .body(body.to_string().into_bytes());
        let request = request.map_err(|error| ApiError::Request(error.into()))?;
        self.request(request).await
    }
}

/// A time as the API server writes it where it counts seconds.
pub fn second_time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.0}")
}

/// A time that the API server wrote.
pub fn read_time(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

/// A time as the API server writes it where it counts microseconds.
pub fn micro_time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}
