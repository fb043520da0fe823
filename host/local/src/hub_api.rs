//! What a running `up` answers on `hub.sock`, to the sidecars and to other terminals.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/ps` | [`PsAnswer`] |
//! | `GET /v1/logs?pod=&follow=` | log lines, one JSON object each |
//! | `GET /v1/events` | events so far and to come, server-sent |
//! | `POST /v1/scale` `{"replicas":5}` | 202 |
//! | `POST /v1/roll` | 202, done at the event `roll-done` |
//! | `POST /v1/down` `{"reason":"…"}` | 202, everything ends in order |
//! | `POST /v1/pods/{pod}/delete` | 202, another pod takes its place |
//! | `POST /v1/pods/{pod}/kill` `{"signal":"KILL"}` | 202 |
//! | `POST /v1/pods/{pod}/signal` `{"signal":"INT"}` | 202 |
//! | `POST /v1/pods/{pod}/restart` `{"reason":"…","signal":"INT"}` | 202, the workload's container starts anew |
//! | `POST /v1/pods/{pod}/turn` `{"reason":"…"}` | 200 granted, 202 not yet; up to 25 s |
//! | `DELETE /v1/pods/{pod}/turn` | 204 |
//!
//! Refusals are `{"error":"…"}` with 400, 404 or 409. `scale` and `roll` take `"statefulset"` where
//! there are several.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream, StreamExt as _};
use nix::sys::signal::Signal;
use outrigger_peers::{Phase, ReplicaName};
use outrigger_shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::controller::{Controller, Order, OrderError};
use crate::events::{Events, ReachablePort};
use crate::log_lines::Logs;
use crate::supervise::ContainerStatus;

/// How long a request for the turn is held.
const TURN: Duration = Duration::from_secs(25);

/// How an `up` is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PsAnswer {
    /// What it was started with.
    pub info: Info,
    /// Its `StatefulSet`s.
    pub stateful_sets: Vec<SetRow>,
}

/// What an `up` was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its state folder.
    pub state: PathBuf,
    /// The process that the user started.
    pub pid: u32,
    /// Whether it shares this machine's network and files.
    pub plain: bool,
    /// The manifests.
    pub inputs: Vec<PathBuf>,
}

/// A StatefulSet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetRow {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// How many replicas there should be.
    pub desired: u32,
    /// How many are ready.
    pub ready: u32,
    /// Whether all that should be there are ready, and no others are.
    pub settled: bool,
    /// Whether every replica is being restarted.
    pub rolling: bool,
    /// Its pods in ordinal order.
    pub pods: Vec<PodRow>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PodRow {
    /// Its name.
    pub name: String,
    /// New with each pod.
    pub uid: String,
    /// Its address in the cluster.
    pub ip: std::net::Ipv4Addr,
    /// How others see it.
    pub phase: Phase,
    /// Its role, where its sidecar told one.
    pub role: Option<String>,
    /// Why it is not ready, or what it says besides.
    pub reasons: Vec<String>,
    /// How often its containers were started again.
    pub restarts: u32,
    /// Where it can be reached from this machine.
    pub reachable: Vec<ReachablePort>,
    /// Its containers.
    pub containers: Vec<ContainerStatus>,
}

/// What the server needs.
#[derive(Debug, Clone)]
pub struct Api {
    /// The controllers by the names of their `StatefulSet`s.
    pub controllers: Arc<BTreeMap<String, Controller>>,
    /// What containers write.
    pub logs: Logs,
    /// What happens.
    pub events: Events,
    /// What it was started with.
    pub info: Arc<Info>,
    /// Triggered by `down`.
    pub down: Shutdown,
}

/// The server's routes.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/ps", get(ps))
        .route("/v1/logs", get(logs))
        .route("/v1/events", get(events))
        .route("/v1/scale", post(scale))
        .route("/v1/roll", post(roll))
        .route("/v1/down", post(down))
        .route("/v1/pods/{pod}/delete", post(delete))
        .route("/v1/pods/{pod}/kill", post(signal))
        .route("/v1/pods/{pod}/signal", post(signal))
        .route("/v1/pods/{pod}/restart", post(restart))
        .route("/v1/pods/{pod}/turn", post(turn).delete(give_back))
        .with_state(api)
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("there is no pod `{0}`")]
    NoPod(String),
    #[error("there is no StatefulSet `{0}`")]
    NoSet(String),
    #[error("there are several StatefulSets: name one of {0}")]
    WhichSet(String),
    #[error("`{0}` is no signal: TERM, INT, HUP, QUIT, USR1, USR2, KILL, STOP and CONT are")]
    NoSignal(String),
    #[error(transparent)]
    Order(#[from] OrderError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoPod(_) | Self::NoSet(_) | Self::Order(OrderError::NoPod(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::WhichSet(_) | Self::NoSignal(_) | Self::Order(OrderError::TooMany) => {
                StatusCode::BAD_REQUEST
            }
            Self::Order(_) => StatusCode::CONFLICT,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

type Outcome = Result<StatusCode, Refusal>;

impl Api {
    fn pod(&self, name: &str) -> Result<(&Controller, u32), Refusal> {
        ReplicaName::from_str(name)
            .ok()
            .and_then(|replica| {
                let controller = self.controllers.get(&replica.stateful_set)?;
                Some((controller, replica.ordinal.0))
            })
            .ok_or_else(|| Refusal::NoPod(name.to_owned()))
    }

    fn set(&self, name: Option<&str>) -> Result<&Controller, Refusal> {
        match name {
            Some(name) => self
                .controllers
                .get(name)
                .ok_or_else(|| Refusal::NoSet(name.to_owned())),
            None if self.controllers.len() == 1 => {
                Ok(self.controllers.values().next().expect("there is one"))
            }
            None => {
                let names: Vec<&str> = self.controllers.keys().map(String::as_str).collect();
                Err(Refusal::WhichSet(names.join(", ")))
            }
        }
    }

    fn answer(&self) -> PsAnswer {
        let stateful_sets = self.controllers.values().map(|controller| {
            let snapshot = controller.snapshot();
            let pods: Vec<PodRow> = snapshot
                .pods
                .iter()
                .map(|(pod, _)| PodRow {
                    name: pod.name.clone(),
                    uid: pod.uid.clone(),
                    ip: pod.ip,
                    phase: pod.phase(),
                    role: pod.role.clone(),
                    reasons: pod.reasons.clone(),
                    restarts: pod
                        .containers
                        .iter()
                        .map(|container| container.restarts)
                        .sum(),
                    reachable: pod.reachable.clone(),
                    containers: pod.containers.clone(),
                })
                .collect();
            let ready = pods.iter().filter(|pod| pod.phase == Phase::Ready).count();
            SetRow {
                name: snapshot.name,
                namespace: snapshot.namespace,
                desired: snapshot.desired,
                ready: u32::try_from(ready).unwrap_or(u32::MAX),
                settled: snapshot.settled,
                rolling: snapshot.rolling,
                pods,
            }
        });
        PsAnswer {
            info: Info::clone(&self.info),
            stateful_sets: stateful_sets.collect(),
        }
    }
}

async fn ps(State(api): State<Api>) -> Json<PsAnswer> {
    Json(api.answer())
}

#[derive(Deserialize)]
struct LogsQuery {
    pod: Option<String>,
    #[serde(default)]
    follow: bool,
}

async fn logs(State(api): State<Api>, Query(query): Query<LogsQuery>) -> Result<Response, Refusal> {
    if let Some(pod) = &query.pod {
        api.pod(pod)?;
    }
    let (past, coming) = api.logs.follow(query.pod.as_deref());
    let past = stream::iter(past);
    let coming = receive(coming).filter(move |line| {
        let wanted = query.pod.as_ref().is_none_or(|pod| *pod == line.pod);
        std::future::ready(wanted)
    });
    let lines = if query.follow {
        past.chain(coming).boxed()
    } else {
        past.boxed()
    };
    let body = lines.map(|line| {
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        Ok::<_, Infallible>(text)
    });
    let kind = [("content-type", "application/x-ndjson")];
    Ok((kind, axum::body::Body::from_stream(body)).into_response())
}

async fn events(State(api): State<Api>) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let (past, coming) = api.events.follow();
    let all = stream::iter(past).chain(receive(coming));
    Sse::new(all.map(|event| {
        let text = serde_json::to_string(&event).unwrap_or_default();
        Ok(sse::Event::default().data(text))
    }))
}

/// What a channel brings; what a slow listener missed is left out.
fn receive<T: Clone + Send + 'static>(
    receiver: tokio::sync::broadcast::Receiver<T>,
) -> impl Stream<Item = T> + Send {
    stream::unfold(receiver, |mut receiver| async {
        loop {
            match receiver.recv().await {
                Ok(item) => return Some((item, receiver)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

#[derive(Deserialize)]
struct ScaleBody {
    replicas: u32,
    statefulset: Option<String>,
}

async fn scale(State(api): State<Api>, Json(body): Json<ScaleBody>) -> Outcome {
    let set = api.set(body.statefulset.as_deref())?;
    set.order(Order::Scale(body.replicas)).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Default, Deserialize)]
struct RollBody {
    statefulset: Option<String>,
}

async fn roll(State(api): State<Api>, body: Option<Json<RollBody>>) -> Outcome {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    api.set(body.statefulset.as_deref())?
        .order(Order::Roll)
        .await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Default, Deserialize)]
struct DownBody {
    reason: Option<String>,
}

async fn down(State(api): State<Api>, body: Option<Json<DownBody>>) -> StatusCode {
    let reason = body.and_then(|Json(body)| body.reason);
    api.down
        .trigger(reason.unwrap_or_else(|| "`outrigger down`".to_owned()));
    StatusCode::ACCEPTED
}

async fn delete(State(api): State<Api>, Path(pod): Path<String>) -> Outcome {
    let (controller, ordinal) = api.pod(&pod)?;
    controller.order(Order::Delete(ordinal)).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
struct SignalBody {
    signal: String,
}

async fn signal(
    State(api): State<Api>,
    Path(pod): Path<String>,
    Json(body): Json<SignalBody>,
) -> Outcome {
    let signal = parse_signal(&body.signal)?;
    let (controller, ordinal) = api.pod(&pod)?;
    controller.order(Order::Signal(ordinal, signal)).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
struct RestartBody {
    reason: String,
    signal: Option<String>,
}

async fn restart(
    State(api): State<Api>,
    Path(pod): Path<String>,
    Json(body): Json<RestartBody>,
) -> Outcome {
    let signal = body.signal.as_deref().map(parse_signal).transpose()?;
    let (controller, ordinal) = api.pod(&pod)?;
    let reason = body.reason;
    controller
        .order(Order::Restart {
            ordinal,
            reason,
            signal,
        })
        .await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
struct TurnBody {
    #[serde(default)]
    reason: String,
}

async fn turn(
    State(api): State<Api>,
    Path(pod): Path<String>,
    Json(body): Json<TurnBody>,
) -> Result<Response, Refusal> {
    let (controller, ordinal) = api.pod(&pod)?;
    let answer = controller.turn(ordinal, &body.reason, TURN).await?;
    if answer.granted {
        return Ok(Json(json!({ "granted": true })).into_response());
    }
    let name = controller.snapshot().name;
    let waiting_for = answer.holder.map(|holder| format!("{name}-{holder}"));
    let body = json!({ "granted": false, "waiting-for": waiting_for });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

async fn give_back(State(api): State<Api>, Path(pod): Path<String>) -> Outcome {
    let (controller, ordinal) = api.pod(&pod)?;
    controller.order(Order::GiveTurnBack(ordinal)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A signal by its name, with or without `SIG`.
fn parse_signal(text: &str) -> Result<Signal, Refusal> {
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    let passed_on = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGKILL,
        Signal::SIGSTOP,
        Signal::SIGCONT,
    ];
    Signal::from_str(&name)
        .ok()
        .filter(|signal| passed_on.contains(signal))
        .ok_or_else(|| Refusal::NoSignal(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_with_and_without_their_prefix() {
        assert_eq!(parse_signal("kill").ok(), Some(Signal::SIGKILL));
        assert_eq!(parse_signal("SIGINT").ok(), Some(Signal::SIGINT));
        for refused in ["", "WINCH", "9", "SIGSIGINT"] {
            assert!(parse_signal(refused).is_err(), "{refused}");
        }
    }
}
