//! Which path is answered by what.

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use outrigger_plugin_host::DrainReason;
use outrigger_profile::layout::ALIVE_PATH;
use serde::Deserialize;
use serde_json::json;

use super::{Shared, command, events, probe};
use crate::lifecycle::After;
use crate::limits;
use crate::metrics::Format;

/// Paths that only read.
const READING: [&str; 11] = [
    "/",
    "/startup",
    "/ready",
    "/live",
    ALIVE_PATH,
    "/metrics",
    "/status",
    "/peers",
    "/events",
    "/timeline",
    "/pre-stop",
];

/// Paths of the Unix socket alone.
const CHANGING: [&str; 4] = ["/reload", "/drain", "/log", "/swap"];

fn reading() -> Router<Shared> {
    Router::new()
        .route("/", get(page))
        .route("/startup", get(probe::startup))
        .route("/ready", get(probe::ready))
        .route("/live", get(probe::live))
        .route(ALIVE_PATH, get(probe::alive))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/peers", get(peers))
        .route("/events", get(events::stream))
        .route("/timeline", get(timeline))
        .route("/pre-stop", get(pre_stop).post(pre_stop))
}

/// What the pod's network sees.
pub(super) fn pod(shared: Shared) -> Router {
    reading()
        .fallback(|uri: Uri| async move { not_found(&uri, &READING) })
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(limits::ADMIN_BODY_BYTES_MAX))
        .with_state(shared)
}

/// What the Unix socket sees.
pub(super) fn own(shared: Shared) -> Router {
    reading()
        .route("/reload", post(command::reload))
        .route("/drain", post(command::drain))
        .route("/log", get(command::log).post(command::set_log))
        .route("/swap", post(command::swap))
        .fallback(|uri: Uri| async move {
            let all: Vec<&str> = READING.into_iter().chain(CHANGING).collect();
            not_found(&uri, &all)
        })
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(limits::ADMIN_BODY_BYTES_MAX))
        .with_state(shared)
}

fn not_found(uri: &Uri, paths: &[&str]) -> Response {
    let hint = if CHANGING.contains(&uri.path()) {
        "commands are answered on the sidecar's Unix socket alone, `admin.sock` in its state folder"
    } else {
        "`paths` are those that there are"
    };
    let body =
        json!({"error": format!("there is no {}", uri.path()), "hint": hint, "paths": paths});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn other_method(method: Method, uri: Uri) -> Response {
    let hint = match uri.path() {
        "/log" | "/pre-stop" => "use GET or POST",
        path if CHANGING.contains(&path) => "use POST: this changes something",
        _ => "use GET: this only reads",
    };
    let error = format!("{} does not take {method}", uri.path());
    hinted(StatusCode::METHOD_NOT_ALLOWED, error, hint)
}

/// An error as JSON, with what to do about it.
pub(super) fn hinted(status: StatusCode, error: impl Into<String>, hint: &str) -> Response {
    (status, Json(json!({"error": error.into(), "hint": hint}))).into_response()
}

/// An error as JSON.
pub(super) fn refused(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({"error": error.into()}))).into_response()
}

async fn page() -> impl IntoResponse {
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            outrigger_dashboard::CONTENT_SECURITY_POLICY,
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(outrigger_dashboard::page()))
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    match shared.metrics.expose(format).await {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn status(State(shared): State<Shared>) -> impl IntoResponse {
    Json(shared.status.snapshot(shared.log.current()))
}

async fn peers(State(shared): State<Shared>) -> impl IntoResponse {
    let peers = shared.status.rooms.peers.borrow().clone();
    Json(peers.as_ref().clone())
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn timeline(
    State(shared): State<Shared>,
    query: Result<Query<Since>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return misread(&rejection, "`since` is the number of an entry"),
    };
    let entries = shared.status.rooms.timeline.since(query.since);
    let entries: Vec<_> = entries.iter().map(|entry| entry.as_ref().clone()).collect();
    Json(json!({"newest": shared.status.rooms.timeline.newest(), "entries": entries}))
        .into_response()
}

/// A query that cannot be read.
pub(super) fn misread(rejection: &QueryRejection, hint: &str) -> Response {
    hinted(rejection.status(), rejection.body_text(), hint)
}

#[derive(Deserialize)]
struct PreStop {
    reason: Option<String>,
}

/// The workload's preStop hook: drains and answers when that is done.
async fn pre_stop(
    State(shared): State<Shared>,
    query: Result<Query<PreStop>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return misread(&rejection, "`reason` says why, once"),
    };
    let Some(token) = &shared.token else {
        return refused(
            StatusCode::FORBIDDEN,
            "there is no token for the pre-stop hook: set OUTRIGGER_PRE_STOP_TOKEN",
        );
    };
    let presented = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or("");
    if !token.matches(presented) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let body = refused(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
        return (challenge, body).into_response();
    }
    let reason = match query.reason.as_deref() {
        None => shared.lifecycle.likely_reason(),
        Some(word) => match drain_reason(word) {
            Some(reason) => reason,
            None => return refused(StatusCode::BAD_REQUEST, unknown_reason(word)),
        },
    };
    Json(
        shared
            .lifecycle
            .drain(reason, After::Stop)
            .await
            .as_ref()
            .clone(),
    )
    .into_response()
}

const REASONS: [DrainReason; 6] = [
    DrainReason::ScaleDown,
    DrainReason::RollingUpdate,
    DrainReason::NodeDrain,
    DrainReason::ConfigChange,
    DrainReason::Manual,
    DrainReason::Unknown,
];

pub(super) fn drain_reason(word: &str) -> Option<DrainReason> {
    REASONS.into_iter().find(|reason| reason.as_str() == word)
}

pub(super) fn unknown_reason(word: &str) -> String {
    let words = REASONS.map(DrainReason::as_str).join(", ");
    format!("`{word}` is no reason for a drain: it is one of {words}")
}
