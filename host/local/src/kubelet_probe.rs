//! The probes of containers, made as the kubelet makes them: the checks, and when they count.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::plan::{HttpGet, ProbePlan};

/// As much of an answer as is looked at; the kubelet takes 10 KiB.
const BODY_BYTES: usize = 64 << 10;

/// What a GET brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body; empty when it is too long.
    pub body: Bytes,
}

impl HttpAnswer {
    /// Whether it passes a probe.
    pub fn passes(&self) -> bool {
        (200..400).contains(&self.status)
    }
}

/// Makes a GET on a connection of its own. The error is a sentence's part.
///
/// # Cancel safety
/// A dropped call closes the connection.
pub async fn http_get(get: &HttpGet) -> Result<HttpAnswer, String> {
    let stream = TcpStream::connect((get.host.as_str(), get.port))
        .await
        .map_err(|error| format!("no connection: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let own_host = get
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let mut request = Request::get(&get.path).header(
        "host",
        own_host.map_or_else(
            || format!("{}:{}", get.host, get.port),
            |(_, host)| host.clone(),
        ),
    );
    for (name, value) in &get.headers {
        if !name.eq_ignore_ascii_case("host") {
            request = request.header(name, value);
        }
    }
    let request = request
        .header("user-agent", "outrigger-up")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        Ok(HttpAnswer { status, body })
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end just as the answer is complete.
        ended = &mut connection => match exchange.await {
            Ok(answer) => Ok(answer),
            Err(problem) => Err(ended.err().map_or(problem, |error| error.to_string())),
        },
    }
}

/// Opens a connection and closes it.
pub async fn tcp_connect(host: &str, port: u16) -> Result<(), String> {
    TcpStream::connect((host, port))
        .await
        .map(drop)
        .map_err(|error| format!("no connection: {error}"))
}

/// A check within its time.
pub async fn within<T>(
    limit: Duration,
    check: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    timeout(limit, check)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
}

/// What a probe says after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As before.
    Same,
    /// It passes now.
    Passes,
    /// It fails now.
    Fails,
}

/// Counts checks against the thresholds of a probe: pure.
#[derive(Debug, Clone)]
pub struct Threshold {
    failures: u32,
    successes: u32,
    row: u32,
    last: Option<bool>,
    state: Option<bool>,
}

impl Threshold {
    /// Before the first check.
    pub fn new(plan: &ProbePlan) -> Self {
        Self {
            failures: plan.failures.max(1),
            successes: plan.successes.max(1),
            row: 0,
            last: None,
            state: None,
        }
    }

    /// Takes a check into account.
    pub fn take(&mut self, passed: bool) -> Outcome {
        if self.last == Some(passed) {
            self.row = self.row.saturating_add(1);
        } else {
            self.last = Some(passed);
            self.row = 1;
        }
        let needed = if passed {
            self.successes
        } else {
            self.failures
        };
        if self.row < needed || self.state == Some(passed) {
            return Outcome::Same;
        }
        self.state = Some(passed);
        if passed {
            Outcome::Passes
        } else {
            Outcome::Fails
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Check;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[test]
    fn a_probe_changes_after_so_many_checks_in_a_row() {
        let plan = ProbePlan {
            check: Check::Exec(vec!["x".into()]),
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failures: 3,
            successes: 2,
        };
        let mut threshold = Threshold::new(&plan);
        let told: String = "+-++--+---+--++"
            .chars()
            .map(|check| match threshold.take(check == '+') {
                Outcome::Same => '.',
                Outcome::Passes => 'P',
                Outcome::Fails => 'F',
            })
            .collect();
        assert_eq!(told, "...P.....F....P");
    }

    #[tokio::test]
    async fn a_get_brings_status_and_body_and_sends_its_headers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            request.truncate(length);
            stream
                .write_all(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno")
                .await
                .unwrap();
            String::from_utf8(request).unwrap()
        };
        let get = HttpGet {
            host: "127.0.0.1".into(),
            port,
            path: "/ready?x=1".into(),
            headers: vec![("Authorization".into(), "Bearer t".into())],
        };
        let (answer, request) = tokio::join!(http_get(&get), server);
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, &answer.body[..], answer.passes()),
            (503, &b"no"[..], false)
        );
        assert!(request.starts_with("GET /ready?x=1 HTTP/1.1"), "{request}");
        assert!(request.contains("Bearer t"), "{request}");
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let problem = tcp_connect("127.0.0.1", port).await.unwrap_err();
        assert!(problem.starts_with("no connection"), "{problem}");
    }
}
