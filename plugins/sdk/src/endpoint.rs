//! HTTP requests to the workload and its peers, or to another service, by the name of a granted endpoint.
//! An endpoint that the profile grants with a `host` is asked at [`Target::Local`].
//!
//! There are no URLs here: the host adds the address, the credentials, the limits and the deadline.

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::outrigger::plugin::endpoint as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::fake::endpoint as host;

pub use crate::bindings::host::outrigger::plugin::endpoint::{Method, Request, Response, Target};

use crate::json::{self, FromJson, ToJson};
use crate::{Failure, Millis};

/// The most requests that one [`send_all`] of the host takes.
const FAN_OUT: usize = 64;

/// The placeholder for a key of the endpoint's Secret, for header values and bodies. The host puts the
/// value in; it never enters the plugin.
pub fn secret(key: &str) -> String {
    format!("${{secret:{key}}}")
}

/// Sends any number of requests at the same time, 64 in flight; answers in the order of the requests.
pub fn send_all(requests: &[Request]) -> Vec<Result<Response, Failure>> {
    requests.chunks(FAN_OUT).flat_map(host::send_all).collect()
}

impl Request {
    /// A request of the endpoint that the profile grants under this name. `path` starts with `/`.
    pub fn new(
        method: Method,
        endpoint: impl Into<String>,
        target: Target,
        path: impl Into<String>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            target,
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: 0,
        }
    }

    /// A `GET`.
    pub fn get(endpoint: impl Into<String>, target: Target, path: impl Into<String>) -> Self {
        Self::new(Method::Get, endpoint, target, path)
    }

    /// A `POST`.
    pub fn post(endpoint: impl Into<String>, target: Target, path: impl Into<String>) -> Self {
        Self::new(Method::Post, endpoint, target, path)
    }

    /// Adds a header; the value may hold a [`secret`] placeholder.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body; it may hold [`secret`] placeholders.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its content type. In it the host puts secrets in escaped.
    #[must_use]
    pub fn json<T: ToJson + ?Sized>(self, value: &T) -> Self {
        self.header("content-type", "application/json")
            .body(value.to_json().to_string())
    }

    /// The wall time for the whole exchange; 0 = the grant's own, which is also the most.
    #[must_use]
    pub fn timeout(mut self, timeout: Millis) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it. Only a missing answer is a failure: look at the status.
    pub fn send(&self) -> Result<Response, Failure> {
        host::send(self)
    }
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `internal`, with the place, when it is not that.
    pub fn json<T: FromJson>(&self) -> Result<T, Failure> {
        let understand = |text| json::parse(text).map_err(|error| error.to_string());
        std::str::from_utf8(&self.body)
            .map_err(|error| error.to_string())
            .and_then(understand)
            .map_err(|error| {
                Failure::internal(format!("an answer that is not understood: {error}"))
            })
    }

    /// The first header of this name, which is compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;
    use crate::json::Value;

    #[test]
    fn a_request_carries_placeholders_and_never_the_secret() {
        let host = FakeHost::new().endpoint("api", Target::Local, "POST /login", 200, r#""token""#);
        let body = Value::object([("password", secret("password").to_json())]);
        let answer = Request::post("api", Target::Local, "/login")
            .json(&body)
            .send()
            .unwrap();
        assert_eq!(answer.json::<String>().as_deref(), Ok("token"));
        assert_eq!(
            host.requests()[0].body,
            br#"{"password":"${secret:password}"}"#
        );
    }

    #[test]
    fn more_requests_than_the_host_takes_at_once_are_sent_in_turns() {
        let host = FakeHost::new().endpoint("api", Target::Local, "GET /", 204, "");
        let many = vec![Request::get("api", Target::Local, "/"); 130];
        let answers = send_all(&many);
        assert_eq!(answers.len(), 130);
        assert!(
            answers
                .iter()
                .all(|a| a.as_ref().is_ok_and(Response::is_success))
        );
        assert_eq!(host.requests().len(), 130);
    }
}
