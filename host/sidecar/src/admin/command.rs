//! What the Unix socket can ask for.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::StringRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use outrigger_plugin_host::DrainReason;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::route::{drain_reason, hinted, refused, unknown_reason};
use crate::lifecycle::After;

pub(super) async fn reload(State(shared): State<Shared>) -> Response {
    said(shared.commands.reload().await)
}

pub(super) async fn swap(State(shared): State<Shared>) -> Response {
    said(shared.commands.swap().await)
}

fn said(result: Result<Value, String>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(problem) => refused(StatusCode::UNPROCESSABLE_ENTITY, problem),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    reason: Option<String>,
}

/// Drains; what comes after it is the asker's business.
pub(super) async fn drain(State(shared): State<Shared>, body: Body) -> Response {
    let hint = r#"an empty body, or {"reason": "manual"}"#;
    let asked: Drain = match read(body, hint) {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let reason = match asked.reason.as_deref() {
        None => DrainReason::Manual,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    filter: String,
}

pub(super) async fn log(State(shared): State<Shared>) -> Response {
    Json(json!({"filter": shared.log.current()})).into_response()
}

pub(super) async fn set_log(State(shared): State<Shared>, body: Body) -> Response {
    let asked: Filter = match read(
        body,
        r#"such as {"filter": "info,outrigger_sidecar=debug"}"#,
    ) {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let before = shared.log.current();
    match shared.log.set(&asked.filter) {
        Ok(()) => {
            shared.status.rooms.timeline.record(
                "log",
                format!("the log filter is now `{}`", asked.filter),
                [("before", before.as_str().into())],
            );
            Json(json!({"filter": asked.filter, "before": before})).into_response()
        }
        Err(error) => hinted(
            StatusCode::BAD_REQUEST,
            error.to_string(),
            "directives such as `info,outrigger_sidecar=debug`",
        ),
    }
}

/// A body, or why it was not taken: too long, or no text.
type Body = Result<String, StringRejection>;

/// A JSON body; an empty one is an empty object. The content type does not matter on this socket.
fn read<T: for<'a> Deserialize<'a>>(body: Body, hint: &str) -> Result<T, Box<Response>> {
    let body = body
        .map_err(|rejection| Box::new(hinted(rejection.status(), rejection.body_text(), hint)))?;
    let body = if body.trim().is_empty() { "{}" } else { &body };
    serde_json::from_str(body).map_err(|error| {
        let problem = format!("the body cannot be read: {error}");
        Box::new(hinted(StatusCode::BAD_REQUEST, problem, hint))
    })
}
