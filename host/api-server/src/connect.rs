//! Where the API server is, and which one it is.

use std::path::Path;

use serde::Deserialize;

use crate::client::{ApiError, ApiServer};

/// Where a pod's token is, unless its service account or its template says that it gets none.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// There is no way to an API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a service account nor a kubeconfig says where it is.
    #[error("neither a service account nor a kubeconfig says where the API server is")]
    Nowhere(#[source] kube::config::InferConfigError),
    /// What the pod's service account brings cannot be used.
    #[error("the pod's service account cannot be used")]
    ServiceAccount(#[source] kube::config::InClusterError),
    /// What says so cannot be used.
    #[error("the way to the API server cannot be used")]
    Unusable(#[source] kube::Error),
}

/// The way to the API server, by the pod's service account or the user's kubeconfig.
pub async fn connect() -> Result<ApiServer, ConnectError> {
    let config = kube::Config::infer().await.map_err(ConnectError::Nowhere)?;
    let client = kube::Client::try_from(config).map_err(ConnectError::Unusable)?;
    Ok(ApiServer::new(client))
}

/// The way to the API server by the pod's service account alone; none where the pod has no token. A
/// user's kubeconfig never counts.
pub fn connect_in_cluster() -> Result<Option<ApiServer>, ConnectError> {
    if !Path::new(TOKEN).exists() {
        return Ok(None);
    }
    let config = kube::Config::incluster().map_err(ConnectError::ServiceAccount)?;
    let client = kube::Client::try_from(config).map_err(ConnectError::Unusable)?;
    Ok(Some(ApiServer::new(client)))
}

/// The API server's version, such as `(1, 36)`.
pub async fn server_version(api: &ApiServer) -> Result<(u32, u32), ApiError> {
    #[derive(Deserialize)]
    struct Version {
        major: String,
        minor: String,
    }
    let version: Version = api.get("/version").await?.value;
    // Some providers write `33+`.
    let number = |text: &str| {
        let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
        digits
            .parse()
            .map_err(|_| ApiError::Malformed(serde::de::Error::custom("the version is no number")))
    };
    Ok((number(&version.major)?, number(&version.minor)?))
}
