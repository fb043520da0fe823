//! Control through the hub of `outrigger up`: HTTP over its Unix socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use outrigger_plugin_host::BoxFuture;
use outrigger_profile::Signal;
use outrigger_shutdown::Tasks;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{ControlError, HeldTurn, TurnGuard, WorkloadControl, signal_name};
use crate::transport::exchange;

/// For one request; the hub holds a request for a turn for 25 s at most.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);

/// For giving a turn back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The most that the hub answers.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long a turn is waited for: a hundred replicas of which each takes half a minute would be
/// longer, but then each restart is granted anew with the next change.
const TURN_WAIT_MAX: Duration = Duration::from_mins(30);

/// Before a hub that does not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Asks the hub of `outrigger up` to act on this pod's workload.
#[derive(Debug, Clone)]
pub struct HubControl {
    hub: Arc<Hub>,
}

#[derive(Debug)]
struct Hub {
    socket: PathBuf,
    pod: String,
    tasks: Tasks,
}

impl HubControl {
    /// Control over this pod's workload. `local` is the folder with `hub.sock`; `tasks` owns what is
    /// left to do when a turn is dropped.
    pub fn new(local: &std::path::Path, pod: impl Into<String>, tasks: Tasks) -> Self {
        Self {
            hub: Arc::new(Hub {
                socket: local.join("hub.sock"),
                pod: pod.into(),
                tasks,
            }),
        }
    }
}

impl Hub {
    async fn ask(
        &self,
        act: &'static str,
        method: Method,
        end: &str,
        body: &Value,
        timeout: Duration,
    ) -> Result<(StatusCode, Value), ControlError> {
        let failed = |reason: String| ControlError::Hub { act, reason };
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/pods/{}/{end}", self.pod))
            .header(hyper::header::HOST, "hub")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| failed(error.to_string()))?;
        let exchanged = async {
            let stream = UnixStream::connect(&self.socket)
                .await
                .map_err(|error| failed(format!("{}: {error}", self.socket.display())))?;
            exchange(stream, request, ANSWER_BYTES_MAX)
                .await
                .map_err(|error| failed(error.to_string()))
        };
        let response = tokio::time::timeout(timeout, exchanged)
            .await
            .map_err(|_| failed(format!("no answer within {} s", timeout.as_secs())))??;
        let (status, body) = (response.status(), response.into_body());
        let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok((status, answer));
        }
        let message = answer.get("error").and_then(Value::as_str).map_or_else(
            || String::from_utf8_lossy(&body).into_owned(),
            str::to_owned,
        );
        Err(ControlError::Refused {
            act,
            status: status.as_u16(),
            message,
        })
    }

    async fn give_back(&self) -> Result<(), ControlError> {
        self.ask(
            "to take the turn back",
            Method::DELETE,
            "turn",
            &json!({}),
            RELEASE_TIMEOUT,
        )
        .await
        .map(drop)
    }
}

impl WorkloadControl for HubControl {
    fn signal(&self, signal: Signal) -> BoxFuture<'_, Result<(), ControlError>> {
        Box::pin(async move {
            let body = json!({"signal": signal_name(signal)});
            self.hub
                .ask("a signal", Method::POST, "signal", &body, REQUEST_TIMEOUT)
                .await
                .map(drop)
        })
    }

    fn restart<'a>(&'a self, reason: &'a str) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let body = json!({"reason": reason});
            self.hub
                .ask("a restart", Method::POST, "restart", &body, REQUEST_TIMEOUT)
                .await
                .map(drop)
        })
    }

    fn acquire_turn<'a>(
        &'a self,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<TurnGuard, ControlError>> {
        Box::pin(async move {
            // Made first: when this wait is cancelled or given up, its drop leaves the queue.
            let guard = TurnGuard::held(Box::new(Turn(Arc::clone(&self.hub))));
            let began = Instant::now();
            let body = json!({"reason": reason});
            let mut waiting_for = Value::Null;
            while began.elapsed() < TURN_WAIT_MAX {
                match self
                    .hub
                    .ask("for a turn", Method::POST, "turn", &body, REQUEST_TIMEOUT)
                    .await
                {
                    Ok((_, answer)) if answer.get("granted") == Some(&Value::Bool(true)) => {
                        return Ok(guard);
                    }
                    Ok((_, mut answer)) => {
                        let now = answer["waiting-for"].take();
                        if now != waiting_for {
                            info!(waiting.for = %now, "This replica waits for its turn to restart");
                            waiting_for = now;
                        }
                    }
                    Err(error @ ControlError::Refused { .. }) => return Err(error),
                    Err(error) => {
                        warn!(%error, "The turn to restart is asked for again");
                        tokio::time::sleep(RETRY_AFTER).await;
                    }
                }
            }
            Err(ControlError::NoTurn {
                after: TURN_WAIT_MAX,
            })
        })
    }
}

struct Turn(Arc<Hub>);

impl HeldTurn for Turn {
    fn give_back(self: Box<Self>) -> BoxFuture<'static, Result<(), ControlError>> {
        Box::pin(async move { self.0.give_back().await })
    }

    fn abandon(self: Box<Self>) {
        // Outside a runtime the process is ending, and the hub sees that.
        if tokio::runtime::Handle::try_current().is_ok() {
            let hub = Arc::clone(&self.0);
            self.0.tasks.spawn_short("turn", async move {
                if let Err(error) = hub.give_back().await {
                    warn!(%error, "The turn to restart could not be given back");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::extract::State;
    use axum::response::IntoResponse as _;
    use axum::routing::any;
    use axum::{Json, Router};
    use outrigger_shutdown::Shutdown;
    use tokio::net::UnixListener;

    use super::*;

    /// What the fake hub was asked, and what it answers: one item each, the last one for good.
    #[derive(Clone)]
    struct Fake {
        asked: Arc<Mutex<Vec<String>>>,
        answers: Arc<Mutex<Vec<(u16, Value)>>>,
        changed: Arc<tokio::sync::Notify>,
    }

    async fn answer(
        State(fake): State<Fake>,
        method: Method,
        uri: hyper::Uri,
        body: String,
    ) -> axum::response::Response {
        fake.asked
            .lock()
            .unwrap()
            .push(format!("{method} {uri} {body}"));
        fake.changed.notify_one();
        let mut answers = fake.answers.lock().unwrap();
        let (status, body) = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
    }

    fn hub(folder: &std::path::Path, answers: &[(u16, Value)]) -> (HubControl, Fake, Tasks) {
        let fake = Fake {
            asked: Arc::default(),
            answers: Arc::new(Mutex::new(answers.to_vec())),
            changed: Arc::default(),
        };
        let listener = UnixListener::bind(folder.join("hub.sock")).unwrap();
        let app = Router::new()
            .route("/{*path}", any(answer))
            .with_state(fake.clone());
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("fake hub", async move {
            axum::serve(listener, app).await.unwrap();
        });
        (
            HubControl::new(folder, "agdb-1", tasks.clone()),
            fake,
            tasks,
        )
    }

    #[tokio::test]
    async fn signals_and_restarts_are_asked_of_the_hub_for_this_pod() {
        let folder = tempfile::tempdir().unwrap();
        let (control, fake, _tasks) = hub(folder.path(), &[(200, json!({}))]);
        control.signal(Signal::Hup).await.unwrap();
        control.restart("new configuration").await.unwrap();
        assert_eq!(
            *fake.asked.lock().unwrap(),
            [
                r#"POST /v1/pods/agdb-1/signal {"signal":"HUP"}"#,
                r#"POST /v1/pods/agdb-1/restart {"reason":"new configuration"}"#,
            ]
        );
    }

    #[tokio::test]
    async fn a_turn_is_waited_for_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let (control, fake, _tasks) = hub(
            folder.path(),
            &[
                (202, json!({"granted": false, "waiting-for": "agdb-2"})),
                (200, json!({"granted": true})),
            ],
        );
        let turn = control.acquire_turn("change").await.unwrap();
        assert!(turn.coordinated);
        turn.release().await.unwrap();
        let asked = fake.asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked[2], "DELETE /v1/pods/agdb-1/turn {}");
    }

    #[tokio::test]
    async fn a_dropped_turn_is_given_back_too() {
        let folder = tempfile::tempdir().unwrap();
        let (control, fake, _tasks) = hub(folder.path(), &[(200, json!({"granted": true}))]);
        drop(control.acquire_turn("change").await.unwrap());
        tokio::time::timeout(Duration::from_secs(10), async {
            while fake.asked.lock().unwrap().len() < 2 {
                fake.changed.notified().await;
            }
        })
        .await
        .unwrap();
        assert_eq!(
            fake.asked.lock().unwrap()[1],
            "DELETE /v1/pods/agdb-1/turn {}"
        );
    }

    #[tokio::test]
    async fn a_refusal_carries_what_the_hub_says() {
        let folder = tempfile::tempdir().unwrap();
        let (control, _fake, _tasks) =
            hub(folder.path(), &[(404, json!({"error": "no pod agdb-1"}))]);
        let error = control.signal(Signal::Term).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the hub refuses a signal with status 404: no pod agdb-1"
        );
    }

    #[tokio::test]
    async fn a_hub_that_is_not_there_is_an_error_that_names_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let control = HubControl::new(folder.path(), "agdb-1", Tasks::new(Shutdown::new()));
        let error = control.restart("x").await.unwrap_err().to_string();
        assert!(error.contains("hub.sock"), "{error}");
    }
}
