//! Where the API server is, and which one it is.

use std::path::Path;

use serde::Deserialize;

use crate::client::{ApiError, ApiServer};

/// Where a pod's token is, unless its service account or its template says that it gets none.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// There is no way to an API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig has no such context, or cannot be read.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
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
    let config = kube::Config::infer().await;
    by(config.map_err(ConnectError::Nowhere)?)
}

/// The way to the API server by a context of the user's kubeconfig.
pub async fn connect_by_context(context: &str) -> Result<ApiServer, ConnectError> {
    let options = kube::config::KubeConfigOptions {
        context: Some(context.to_owned()),
        ..kube::config::KubeConfigOptions::default()
    };
    let config = kube::Config::from_kubeconfig(&options).await;
    by(config.map_err(ConnectError::Kubeconfig)?)
}

/// The way to the API server by the pod's service account alone; none where the pod has no token. A
/// user's kubeconfig never counts.
pub fn connect_in_cluster() -> Result<Option<ApiServer>, ConnectError> {
    if !Path::new(TOKEN).exists() {
        return Ok(None);
    }
    let config = kube::Config::incluster();
    by(config.map_err(ConnectError::ServiceAccount)?).map(Some)
}

fn by(mut config: kube::Config) -> Result<ApiServer, ConnectError> {
    // It would ask fifteen times where the answer is 429, 503 or 504, within the time of one request of
    // ours: the answer would never be seen. Who asks knows when to ask again.
    config.default_retry = false;
    let client = kube::Client::try_from(config).map_err(ConnectError::Unusable)?;
    Ok(ApiServer::new(client))
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_refusal_is_an_answer_and_asked_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let api = by(kube::Config::new(url.parse().unwrap())).unwrap();
        let body = r#"{"message":"Cannot evict pod.","details":{"causes":[{"reason":"DisruptionBudget","message":"The disruption budget db needs 2 healthy pods and has 2 currently"}]}}"#;
        let answer = format!(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let server = async {
            for asked in 1.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert_eq!(asked, 1, "it was asked again");
                let mut read = [0; 4096];
                assert!(stream.read(&mut read).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
                // Closed, so that another request is another connection.
            }
        };
        let refused = tokio::select! {
            refused = api.get::<serde_json::Value>("/api/v1/namespaces/demo/pods/db-0") => refused.unwrap_err(),
            () = server => unreachable!("it serves on"),
        };
        match refused {
            ApiError::Refused {
                code: 429,
                message,
                retry_after: Some(after),
            } => {
                assert!(message.contains("budget db needs 2"), "{message}");
                assert_eq!(after.as_secs(), 7);
            }
            other => unreachable!("{other:?}"),
        }
    }
}
