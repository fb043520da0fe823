//! Requests to the API server: bounded in time and bytes, with the time by its clock.
//!
//! kube's client brings credentials and TLS. What it answers is read here, since its own reading has no
//! limits and logs what it cannot read, Secrets included.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{Request, Response, StatusCode, header};
use k8s_openapi::jiff;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How long one request may take, answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may be. The longest are pages of lists; an object has at most 1.5 MiB, and its
/// JSON may be longer than that by what is escaped.
const ANSWER_BYTES: usize = 32 << 20;
/// How its operator tells our requests from others, in metrics and in audit logs.
const USER_AGENT: &str = concat!("outrigger/", env!("CARGO_PKG_VERSION"));
/// How long a line of a watch, which is one object, may be.
const LINE_BYTES: usize = 8 << 20;
/// How much of an error's answer is read.
const ERROR_BYTES: usize = 16 << 10;

/// The way to the API server. Cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    client: kube::Client,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    asked: AtomicU64,
    answered: AtomicU64,
}

/// How many requests went out, watches included, and how many were answered, whatever the answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestCounts {
    /// Sent, or tried to.
    pub asked: u64,
    /// Answered.
    pub answered: u64,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiServer")
    }
}

/// A request to the API server did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no way to it.
    #[error("the API server cannot be reached")]
    Unreachable(#[source] Box<kube::Error>),
    /// The connection broke while it answered.
    #[error("the API server's answer broke off")]
    BrokeOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer in time.
    #[error("the API server did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
    /// It refused.
    #[error("the API server answered {code}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// What it says about it.
        message: String,
        /// How long it wants to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// It said more than is read.
    #[error("the API server's answer is longer than {0} bytes")]
    TooLong(usize),
    /// There are more objects than are read.
    #[error("there are more than {0}")]
    TooMany(usize),
    /// It said something else than an object of this kind.
    #[error("the API server's answer cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// The request itself could not be made.
    #[error("the request to the API server could not be made")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// Whether it answered with this status.
    pub fn is(&self, status: u16) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == status)
    }

    /// What to do about it, where something can be said.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { code: 401, .. } => Some(
                "the service account's token is not accepted: is it mounted, and is the clock right?",
            ),
            Self::Refused { code: 403, .. } => Some(
                "the service account's Role or ClusterRole lacks this: apply the manifests of this version",
            ),
            Self::Unreachable(_) | Self::TimedOut => {
                Some("is there a NetworkPolicy between this pod and the API server?")
            }
            _ => None,
        }
    }

    /// Itself and what caused it, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let cause = error.to_string();
            // Some layers repeat what caused them.
            if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
            source = error.source();
        }
        text
    }
}

/// What the API server answered.
#[derive(Debug)]
pub struct Answer<T> {
    /// The object.
    pub value: T,
    /// When, by its clock, to the second.
    pub time: Option<SystemTime>,
}

impl ApiServer {
    /// By this client.
    pub fn new(client: kube::Client) -> Self {
        Self {
            client,
            counters: Arc::default(),
        }
    }

    /// The namespace of objects that name none: the kubeconfig's, or the pod's own.
    pub fn namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// How many requests went out so far by this and its clones.
    pub fn requests(&self) -> RequestCounts {
        RequestCounts {
            asked: self.counters.asked.load(Ordering::Relaxed),
            answered: self.counters.answered.load(Ordering::Relaxed),
        }
    }

    /// One request, one object.
    pub async fn request<T: DeserializeOwned>(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Answer<T>, ApiError> {
        let whole = async {
            let response = self.send(request).await?;
            let time = time(&response);
            let bytes = read(response.into_body(), ANSWER_BYTES).await?;
            let value = serde_json::from_slice(&bytes).map_err(ApiError::Malformed)?;
            Ok(Answer { value, time })
        };
        tokio::time::timeout(REQUEST_TIMEOUT, whole)
            .await
            .unwrap_or(Err(ApiError::TimedOut))
    }

    /// A request whose answer goes on: one JSON object in each line.
    pub async fn lines(&self, mut request: Request<Vec<u8>>) -> Result<Lines, ApiError> {
        // From 1.37 on streams are compressed where the client can.
        let identity = header::HeaderValue::from_static("identity");
        request
            .headers_mut()
            .insert(header::ACCEPT_ENCODING, identity);
        let response = tokio::time::timeout(REQUEST_TIMEOUT, self.send(request)).await;
        let response = response.unwrap_or(Err(ApiError::TimedOut))?;
        Ok(Lines {
            body: response.into_body(),
            read: Vec::new(),
            searched: 0,
        })
    }

    async fn send(&self, mut request: Request<Vec<u8>>) -> Result<Response<Body>, ApiError> {
        let agent = header::HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(header::USER_AGENT, agent);
        self.counters.asked.fetch_add(1, Ordering::Relaxed);
        let response = self.client.send(request.map(Body::from)).await;
        let response = response.map_err(|error| ApiError::Unreachable(Box::new(error)))?;
        self.counters.answered.fetch_add(1, Ordering::Relaxed);
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status();
        let retry_after = retry_after(&response);
        let body = read(response.into_body(), ERROR_BYTES)
            .await
            .unwrap_or_default();
        Err(refused(code, &body, retry_after))
    }
}

/// An error's answer in words: a `Status`, or whatever stands between us and the API server says.
fn refused(code: StatusCode, body: &[u8], retry_after: Option<Duration>) -> ApiError {
    #[derive(Deserialize)]
    struct Status {
        message: String,
        #[serde(default)]
        details: Option<Details>,
    }
    #[derive(Deserialize)]
    struct Details {
        #[serde(default)]
        causes: Vec<Cause>,
    }
    #[derive(Deserialize)]
    struct Cause {
        #[serde(default)]
        reason: String,
        #[serde(default)]
        message: String,
    }
    let message = match serde_json::from_slice::<Status>(body) {
        Ok(status) => {
            // The message alone does not say which budget it is.
            let mut causes = status.details.into_iter().flat_map(|all| all.causes);
            match causes.find(|cause| cause.reason == "DisruptionBudget") {
                Some(cause) => cause.message,
                None => status.message,
            }
        }
        Err(_) => code
            .canonical_reason()
            .unwrap_or("no reason")
            .to_lowercase(),
    };
    ApiError::Refused {
        code: code.as_u16(),
        message,
        retry_after,
    }
}

/// The header of that name, where it is a number of seconds.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

async fn read(body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::TooLong(limit)),
        Err(error) => Err(ApiError::BrokeOff(error)),
    }
}

/// The `Date` header.
fn time(response: &Response<Body>) -> Option<SystemTime> {
    let date = response.headers().get(header::DATE)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(time.into())
}

/// A stream of lines.
#[derive(Debug)]
pub struct Lines {
    body: Body,
    read: Vec<u8>,
    /// How much of `read` is known to hold no line feed.
    searched: usize,
}

impl Lines {
    /// The next line; none at the end of the stream.
    ///
    /// # Cancel safety
    /// Safe: what was read is kept for the next call.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        loop {
            if let Some(end) = self.read[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let rest = self.read.split_off(self.searched + end + 1);
                self.searched = 0;
                return Ok(Some(std::mem::replace(&mut self.read, rest)));
            }
            self.searched = self.read.len();
            if self.read.len() > LINE_BYTES {
                return Err(ApiError::TooLong(LINE_BYTES));
            }
            match self.body.frame().await {
                // A line without its end was cut off: it is read again with the next watch.
                None => return Ok(None),
                Some(Err(error)) => return Err(ApiError::BrokeOff(Box::new(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// Pauses between attempts: half a second and then twice as long each time up to half a minute, each
/// shortened by up to a half by chance, so that replicas do not keep step.
#[derive(Debug, Default)]
pub struct Pause {
    failures: u32,
}

impl Pause {
    /// What went before went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether nothing has failed yet.
    pub fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// The pause before the next attempt.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is no iterator: it never ends"
    )]
    pub fn next(&mut self) -> Duration {
        let longest =
            Duration::from_millis(500 << self.failures.min(6)).min(Duration::from_secs(30));
        self.failures += 1;
        longest.mul_f64(1.0 - chance() / 2.0)
    }
}

/// A number from 0 to 1 by chance; without chance, 0: all is only more regular.
pub(crate) fn chance() -> f64 {
    let mut byte = [0; 1];
    getrandom::fill(&mut byte).unwrap_or_default();
    f64::from(byte[0]) / 255.0
}
