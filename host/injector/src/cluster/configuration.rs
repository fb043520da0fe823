//! The `MutatingWebhookConfiguration` by which API servers know whom to trust: only the `caBundle` of
//! our own webhooks in it is ever written.

use std::time::SystemTime;

use k8s_openapi::ByteString;
use kube::core::Request;
use kube::core::params::{Patch, PatchParams};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use outrigger_api_server::{ApiError, ApiServer, Metadata};

/// Where all of them are.
pub(crate) const COLLECTION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// Which one, and which webhooks in it.
#[derive(Debug, Clone)]
pub(crate) struct ConfigurationName {
    pub(crate) name: String,
    /// Empty = all of them.
    pub(crate) webhooks: Vec<String>,
}

/// One version of it.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) version: String,
    /// Our webhooks there, each with its bundle.
    pub(crate) webhooks: Vec<(String, Vec<u8>)>,
    pub(crate) time: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    client_config: ClientConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    ca_bundle: Option<ByteString>,
}

impl ConfigurationName {
    /// None where it does not exist, or has none of our webhooks.
    pub(crate) async fn read(&self, api: &ApiServer) -> Result<Option<Configuration>, ApiError> {
        let path = format!("{}/{}", COLLECTION, self.name);
        let answer = match api.get::<Object>(&path).await {
            Err(error) if error.is(404) => return Ok(None),
            other => other?,
        };
        let ours =
            |webhook: &Webhook| self.webhooks.is_empty() || self.webhooks.contains(&webhook.name);
        let bundle = |webhook: Webhook| {
            let bundle = webhook
                .client_config
                .ca_bundle
                .map_or_else(Vec::new, |bundle| bundle.0);
            (webhook.name, bundle)
        };
        let webhooks: Vec<_> = answer
            .value
            .webhooks
            .into_iter()
            .filter(ours)
            .map(bundle)
            .collect();
        if webhooks.is_empty() {
            return Ok(None);
        }
        Ok(Some(Configuration {
            version: answer.value.metadata.resource_version.unwrap_or_default(),
            webhooks,
            time: answer.time,
        }))
    }

    /// Writes one bundle into each of our webhooks, on condition that the object is still that version.
    pub(crate) async fn write(
        &self,
        api: &ApiServer,
        before: &Configuration,
        bundle: &str,
    ) -> Result<(), ApiError> {
        let bundle = ByteString(bundle.as_bytes().to_vec());
        // Webhooks are merged by their names; nothing else of them is named here.
        let webhooks: Vec<Value> = before
            .webhooks
            .iter()
            .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
            .collect();
        let patch = json!({"metadata": {"resourceVersion": before.version}, "webhooks": webhooks});
        let request = Request::new(COLLECTION).patch(
            &self.name,
            &PatchParams::default(),
            &Patch::Strategic(patch),
        );
        let request = request.map_err(|error| ApiError::Request(error.into()))?;
        api.request::<IgnoredAny>(request).await.map(drop)
    }
}
