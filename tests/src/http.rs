//! A small HTTP client for tests: one request on one connection, over TCP or a Unix socket.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// More than any answer that a test asks for.
const MAX_BODY_BYTES: usize = 16 << 20;

/// A server, and how long it may take to answer.
#[derive(Debug, Clone)]
pub struct Http {
    place: Place,
    timeout: Duration,
    token: Option<String>,
}

#[derive(Debug, Clone)]
enum Place {
    Tcp(String),
    Unix(PathBuf),
}

/// What a request carries.
#[derive(Debug)]
struct Body {
    kind: &'static str,
    bytes: Bytes,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Where a redirect leads, as it came.
    pub location: Option<String>,
    /// The body as it came.
    pub body: Bytes,
}

/// Why there is no answer: nobody listens, the connection broke, the time is over.
#[derive(Debug, Clone)]
pub struct HttpError(String);

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HttpError {}

impl Http {
    /// A server at `host:port`; a leading `http://` and what follows the port are left out.
    pub fn tcp(address: &str) -> Self {
        let address = address.strip_prefix("http://").unwrap_or(address);
        let address = address.split('/').next().unwrap_or(address);
        Self::at(Place::Tcp(address.to_owned()))
    }

    /// A server at a Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Unix(path.into()))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            timeout: Duration::from_secs(10),
            token: None,
        }
    }

    /// The same with another time for one exchange; 10 s unless set.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with `Authorization: Bearer TOKEN` on each request.
    #[must_use]
    pub fn bearer(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same towards another TCP address.
    #[must_use]
    pub fn moved_to(&self, address: &str) -> Self {
        Self {
            place: Self::tcp(address).place,
            ..self.clone()
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer, HttpError> {
        self.send(Method::GET, path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, HttpError> {
        let body = Body {
            kind: "application/json",
            bytes: Bytes::from(body.to_string()),
        };
        self.send(Method::POST, path, Some(body)).await
    }

    /// POST without a body.
    pub async fn post_empty(&self, path: &str) -> Result<Answer, HttpError> {
        self.send(Method::POST, path, None).await
    }

    /// PUT with any content.
    pub async fn put(&self, path: &str, content: &str) -> Result<Answer, HttpError> {
        let body = Body {
            kind: "application/octet-stream",
            bytes: Bytes::copy_from_slice(content.as_bytes()),
        };
        self.send(Method::PUT, path, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Answer, HttpError> {
        self.send(Method::DELETE, path, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<Answer, HttpError> {
        let line = format!("{method} {path} of {}", self.place);
        let failed = |error: &dyn fmt::Display| HttpError(format!("{line}: {error}"));
        let request = self
            .request(method, path, body)
            .map_err(|error| failed(&error))?;
        let exchange = async {
            match &self.place {
                Place::Tcp(address) => {
                    let stream = TcpStream::connect(address)
                        .await
                        .map_err(|error| failed(&error))?;
                    exchange(stream, request)
                        .await
                        .map_err(|error| failed(&error))
                }
                Place::Unix(path) => {
                    let stream = UnixStream::connect(path)
                        .await
                        .map_err(|error| failed(&error))?;
                    exchange(stream, request)
                        .await
                        .map_err(|error| failed(&error))
                }
            }
        };
        // On the heap: tests hold many of these in one future.
        timeout(self.timeout, Box::pin(exchange))
            .await
            .unwrap_or_else(|_| Err(failed(&format_args!("no answer within {:?}", self.timeout))))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> hyper::http::Result<Request<Full<Bytes>>> {
        let host = match &self.place {
            Place::Tcp(address) => address.as_str(),
            Place::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", host);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(body) = &body {
            request = request.header("content-type", body.kind);
        }
        request.body(Full::new(body.map_or_else(Bytes::new, |body| body.bytes)))
    }
}

impl fmt::Display for Http {
    /// Where the server is: `HOST:PORT` or the socket's path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// One request and its whole answer. The connection is driven here, beside the exchange, and ends
/// with it: nothing runs on.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let location = response.headers().get("location");
        let location = location.and_then(|value| value.to_str().ok().map(str::to_owned));
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES)
            .collect()
            .await?
            .to_bytes();
        Ok(Answer {
            status,
            location,
            body,
        })
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // What was received before the end is still to be read.
        ended = connection => { ended?; answer.await }
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is something else; the message shows the body.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!(
                "not the JSON that was expected: {error}\n  status {}: {}",
                self.status,
                self.text()
            ),
        }
    }

    /// The answer if its status is the one expected, otherwise what came, for [`crate::eventually`].
    pub fn expect_status(self, status: u16) -> Result<Self, String> {
        if self.status == status {
            return Ok(self);
        }
        Err(format!(
            "status {} instead of {status}: {}",
            self.status,
            self.text()
        ))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    /// Reads one request and answers it, whatever it is.
    async fn answer_once(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> String {
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
            let count = stream.read(&mut buffer).await.unwrap();
            seen.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(seen).unwrap()
    }

    #[tokio::test]
    async fn a_server_that_closes_after_its_answer_is_read_to_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = Http::tcp(&format!(
            "http://{}/ignored",
            listener.local_addr().unwrap()
        ))
        .bearer("t");
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            answer_once(
                stream,
                "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n{\"pass\":false}",
            )
            .await
        };
        let (request, answer) = tokio::join!(server, http.get("/ready"));
        let answer = answer.unwrap();
        assert!(request.starts_with("GET /ready HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer t\r\n"), "{request}");
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json::<Value>()["pass"], false);
        assert!(
            answer
                .expect_status(200)
                .unwrap_err()
                .starts_with("status 503 instead of 200")
        );
    }

    #[tokio::test]
    async fn a_unix_socket_is_spoken_to_like_a_port() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            answer_once(stream, "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await
        };
        let http = Http::unix(&path);
        let (request, answer) = tokio::join!(server, http.post_empty("/reload"));
        assert!(request.starts_with("POST /reload"), "{request}");
        assert_eq!(answer.unwrap().status, 202);
    }

    #[tokio::test]
    async fn a_place_where_nobody_listens_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = Http::unix(folder.path().join("none.sock"))
            .get("/status")
            .await
            .unwrap_err();
        assert!(error.to_string().starts_with("GET /status of "), "{error}");
    }
}
