//! Reads and writes of one object. Paths are absolute; what is written says by whom.

use std::time::SystemTime;

use hyper::{Method, Request, header};
use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Answer, ApiError, ApiServer};

impl ApiServer {
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

/// A time as the API server writes it where it counts microseconds.
pub fn micro_time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}
