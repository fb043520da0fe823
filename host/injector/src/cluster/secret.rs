//! The Secret that all replicas of the webhook share.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::ByteString;
use kube::core::Request;
use kube::core::params::{Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use outrigger_api_server::{ApiError, ApiServer, Metadata};

/// Which one.
#[derive(Debug, Clone)]
pub(crate) struct SecretName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One version of it.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) version: String,
    pub(crate) data: BTreeMap<String, ByteString>,
    pub(crate) time: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, ByteString>>,
}

impl SecretName {
    pub(crate) fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    /// None where it does not exist.
    pub(crate) async fn read(&self, api: &ApiServer) -> Result<Option<Secret>, ApiError> {
        let path = format!("{}/{}", self.collection(), self.name);
        let answer = match api.get::<Object>(&path).await {
            Err(error) if error.is(404) => return Ok(None),
            other => other?,
        };
        Ok(Some(Secret {
            version: answer.value.metadata.resource_version.unwrap_or_default(),
            data: answer.value.data.unwrap_or_default(),
            time: answer.time,
        }))
    }

    /// Replaces our keys in `before`, on condition that it is still that version. Keys that others put
    /// there, labels and annotations stay.
    pub(crate) async fn update(
        &self,
        api: &ApiServer,
        before: &Secret,
        data: &BTreeMap<String, ByteString>,
        ours: &[&str],
    ) -> Result<(), ApiError> {
        let mut keys = serde_json::Map::new();
        for key in ours {
            if before.data.contains_key(*key) {
                keys.insert((*key).to_owned(), serde_json::Value::Null);
            }
        }
        for (key, value) in data {
            keys.insert(key.clone(), json!(value));
        }
        let patch = json!({"metadata": {"resourceVersion": before.version}, "data": keys});
        let request = Request::new(self.collection()).patch(
            &self.name,
            &PatchParams::default(),
            &Patch::Merge(patch),
        );
        let request = request.map_err(|error| ApiError::Request(error.into()))?;
        api.request::<IgnoredAny>(request).await.map(drop)
    }

    /// Makes it, on condition that it does not exist.
    pub(crate) async fn create(
        &self,
        api: &ApiServer,
        data: &BTreeMap<String, ByteString>,
    ) -> Result<(), ApiError> {
        let body = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": self.namespace, "name": self.name},
            "type": "Opaque",
            "data": data,
        });
        let request = Request::new(self.collection())
            .create(&PostParams::default(), body.to_string().into_bytes());
        let request = request.map_err(|error| ApiError::Request(error.into()))?;
        api.request::<IgnoredAny>(request).await.map(drop)
    }
}
