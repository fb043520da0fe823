//! Requests to the workload, its peers and other services: each is held against the grants and the caps, gets its
//! secrets, and goes out through the [`Transport`](crate::Transport).

use std::time::Duration;

use futures_util::StreamExt as _;
use outrigger_peers::Ordinal;
use outrigger_profile::{CA_KEY, EndpointAt, EndpointGrant, Method, Tls};

use crate::bindings::imports::endpoint;
use crate::bindings::wit;
use crate::call_state::{CallState, Shared};
use crate::imports::failure;
use crate::limits::{
    HEADER_BYTES_MAX, HEADERS_MAX, REQUEST_BODY_BYTES_MAX, REQUESTS_AT_ONCE_MAX,
    REQUESTS_IN_FLIGHT_MAX, REQUESTS_PER_CALL_MAX, RESPONSE_BODY_BYTES_MAX,
};
use crate::placeholder::{Escape, has_placeholder, substitute};
use crate::transport::{EndpointRequest, SecretError, Target, TransportError, Trust};

/// Headers that the transport sets, or that would change where the message ends.
const RESERVED_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "proxy-connection",
];

impl endpoint::Host for CallState {
    async fn send(
        &mut self,
        request: endpoint::Request,
    ) -> wasmtime::Result<Result<endpoint::Response, wit::Failure>> {
        if let Err(failure) = self.take_requests(1) {
            return Ok(Err(failure));
        }
        Ok(exchange(&self.shared, request).await)
    }

    async fn send_all(
        &mut self,
        requests: Vec<endpoint::Request>,
    ) -> wasmtime::Result<Vec<Result<endpoint::Response, wit::Failure>>> {
        let count = requests.len();
        let refused = if count > REQUESTS_AT_ONCE_MAX {
            Some(failure(
                wit::FailureKind::Limit,
                format!("{count} requests at once, the most is {REQUESTS_AT_ONCE_MAX}"),
            ))
        } else {
            self.take_requests(count).err()
        };
        if let Some(failure) = refused {
            return Ok(vec![Err(failure); count.min(REQUESTS_AT_ONCE_MAX)]);
        }
        let shared = &self.shared;
        let exchanges = requests
            .into_iter()
            .map(|request| exchange(shared, request));
        Ok(futures_util::stream::iter(exchanges)
            .buffered(REQUESTS_IN_FLIGHT_MAX)
            .collect()
            .await)
    }
}

impl CallState {
    fn take_requests(&mut self, count: usize) -> Result<(), wit::Failure> {
        let left = u32::try_from(count)
            .ok()
            .and_then(|count| self.requests_left.checked_sub(count));
        match left {
            Some(left) => {
                self.requests_left = left;
                Ok(())
            }
            None => Err(failure(
                wit::FailureKind::Limit,
                format!("more than {REQUESTS_PER_CALL_MAX} requests in one call"),
            )),
        }
    }
}

async fn exchange(
    shared: &Shared,
    request: endpoint::Request,
) -> Result<endpoint::Response, wit::Failure> {
    let request = prepare(shared, request)?;
    let timeout = request.timeout;
    let answer = tokio::time::timeout(timeout, shared.transport.send(request))
        .await
        .unwrap_or(Err(TransportError::Timeout(timeout)))
        .map_err(|error| {
            let kind = match error {
                TransportError::TooLarge(_) => wit::FailureKind::Limit,
                TransportError::LinkLocal { .. } => wit::FailureKind::Denied,
                TransportError::UnknownPeer(_)
                | TransportError::Connect { .. }
                | TransportError::Tls { .. }
                | TransportError::Timeout(_)
                | TransportError::Broken(_) => wit::FailureKind::Unavailable,
            };
            failure(kind, error.to_string())
        })?;
    if answer.body.len() > RESPONSE_BODY_BYTES_MAX {
        let error = TransportError::TooLarge(RESPONSE_BODY_BYTES_MAX);
        return Err(failure(wit::FailureKind::Limit, error.to_string()));
    }
    Ok(endpoint::Response {
        status: answer.status,
        headers: answer.headers,
        body: answer.body,
    })
}

/// The request as it goes out, or why it does not.
fn prepare(shared: &Shared, request: endpoint::Request) -> Result<EndpointRequest, wit::Failure> {
    let limit = |message: String| Err(failure(wit::FailureKind::Limit, message));
    let method = match request.method {
        endpoint::Method::Get => Method::Get,
        endpoint::Method::Head => Method::Head,
        endpoint::Method::Post => Method::Post,
        endpoint::Method::Put => Method::Put,
        endpoint::Method::Delete => Method::Delete,
        endpoint::Method::Patch => Method::Patch,
    };
    let is_peer = matches!(request.target, endpoint::Target::Peer(_));
    let grant = shared
        .grants
        .endpoint(&request.endpoint, method, &request.path, is_peer)
        .map_err(|reason| failure(wit::FailureKind::Denied, reason))?;
    let target = match (&grant.at, request.target) {
        (EndpointAt::Host(host), _) => Target::Host(host.clone()),
        (EndpointAt::Workload { .. }, endpoint::Target::Local) => Target::Local,
        (EndpointAt::Workload { .. }, endpoint::Target::Peer(ordinal)) => {
            Target::Peer(Ordinal(ordinal))
        }
    };
    if request.body.len() > REQUEST_BODY_BYTES_MAX {
        return limit(format!(
            "a body of {} bytes, the most is {REQUEST_BODY_BYTES_MAX}",
            request.body.len()
        ));
    }
    if request.headers.len() > HEADERS_MAX {
        return limit(format!(
            "{} headers, the most is {HEADERS_MAX}",
            request.headers.len()
        ));
    }
    let headers = headers(shared, grant, request.headers)?;
    let content_type = headers
        .iter()
        .find(|(name, _)| name == "content-type")
        .map(|(_, value)| value.as_str());
    let escape = Escape::of_content_type(content_type);
    let body = with_secrets(shared, grant, request.body, escape)?;
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > HEADER_BYTES_MAX || body.len() > REQUEST_BODY_BYTES_MAX {
        return limit(format!(
            "with its secrets the request has {bytes} bytes of headers (at most {HEADER_BYTES_MAX}) \
             and {} of body (at most {REQUEST_BODY_BYTES_MAX})",
            body.len()
        ));
    }
    let timeout = match request.timeout {
        0 => grant.timeout,
        millis => Duration::from_millis(millis.into()).min(grant.timeout),
    };
    Ok(EndpointRequest {
        target,
        tls: grant
            .tls
            .as_ref()
            .map(|tls| trust(shared, tls))
            .transpose()?,
        port: grant.port,
        method,
        path: request.path,
        headers,
        body,
        timeout,
        response_bytes_max: RESPONSE_BODY_BYTES_MAX,
    })
}

/// Whose certificates are trusted, as it stands in the Secret now.
fn trust(shared: &Shared, tls: &Tls) -> Result<Trust, wit::Failure> {
    match &tls.ca_secret {
        None => Ok(Trust::Public),
        Some(secret) => read_secret(shared, secret, CA_KEY).map(Trust::Only),
    }
}

fn read_secret(shared: &Shared, secret: &str, key: &str) -> Result<Vec<u8>, wit::Failure> {
    shared.secrets.read(secret, key).map_err(|error| {
        let kind = match error {
            SecretError::NoSecret(_) | SecretError::Unreadable { .. } => {
                wit::FailureKind::Unavailable
            }
            SecretError::NoKey { .. } => wit::FailureKind::InvalidConfig,
        };
        failure(kind, error.to_string())
    })
}

fn headers(
    shared: &Shared,
    grant: &EndpointGrant,
    headers: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, wit::Failure> {
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let is_token = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token {
            return Err(failure(
                wit::FailureKind::Denied,
                format!("`{}` is not the name of a header", name.escape_debug()),
            ));
        }
        if RESERVED_HEADERS.contains(&name.as_str()) {
            return Err(failure(
                wit::FailureKind::Denied,
                format!("the header `{name}` is set by the host"),
            ));
        }
        let value = with_secrets(shared, grant, value.into_bytes(), Escape::Plain)?;
        // A secret may end in a line feed (a file of `echo`); one within it would start a header.
        let value = String::from_utf8(value)
            .map(|text| text.trim().to_owned())
            .ok()
            .filter(|text| !text.chars().any(|c| c.is_control() && c != '\t'))
            .ok_or_else(|| {
                failure(
                    wit::FailureKind::Denied,
                    format!("the value of the header `{name}` is not text of one line"),
                )
            })?;
        kept.push((name, value));
    }
    Ok(kept)
}

fn with_secrets(
    shared: &Shared,
    grant: &EndpointGrant,
    text: Vec<u8>,
    escape: Escape,
) -> Result<Vec<u8>, wit::Failure> {
    if !has_placeholder(&text) {
        return Ok(text);
    }
    let Some(secret) = grant.secret.as_deref() else {
        return Err(failure(
            wit::FailureKind::Denied,
            "the profile grants this endpoint no secret",
        ));
    };
    let read = |key: &str| read_secret(shared, secret, key);
    let unfit = |key: &str, problem: &'static str| {
        failure(
            wit::FailureKind::InvalidConfig,
            format!("the key `{key}` of the secret `{secret}` {problem}"),
        )
    };
    substitute(&text, escape, read, unfit)
}
