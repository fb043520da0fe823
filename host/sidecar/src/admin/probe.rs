//! What the kubelet asks: 200 while a probe passes, 503 while it does not, and why in the body.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Shared;
use crate::health::{HealthReport, ProbeReason, ProbeReport};

#[derive(Serialize)]
struct Answer<'a> {
    pass: bool,
    probe: &'static str,
    role: Option<&'a str>,
    reasons: &'a [ProbeReason],
}

pub(super) async fn startup(State(shared): State<Shared>) -> Response {
    answer(&shared, "startup", |report| &report.start)
}

pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    answer(&shared, "ready", |report| &report.readiness)
}

pub(super) async fn live(State(shared): State<Shared>) -> Response {
    answer(&shared, "live", |report| &report.liveness)
}

/// Whether the sidecar itself works. No word about the workload: the kubelet restarts the sidecar for
/// this one. A task that ends early ends the sidecar, so an answer says that all of them run.
pub(super) async fn alive() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], "alive")
}

fn answer(
    shared: &Shared,
    probe: &'static str,
    of: impl Fn(&HealthReport) -> &ProbeReport,
) -> Response {
    let health = shared.status.rooms.health.borrow().clone();
    let report = of(&health);
    // A drain turns the replica unready before health has heard of it.
    let serves = probe != "ready" || shared.status.rooms.phase.borrow().may_serve();
    let pass = report.pass && serves;
    let status = if pass {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Answer {
        pass,
        probe,
        role: health.role.as_deref(),
        reasons: &report.reasons,
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
