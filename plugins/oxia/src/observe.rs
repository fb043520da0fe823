//! Asking the coordinator, its sidecar, this replica's own sidecar and the status file.

use outrigger_plugin_sdk::endpoint::{Request, Response, Target, send_all};
use outrigger_plugin_sdk::json::Value;
use outrigger_plugin_sdk::{Failure, FailureKind, Reason, files};

use crate::census::Running;
use crate::series::{self, View};
use crate::server::Told;
use crate::settings::{COORDINATOR, METRICS, SIDECAR, Settings};
use crate::status::{self, Status};

/// The coordinator's metrics have some 500 lines, and its sidecar scrapes them when it is asked.
const METRICS_TIMEOUT_MS: u32 = 1_500;

/// The own sidecar answers from what it has.
const SIDECAR_TIMEOUT_MS: u32 = 500;

/// The codes of the host's own checks: what a probe other than this plugin's says.
const CHECKS: [&str; 4] = ["not-serving", "not-answering", "bad-status", "bad-check"];

/// The status of the cluster, or why there is none.
pub fn status(settings: &Settings) -> Result<Status, Reason> {
    let content = files::read(&settings.volume, &settings.status_file, status::BYTES_MAX);
    match content {
        Ok(content) => status::read(&content).map_err(|why| {
            Reason::own(
                "status-unreadable",
                format!("{}: {why}", settings.status_file),
            )
        }),
        Err(failure) if failure.kind == FailureKind::Unavailable => Err(Reason::own(
            "no-status",
            format!(
                "{} is not there: the coordinator has not written it yet. If servers have data, do not let it write \
                 a new one: they would refuse it",
                settings.status_file
            ),
        )),
        Err(failure) => Err(Reason::own("status-unreadable", failure.message)),
    }
}

/// Which servers answer the coordinator, by its own metrics; none when it serves none.
pub fn running() -> Option<Running> {
    let request = Request::get(METRICS, Target::Local, "/metrics").timeout(METRICS_TIMEOUT_MS);
    let answer = request.send().ok().filter(Response::is_success)?;
    let text = std::str::from_utf8(&answer.body).ok()?;
    Some(series::running(text)).filter(|running| !running.is_empty())
}

/// What the coordinator's sidecar says of the server of this name.
pub fn told(name: &str) -> Told {
    let request = Request::get(COORDINATOR, Target::Local, "/metrics").timeout(METRICS_TIMEOUT_MS);
    match request.send() {
        Ok(answer) if answer.is_success() => {
            let text = std::str::from_utf8(&answer.body).unwrap_or_default();
            match View::read(text, name) {
                Some(view) => Told::Said(view),
                None => Told::Silent("it knows no shards and servers yet".to_owned()),
            }
        }
        Ok(answer) => Told::Silent(format!("status {}", answer.status)),
        Err(failure) if failure.kind == FailureKind::Denied => Told::NotGranted,
        Err(failure) => Told::Silent(failure.message),
    }
}

/// What this replica's own sidecar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is live and its server does not say that it is ready.
    pub waits: bool,
}

/// Asks this replica's own sidecar; none where it is not granted or does not answer.
pub fn own() -> Option<Own> {
    let requests = ["/ready", "/live"]
        .map(|path| Request::get(SIDECAR, Target::Local, path).timeout(SIDECAR_TIMEOUT_MS));
    let mut given = send_all(&requests).into_iter();
    let ready = read(given.next()?)?;
    let live = read(given.next()?)?;
    let reasons: Vec<Value> = ready.field("reasons").unwrap_or_default();
    let is_check = |reason: &Value| {
        let text = |key: &str| reason.field::<String>(key).unwrap_or_default();
        text("scope") == "self" && CHECKS.contains(&text("code").as_str())
    };
    let passes = |answer: &Value| answer.field("pass").unwrap_or(false);
    Some(Own {
        ready: passes(&ready),
        waits: passes(&live) && reasons.iter().any(is_check),
    })
}

fn read(answer: Result<Response, Failure>) -> Option<Value> {
    answer.ok()?.json().ok()
}
