//! The API server by plain requests, where a test sends hundreds: `kubectl proxy` adds who we are.

use std::process::Stdio;

use outrigger_tests::Http;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::scene::Scene;

/// It ends with this.
pub(crate) struct Api {
    _proxy: Child,
    http: Http,
}

impl Api {
    /// Starts the proxy on a free port of loopback.
    pub(crate) async fn start(scene: &Scene) -> Self {
        let mut proxy = scene
            .cluster
            .program("kubectl")
            .args(["proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It complains of requests that are given up with the test.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
        // Starting to serve on 127.0.0.1:40123
        let said = lines.next_line().await.unwrap().unwrap_or_default();
        let address = said.rsplit(' ').next().unwrap();
        Self {
            http: Http::tcp(address),
            _proxy: proxy,
        }
    }

    /// What would come of creating a pod in a namespace; nothing is kept. No field goes unknown.
    pub(crate) async fn would_create(&self, namespace: &str, pod: &Value) -> Result<Value, String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict");
        let answer = self.http.post(&path, pod).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status == 201 {
            return Ok(answer.json());
        }
        Err(refusal(answer.text()))
    }

    /// Reads a path of one of the endpoints of a Service that are ready.
    pub(crate) async fn read(
        &self,
        namespace: &str,
        service_and_port: &str,
        path: &str,
    ) -> Result<(), String> {
        let path =
            format!("/api/v1/namespaces/{namespace}/services/{service_and_port}/proxy{path}");
        let answer = self.http.get(&path).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(refusal(answer.text()))
        }
    }
}

/// What the API server says of a request that failed.
fn refusal(text: String) -> String {
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    status["message"].as_str().map_or(text, str::to_owned)
}
