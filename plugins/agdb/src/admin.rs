//! What only an admin of agdb may do. The credentials stay in the host; the session's token is kept, so
//! that not every scrape makes a session.

use outrigger_plugin_sdk::endpoint::{Request, Response, Target, secret};
use outrigger_plugin_sdk::json::{Error, FromJson, ToJson, Value};
use outrigger_plugin_sdk::{Failure, FailureKind, clock, settings, state};

use crate::settings::{ENDPOINT, Settings};

/// The state's key of the session's token, which is this server's own.
const TOKEN: &str = "token";

/// The state's key of when a refused login may be tried again.
const REFUSED_UNTIL: &str = "login-refused-until";

/// Wrong credentials do not become right by themselves, and agdb takes its time to hash each try.
const RETRY_LOGIN_AFTER_MS: u64 = 60_000;

const TIMEOUT_MS: u32 = 1_500;

/// `/api/v1/admin/status`. All are whole numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminStatus {
    /// Seconds.
    pub uptime: u64,
    /// Databases.
    pub dbs: u64,
    /// Users.
    pub users: u64,
    /// Bytes on disk.
    pub size: u64,
    /// Bytes of the process.
    pub memory: u64,
}

impl FromJson for AdminStatus {
    fn from_json(value: &Value) -> Result<Self, Error> {
        Ok(Self {
            uptime: value.field("uptime")?,
            dbs: value.field("dbs")?,
            users: value.field("users")?,
            size: value.field("size")?,
            memory: value.field("memory")?,
        })
    }
}

/// Whether the credentials are granted.
pub fn is_granted(settings: &Settings) -> bool {
    settings::secret_exists(&settings.admin_secret)
}

/// The status of this replica's server. Fails with `denied` when the credentials are refused.
pub fn status(settings: &Settings) -> Result<AdminStatus, Failure> {
    let request = Request::get(ENDPOINT, Target::Local, settings.path("admin/status"));
    call(settings, request)?.json()
}

/// Asks this replica's server to stop. It answers before it does.
pub fn shutdown(settings: &Settings) -> Result<(), Failure> {
    let request = Request::post(ENDPOINT, Target::Local, settings.path("admin/shutdown"));
    call(settings, request).map(|_accepted| ())
}

/// Sends with the kept token, and once more with a new one if that is no longer taken.
fn call(settings: &Settings, request: Request) -> Result<Response, Failure> {
    let request = request.timeout(TIMEOUT_MS);
    let authorised = |token: &str| {
        request
            .clone()
            .header("authorization", format!("Bearer {token}"))
    };
    if let Some(token) = state::load::<String>(TOKEN) {
        let response = authorised(&token).send()?;
        if response.status != 401 {
            return accepted(response);
        }
        state::delete(TOKEN);
    }
    accepted(authorised(&login(settings)?).send()?)
}

fn accepted(response: Response) -> Result<Response, Failure> {
    if response.is_success() {
        return Ok(response);
    }
    let kind = match response.status {
        401 | 403 => FailureKind::Denied,
        _ => FailureKind::Unavailable,
    };
    Err(Failure::new(
        kind,
        format!("agdb answers {}", response.status),
    ))
}

fn login(settings: &Settings) -> Result<String, Failure> {
    let now = unix_ms();
    if let Some(until) = state::load::<u64>(REFUSED_UNTIL)
        // A clock that was set back does not lock anyone out.
        && until.checked_sub(now).is_some_and(|wait| wait <= RETRY_LOGIN_AFTER_MS)
    {
        return Err(Failure::new(
            FailureKind::Denied,
            format!(
                "agdb refused the credentials of the Secret `{}`",
                settings.admin_secret
            ),
        ));
    }
    let credentials = Value::object([
        ("username", secret("username").to_json()),
        ("password", secret("password").to_json()),
    ]);
    let response = Request::post(ENDPOINT, Target::Local, settings.path("user/login"))
        .json(&credentials)
        .timeout(TIMEOUT_MS)
        .send()?;
    if matches!(response.status, 401 | 403 | 404) {
        keep(REFUSED_UNTIL, &(now + RETRY_LOGIN_AFTER_MS));
        return Err(Failure::new(
            FailureKind::Denied,
            format!(
                "agdb refuses the credentials of the Secret `{}` ({})",
                settings.admin_secret, response.status
            ),
        ));
    }
    let token: String = accepted(response)?.json()?;
    keep(TOKEN, &token);
    Ok(token)
}

/// Milliseconds since the Unix epoch, as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the host's clock is after 1970 and far below 2^53"
)]
pub(crate) fn unix_ms() -> u64 {
    clock::wall() as u64
}

fn keep<T: ToJson>(key: &str, value: &T) {
    if let Err(failure) = state::store(key, value) {
        outrigger_plugin_sdk::warn!("The session is not kept", "error" => failure.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::fake::FakeHost;

    const LOGIN: &str = "POST /api/v1/user/login";
    const STATUS: &str = "GET /api/v1/admin/status";
    const CAPTURED: &str = include_str!("../tests/data/admin-status.json");

    fn host() -> FakeHost {
        FakeHost::new().secret("agdb-admin")
    }

    #[test]
    fn the_login_names_the_secret_and_the_token_is_used_again() {
        let host = host()
            .endpoint("api", Target::Local, LOGIN, 200, r#""149c53c3""#)
            .endpoint("api", Target::Local, STATUS, 200, CAPTURED);
        let settings = Settings::default();
        assert_eq!(status(&settings).map(|s| s.memory), Ok(23_498_752));
        assert_eq!(status(&settings).map(|s| s.dbs), Ok(1));
        let lines = host.request_lines();
        assert_eq!(
            lines,
            [
                "POST local /api/v1/user/login",
                "GET local /api/v1/admin/status",
                "GET local /api/v1/admin/status"
            ]
        );
        let login = &host.requests()[0];
        assert_eq!(
            std::str::from_utf8(&login.body).unwrap(),
            r#"{"username":"${secret:username}","password":"${secret:password}"}"#
        );
        assert_eq!(
            login.headers,
            [("content-type".to_owned(), "application/json".to_owned())]
        );
        let bearer = ("authorization".to_owned(), "Bearer 149c53c3".to_owned());
        assert_eq!(host.requests()[2].headers, [bearer]);
    }

    #[test]
    fn a_token_that_is_no_longer_taken_is_replaced_once() {
        let host = host()
            .endpoint("api", Target::Local, LOGIN, 200, r#""new""#)
            .endpoint("api", Target::Local, STATUS, 401, "")
            .endpoint("api", Target::Local, STATUS, 200, CAPTURED);
        state::store(TOKEN, "old").unwrap();
        assert!(status(&Settings::default()).is_ok());
        assert_eq!(host.state(TOKEN).as_deref(), Some(br#""new""#.as_slice()));
    }

    #[test]
    fn refused_credentials_are_not_tried_again_for_a_minute() {
        let host = host().endpoint("api", Target::Local, LOGIN, 401, "unauthorized");
        let settings = Settings::default();
        assert_eq!(status(&settings).unwrap_err().kind, FailureKind::Denied);
        assert_eq!(status(&settings).unwrap_err().kind, FailureKind::Denied);
        assert_eq!(host.requests().len(), 1);
        host.advance(60_001.0);
        assert!(status(&settings).is_err());
        assert_eq!(host.requests().len(), 2);
    }
}
