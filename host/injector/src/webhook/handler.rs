//! One request, from its head to its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::body::{self, BodyError};
use super::limits;
use super::watched::Activity;
use super::world::Occasion;
use super::{PATH, Server};
use crate::review::{Answer, Review, ReviewError, Told};

/// The bodies of all answers.
pub(super) type Body = Full<Bytes>;

/// Answers one request, whatever it is.
pub(super) async fn handle(
    server: Arc<Server>,
    activity: Arc<Activity>,
    request: Request<Incoming>,
) -> Response<Body> {
    let begun = Instant::now();
    let _in_flight = activity.request();
    let unread = !request.body().is_end_stream();
    let response = match check(&request) {
        Err(refused) => Err(refused),
        Ok(()) => match server.admission.review() {
            None => Err(Refused::busy("in-flight", "reviews at the same time")),
            Some(_slot) => {
                let total = total_time(request.uri().query());
                let answer = review(&server, request.into_body(), begun, total);
                match timeout_at(begun + total, answer).await {
                    Ok(answer) => answer,
                    Err(_) => Err(Refused::limit(
                        StatusCode::REQUEST_TIMEOUT,
                        "time",
                        format!("the review took longer than {} s", total.as_secs_f32()),
                    )),
                }
            }
        },
    };
    server.metrics.took(begun.elapsed());
    response.unwrap_or_else(|refused| {
        if unread {
            activity.leave_unread();
        }
        server.metrics.refused(&refused);
        debug!(
            status = refused.status.as_u16(),
            "A request was turned away"
        );
        refused.response()
    })
}

/// A request that gets no review's answer.
pub(super) struct Refused {
    status: StatusCode,
    /// A limit, or what is wrong: one word for metrics.
    pub(super) code: &'static str,
    /// Whether it is a limit.
    pub(super) limit: bool,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refused {
    fn wrong(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            limit: false,
            message: message.into(),
            header: None,
        }
    }

    fn limit(status: StatusCode, code: &'static str, message: String) -> Self {
        Self {
            limit: true,
            ..Self::wrong(status, code, message)
        }
    }

    fn busy(code: &'static str, what: &str) -> Self {
        let mut refused = Self::limit(
            StatusCode::TOO_MANY_REQUESTS,
            code,
            format!("the webhook is at its limit of {what}: try again"),
        );
        let seconds = HeaderValue::from(limits::RETRY_AFTER.as_secs());
        refused.header = Some((RETRY_AFTER, seconds));
        refused
    }

    /// As plain text: API servers pass that on to whoever made the pod.
    fn response(self) -> Response<Body> {
        let mut response = Response::new(Full::from(self.message + "\n"));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::limit(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body",
                format!(
                    "the body is larger than {} MiB, the limit of a review",
                    limits::BODY_BYTES_MAX >> 20
                ),
            ),
            BodyError::NoMemory => Self::busy("memory", "memory for reviews"),
            BodyError::BrokeOff => Self::wrong(
                StatusCode::BAD_REQUEST,
                "broke-off",
                "the body ended before its end",
            ),
        }
    }
}

impl From<ReviewError> for Refused {
    fn from(error: ReviewError) -> Self {
        let message = format!("{error}\nhint: {}", error.hint());
        Self::wrong(StatusCode::BAD_REQUEST, error.code(), message)
    }
}

/// What is wrong with the head of a request, if anything.
fn check(request: &Request<Incoming>) -> Result<(), Refused> {
    if request.uri().path() != PATH {
        return Err(Refused::wrong(
            StatusCode::NOT_FOUND,
            "path",
            format!("there is nothing here: reviews are sent to {PATH}"),
        ));
    }
    if request.method() != Method::POST {
        let mut refused = Refused::wrong(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "reviews are sent with POST",
        );
        refused.header = Some((ALLOW, HeaderValue::from_static("POST")));
        return Err(refused);
    }
    if !is_json(request.headers()) {
        return Err(Refused::wrong(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type",
            "reviews are sent as application/json, without an encoding",
        ));
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or("");
    essence.trim().eq_ignore_ascii_case("application/json")
        && !headers.contains_key(CONTENT_ENCODING)
}

/// How long the answer may take: API servers say in `?timeout=10s` after which time they stop to wait,
/// and ours should come before that.
fn total_time(query: Option<&str>) -> Duration {
    query
        .and_then(|query| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix("timeout="))
        })
        .and_then(|span| outrigger_profile::parse_span(span).ok())
        .filter(|span| !span.is_zero())
        .map_or(limits::TOTAL_TIMEOUT, |span| {
            (span * 9 / 10).min(limits::TOTAL_TIMEOUT)
        })
}

async fn review(
    server: &Server,
    body: Incoming,
    begun: Instant,
    total: Duration,
) -> Result<Response<Body>, Refused> {
    let mut memory = server
        .admission
        .bytes(0)
        .ok_or(Refused::from(BodyError::NoMemory))?;
    let body = body::read(body, &mut memory).await?;
    let mut review = Review::read(&body)?;
    if let Some(unknown) = Unknown::of(server, &review) {
        // What was read of the pod is let go of while others may use its memory.
        drop(review);
        // Half of the time is left for the answer.
        unknown
            .wait(server, limits::FACTS_WAIT_MAX.min(total / 2))
            .await;
        review = Review::read(&body)?;
    }
    let answer = review.answer(&*server.world, &server.settings, &*server.entropy);
    tell(server, &review, &answer, begun);
    let mut response = Response::new(Full::from(answer.into_body()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What a pod needs and the watches have not told of yet: pods may come a moment before that.
struct Unknown {
    namespace: String,
    owner: Option<(String, Option<String>)>,
    profile: Option<String>,
}

impl Unknown {
    fn of(server: &Server, review: &Review<'_>) -> Option<Self> {
        let owner = review.owner()?;
        if owner.kind != "StatefulSet" || !owner.api_version.starts_with("apps/") {
            return None;
        }
        let (world, namespace) = (&server.world, review.namespace());
        let known_owner = world
            .stateful_set(namespace, owner.name)
            // One of the same name may have been there before.
            .is_some_and(|known| {
                known.uid.is_none() || owner.uid.is_none() || known.uid.as_deref() == owner.uid
            });
        let profile = review
            .profile()
            .filter(|profile| world.profile(namespace, profile).is_none());
        if known_owner && profile.is_none() {
            return None;
        }
        let owner = (owner.name.to_owned(), owner.uid.map(str::to_owned));
        Some(Self {
            namespace: namespace.to_owned(),
            owner: (!known_owner).then_some(owner),
            profile: profile.map(str::to_owned),
        })
    }

    async fn wait(&self, server: &Server, within: Duration) {
        let (world, namespace) = (&server.world, &self.namespace);
        let owner = async {
            match &self.owner {
                Some((name, uid)) => {
                    let uid = uid.as_deref();
                    world.wait_for_owner(namespace, name, uid, within).await
                }
                None => true,
            }
        };
        let profile = async {
            match &self.profile {
                Some(name) => world.wait_for_profile(namespace, name, within).await,
                None => true,
            }
        };
        let (owner, profile) = tokio::join!(owner, profile);
        debug!(
            namespace,
            owner, profile, "What a pod needs was waited for: does it exist?"
        );
    }
}

/// Tells of an answer: on the log, in the metrics, and to the world, which may make an Event of it.
fn tell(server: &Server, review: &Review<'_>, answer: &Answer, begun: Instant) {
    let told = &answer.told;
    let (decision, reason) = (told.decision(), told.reason());
    server.metrics.decided(decision, reason);
    let namespace = review.namespace();
    let pod = review.name();
    let owner = review.owner();
    let statefulset = owner.map_or("", |owner| owner.name);
    let microseconds = begun.elapsed().as_micros();
    // Names, never contents.
    match told {
        Told::Denied(_) | Told::Refused { .. } | Told::PassedBy { .. } => warn!(
            namespace,
            pod, statefulset, decision, reason, microseconds, "A pod was reviewed"
        ),
        Told::Injected { .. } | Told::Skipped(_) => info!(
            namespace,
            pod, statefulset, decision, reason, microseconds, "A pod was reviewed"
        ),
    }
    // A dry run leaves no trace.
    if let Some(owner) = owner
        && !review.dry_run()
        && matches!(told, Told::Denied(_) | Told::Skipped(_))
    {
        server.world.tell(&Occasion {
            namespace,
            pod,
            owner,
            told,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_servers_where_it_is_shorter_than_ours() {
        assert_eq!(total_time(None), limits::TOTAL_TIMEOUT);
        assert_eq!(total_time(Some("timeout=10s")), limits::TOTAL_TIMEOUT);
        assert_eq!(
            total_time(Some("a=b&timeout=2s")),
            Duration::from_millis(1800)
        );
        assert_eq!(total_time(Some("timeout=0s")), limits::TOTAL_TIMEOUT);
        assert_eq!(total_time(Some("timeout=soon")), limits::TOTAL_TIMEOUT);
    }

    #[test]
    fn only_plain_json_is_read() {
        let check = |content: &'static str, encoding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
            if let Some(encoding) = encoding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            is_json(&headers)
        };
        assert!(check("application/json", None));
        assert!(check("Application/JSON; charset=utf-8", None));
        assert!(!check("application/json", Some("gzip")));
        assert!(!check("application/vnd.kubernetes.protobuf", None));
        assert!(!is_json(&HeaderMap::new()));
    }
}
