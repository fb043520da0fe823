//! The built-in checks of the workload: HTTP, TCP and the standard gRPC health check.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use outrigger_profile::Check;
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::transport::{authority, exchange_status};

/// Why a check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFailure {
    /// A stable word.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

impl CheckFailure {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }
}

/// Runs one check against the workload.
///
/// # Errors
/// What the workload did not do within the time.
pub async fn run(check: &Check, host: &str, timeout: Duration) -> Result<(), CheckFailure> {
    let what = describe(check);
    let checked = async {
        match check {
            Check::Http {
                port,
                path,
                headers,
            } => http(host, *port, path, headers).await,
            Check::Tcp { port } => connect(host, *port).await.map(drop),
            Check::Grpc { port, service } => grpc(host, *port, service).await,
        }
    };
    match tokio::time::timeout(timeout, checked).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(CheckFailure {
            message: format!("{what}: {}", failure.message),
            ..failure
        }),
        Err(_) => Err(CheckFailure::new(
            "not-answering",
            format!("{what}: no answer within {} ms", timeout.as_millis()),
        )),
    }
}

fn describe(check: &Check) -> String {
    match check {
        Check::Http { port, path, .. } => format!("GET {path} on port {port}"),
        Check::Tcp { port } => format!("port {port}"),
        Check::Grpc { port, service } if service.is_empty() => {
            format!("gRPC health check on port {port}")
        }
        Check::Grpc { port, service } => {
            format!("gRPC health check of `{service}` on port {port}")
        }
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, CheckFailure> {
    TcpStream::connect((host, port))
        .await
        .map_err(|error| CheckFailure::new("not-answering", format!("no connection: {error}")))
}

async fn http(
    host: &str,
    port: u16,
    path: &str,
    headers: &[(String, String)],
) -> Result<(), CheckFailure> {
    let mut request = Request::get(path)
        .header(header::USER_AGENT, "outrigger-probe")
        .header(header::CONNECTION, "close");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        request = request.header(header::HOST, authority(host, port));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::new()))
        .map_err(|error| CheckFailure::new("bad-check", error.to_string()))?;
    let stream = connect(host, port).await?;
    let status = exchange_status(stream, request)
        .await
        .map_err(|error| CheckFailure::new("not-answering", error.to_string()))?;
    // Redirects pass and are not followed.
    if (200..400).contains(&status.as_u16()) {
        Ok(())
    } else {
        Err(CheckFailure::new(
            "bad-status",
            format!("status {}", status.as_u16()),
        ))
    }
}

async fn grpc(host: &str, port: u16, service: &str) -> Result<(), CheckFailure> {
    let not_answering = |error: String| CheckFailure::new("not-answering", error);
    let channel = Endpoint::from_shared(format!("http://{}", authority(host, port)))
        .map_err(|error| CheckFailure::new("bad-check", error.to_string()))?
        .connect()
        .await
        .map_err(|error| not_answering(format!("no connection: {error}")))?;
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel)
        .check(request)
        .await
        .map_err(|status| not_answering(format!("gRPC status {:?}", status.code())))?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(CheckFailure::new("not-serving", format!("it is {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;
    use hyper::StatusCode;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn of(path: &str, port: u16) -> Check {
        Check::Http {
            port,
            path: path.to_owned(),
            headers: vec![("x-probe".to_owned(), "yes".to_owned())],
        }
    }

    #[tokio::test]
    async fn http_passes_from_200_to_399_and_redirects_are_not_followed() {
        let app = Router::new()
            .route("/ok", get(|| async { "ok" }))
            .route("/endless", get(|| async { "x".repeat(4_000_000) }))
            .route("/moved", get(|| async { Redirect::to("/broken") }))
            .route(
                "/broken",
                get(|| async { StatusCode::INTERNAL_SERVER_ERROR }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        for path in ["/ok", "/moved", "/endless"] {
            run(&of(path, port), "127.0.0.1", PATIENCE).await.unwrap();
        }
        let failure = run(&of("/broken", port), "127.0.0.1", PATIENCE)
            .await
            .unwrap_err();
        assert_eq!(failure.code, "bad-status");
        assert_eq!(
            failure.message,
            format!("GET /broken on port {port}: status 500")
        );
        run(&Check::Tcp { port }, "127.0.0.1", PATIENCE)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_closed_port_does_not_answer() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        for check in [
            Check::Tcp { port },
            of("/", port),
            Check::Grpc {
                port,
                service: String::new(),
            },
        ] {
            let failure = run(&check, "127.0.0.1", PATIENCE).await.unwrap_err();
            assert_eq!(failure.code, "not-answering", "{failure:?}");
        }
    }

    #[tokio::test]
    async fn who_takes_the_connection_and_says_nothing_does_not_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let failure = run(&of("/", port), "127.0.0.1", Duration::from_millis(20))
            .await
            .unwrap_err();
        assert_eq!(
            failure.message,
            format!("GET / on port {port}: no answer within 20 ms")
        );
    }

    #[tokio::test]
    async fn grpc_passes_while_the_service_says_that_it_serves() {
        let (reporter, service) = tonic_health::server::health_reporter();
        let incoming =
            tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = incoming.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        let check = |service: &str| Check::Grpc {
            port,
            service: service.to_owned(),
        };
        reporter
            .set_service_status("db", tonic_health::ServingStatus::NotServing)
            .await;
        run(&check(""), "127.0.0.1", PATIENCE).await.unwrap();
        let failure = run(&check("db"), "127.0.0.1", PATIENCE).await.unwrap_err();
        assert_eq!(failure.code, "not-serving");
        let failure = run(&check("other"), "127.0.0.1", PATIENCE)
            .await
            .unwrap_err();
        assert!(
            failure.message.ends_with("gRPC status NotFound"),
            "{failure:?}"
        );
    }
}
