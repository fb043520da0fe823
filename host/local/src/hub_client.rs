//! How other terminals, and the process that started it, talk to a running `up`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::events::Timed;
use crate::hub_api::PsAnswer;
use crate::log_lines::LogLine;

/// The socket's name in the state folder.
pub const SOCKET: &str = "hub.sock";
/// The folder below the root of all states where running ones are noted.
pub const RUNNING: &str = "running";
/// An answer is not longer.
const ANSWER_BYTES: usize = 8 << 20;
/// A line of a stream is not longer.
const LINE_BYTES: usize = 1 << 20;
/// An answer takes no longer, streams excepted.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running `up` could not be found or asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// None runs.
    #[error("no `outrigger up` is running")]
    NoneRuns,
    /// Several run.
    #[error("several are running: name one of them with `--state DIR`:\n{}", .states.iter().map(|state| format!("  {}", state.display())).collect::<Vec<_>>().join("\n"))]
    Several {
        /// Their state folders.
        states: Vec<PathBuf>,
    },
    /// It does not answer.
    #[error("no `outrigger up` answers at {socket}")]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The conversation broke.
    #[error("the conversation with the running `up` broke off: {0}")]
    Broken(String),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

/// What is noted of a running `up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunningUp {
    /// Its name.
    pub name: String,
    /// Its state folder.
    pub state: PathBuf,
    /// The process that the user started.
    pub pid: u32,
}

/// A running `up`.
#[derive(Debug, Clone)]
pub struct HubClient {
    socket: PathBuf,
}

/// All that run, of those whose states lie at `root` or were noted there.
pub async fn running(root: &Path) -> Vec<RunningUp> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(root.join(RUNNING));
    for entry in entries.into_iter().flatten().flatten() {
        let noted: Option<RunningUp> = std::fs::read(entry.path())
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(up) = noted
            && UnixStream::connect(up.state.join(SOCKET)).await.is_ok()
        {
            found.push(up);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The `up` with this state folder; without one, the only one that runs.
pub async fn find(root: &Path, state: Option<&Path>) -> Result<HubClient, ClientError> {
    if let Some(state) = state {
        return Ok(HubClient::at(state));
    }
    let mut all = running(root).await;
    match all.len() {
        0 => Err(ClientError::NoneRuns),
        1 => Ok(HubClient::at(&all.remove(0).state)),
        _ => Err(ClientError::Several {
            states: all.into_iter().map(|up| up.state).collect(),
        }),
    }
}

impl HubClient {
    /// The one with this state folder.
    pub fn at(state: &Path) -> Self {
        Self {
            socket: state.join(SOCKET),
        }
    }

    /// How it is.
    pub async fn ps(&self) -> Result<PsAnswer, ClientError> {
        let body = self.exchange(Method::GET, "/v1/ps", None).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Broken(error.to_string()))
    }

    /// Another number of replicas.
    pub async fn scale(&self, set: Option<&str>, replicas: u32) -> Result<(), ClientError> {
        let body = json!({ "replicas": replicas, "statefulset": set });
        self.post("/v1/scale", &body).await
    }

    /// Restarts every replica, one at a time; returns when it has begun.
    pub async fn roll(&self, set: Option<&str>) -> Result<(), ClientError> {
        self.post("/v1/roll", &json!({ "statefulset": set })).await
    }

    /// Stops everything in order; returns when it has begun.
    pub async fn down(&self) -> Result<(), ClientError> {
        self.post("/v1/down", &json!({})).await
    }

    /// The same with a reason other than `outrigger down`.
    pub(crate) async fn down_because(&self, reason: &str) -> Result<(), ClientError> {
        self.post("/v1/down", &json!({ "reason": reason })).await
    }

    /// Replaces a pod by a new one.
    pub async fn restart(&self, pod: &str) -> Result<(), ClientError> {
        self.post(&format!("/v1/pods/{}/delete", segment(pod)), &json!({}))
            .await
    }

    /// Sends a signal to a pod's workload.
    pub async fn kill(&self, pod: &str, signal: &str) -> Result<(), ClientError> {
        let body = json!({ "signal": signal });
        self.post(&format!("/v1/pods/{}/kill", segment(pod)), &body)
            .await
    }

    /// What containers wrote, and with `follow` what they write from now on.
    pub async fn logs(
        &self,
        pod: Option<&str>,
        follow: bool,
    ) -> Result<Lines<LogLine>, ClientError> {
        let pod = pod
            .map(|pod| format!("&pod={}", segment(pod)))
            .unwrap_or_default();
        self.lines(&format!("/v1/logs?follow={follow}{pod}")).await
    }

    /// What happened, and what happens from now on.
    pub async fn events(&self) -> Result<Lines<Timed>, ClientError> {
        self.lines("/v1/events").await
    }

    /// Waits until a condition on its state holds. It ends with an error when the `up` ends.
    pub async fn wait_until(
        &self,
        condition: impl Fn(&PsAnswer) -> bool,
    ) -> Result<PsAnswer, ClientError> {
        loop {
            let answer = self.ps().await?;
            if condition(&answer) {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until it has ended.
    pub async fn gone(&self) {
        while self.connect().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Connect {
                socket: self.socket.clone(),
                source,
            })
    }

    async fn open(&self) -> Result<(SendRequest<Full<Bytes>>, JoinSet<()>), ClientError> {
        let stream = self.connect().await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ClientError::Broken(error.to_string()))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // The request that needs it tells what went wrong.
            let _ignored = connection.await;
        });
        Ok((sender, driver))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(Response<Incoming>, JoinSet<()>), ClientError> {
        let broken = |error: &dyn std::fmt::Display| ClientError::Broken(error.to_string());
        let (mut sender, driver) = self.open().await?;
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "hub")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| broken(&error))?;
        let response = tokio::time::timeout(TIMEOUT, sender.send_request(request))
            .await
            .map_err(|_| broken(&"no answer within 30 s"))?
            .map_err(|error| broken(&error))?;
        if response.status().is_success() {
            return Ok((response, driver));
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await;
        let said: Option<Value> = body
            .ok()
            .and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
        let said = said
            .and_then(|said| said.get("error")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| format!("the running `up` answered {status}"));
        Err(ClientError::Refused(said))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Bytes, ClientError> {
        let (response, _driver) = self.send(method, path, body).await?;
        Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .map_err(|error| ClientError::Broken(error.to_string()))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(), ClientError> {
        self.exchange(Method::POST, path, Some(body))
            .await
            .map(drop)
    }

    async fn lines<T>(&self, path: &str) -> Result<Lines<T>, ClientError> {
        let (response, driver) = self.send(Method::GET, path, None).await?;
        Ok(Lines {
            body: response.into_body(),
            _driver: driver,
            pending: Vec::new(),
            kind: std::marker::PhantomData,
        })
    }
}

/// A path segment without what would change the path.
fn segment(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        .collect()
}

/// A stream of objects, one on each line.
#[derive(Debug)]
pub struct Lines<T> {
    body: Incoming,
    _driver: JoinSet<()>,
    pending: Vec<u8>,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next one; none at the end.
    ///
    /// # Cancel safety
    /// Safe: what was read is kept.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = line.trim_ascii();
                // Server-sent events carry their object after this word.
                let object = line.strip_prefix(b"data:").unwrap_or(line);
                if object.is_empty() || object.starts_with(b":") {
                    continue;
                }
                return serde_json::from_slice(object)
                    .map(Some)
                    .map_err(|error| ClientError::Broken(error.to_string()));
            }
            if self.pending.len() > LINE_BYTES {
                return Err(ClientError::Broken("a line is too long".to_owned()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        self.pending
                            .extend_from_slice(&data.copy_to_bytes(data.remaining()));
                    }
                }
                Some(Err(error)) => return Err(ClientError::Broken(error.to_string())),
            }
        }
    }
}
