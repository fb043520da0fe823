//! A host for native tests: it answers the imports of plugins that run on this thread.
//!
//! ```
//! use outrigger_plugin_sdk::endpoint::{Request, Target};
//! use outrigger_plugin_sdk::fake::FakeHost;
//!
//! let host = FakeHost::new()
//!     .setting("lag-limit", "100")
//!     .endpoint("api", Target::Peer(1), "GET /status", 200, "ok")
//!     .refusing("api", Target::Peer(2), "GET /status");
//! assert!(Request::get("api", Target::Peer(1), "/status").send().is_ok());
//! assert!(Request::get("api", Target::Peer(2), "/status").send().is_err());
//! assert_eq!(host.requests().len(), 2);
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::endpoint::{Method, Request, Response, Target};
use crate::log::Level;
use crate::{Failure, FailureKind, Membership, Replica};

thread_local! {
    static HOST: RefCell<Option<Rc<RefCell<Inner>>>> = const { RefCell::new(None) };
}

type Answer = Result<Response, Failure>;

#[derive(Debug)]
struct Inner {
    settings: BTreeMap<String, String>,
    secrets: Vec<String>,
    state: BTreeMap<String, Vec<u8>>,
    membership: Option<Membership>,
    related: BTreeMap<String, Membership>,
    answers: BTreeMap<String, VecDeque<Answer>>,
    denied: Vec<String>,
    requests: Vec<Request>,
    volumes: BTreeMap<String, Volume>,
    log: Vec<String>,
    level: Level,
    wall: f64,
    mono: f64,
}

#[derive(Debug, Default)]
struct Volume {
    files: BTreeMap<String, Vec<u8>>,
    writable: bool,
    /// Total and available bytes; half of a gigabyte unless set.
    size: Option<(f64, f64)>,
}

/// The fake. It serves the thread that made it until another one is made there or it is dropped.
#[derive(Debug)]
pub struct FakeHost {
    inner: Rc<RefCell<Inner>>,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        HOST.with_borrow_mut(|slot| {
            if slot
                .as_ref()
                .is_some_and(|current| Rc::ptr_eq(current, &self.inner))
            {
                *slot = None;
            }
        });
    }
}

/// `desired` replicas of the namespace `default`, of which `own` is this one (beyond them, when it is being
/// removed).
pub fn members(
    service: &str,
    own: u32,
    desired: u32,
    replica: impl Fn(u32) -> Replica,
) -> Membership {
    let leaving = (own >= desired).then_some(own);
    Membership {
        revision: 1,
        self_ordinal: own,
        start: 0,
        desired,
        namespace: "default".to_owned(),
        service: service.to_owned(),
        replicas: (0..desired).chain(leaving).map(replica).collect(),
        stale_for: 0,
    }
}

impl FakeHost {
    /// A host that grants nothing, knows nothing and has clocks that stand still.
    pub fn new() -> Self {
        let inner = Rc::new(RefCell::new(Inner {
            settings: BTreeMap::new(),
            secrets: Vec::new(),
            state: BTreeMap::new(),
            membership: None,
            related: BTreeMap::new(),
            answers: BTreeMap::new(),
            denied: Vec::new(),
            requests: Vec::new(),
            volumes: BTreeMap::new(),
            log: Vec::new(),
            level: Level::Trace,
            wall: 1_750_000_000_000.0,
            mono: 1_000.0,
        }));
        HOST.set(Some(Rc::clone(&inner)));
        Self { inner }
    }

    /// Sets a setting to a JSON text.
    #[must_use]
    pub fn setting(self, key: &str, json: &str) -> Self {
        self.inner
            .borrow_mut()
            .settings
            .insert(key.to_owned(), json.to_owned());
        self
    }

    /// Grants a Secret.
    #[must_use]
    pub fn secret(self, name: &str) -> Self {
        self.inner.borrow_mut().secrets.push(name.to_owned());
        self
    }

    /// What [`cluster::current`](crate::cluster::current) answers.
    #[must_use]
    pub fn membership(self, membership: Membership) -> Self {
        self.inner.borrow_mut().membership = Some(membership);
        self
    }

    /// What [`cluster::related`](crate::cluster::related) answers for a name.
    #[must_use]
    pub fn related(self, name: &str, membership: Membership) -> Self {
        self.inner
            .borrow_mut()
            .related
            .insert(name.to_owned(), membership);
        self
    }

    /// Keeps log lines of this level and above.
    #[must_use]
    pub fn log_level(self, level: Level) -> Self {
        self.inner.borrow_mut().level = level;
        self
    }

    /// Answers `line` (`"GET /path"`) at this target; a service that is granted by its `host` is `Local`. Given several times, the answers are used one
    /// after the other and the last one stays.
    #[must_use]
    pub fn endpoint(self, name: &str, target: Target, line: &str, status: u16, body: &str) -> Self {
        self.answers(name, target, line, status, body);
        self
    }

    /// The same on a host in use.
    pub fn answers(&self, name: &str, target: Target, line: &str, status: u16, body: &str) {
        let answer = Response {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        self.push(name, target, line, Ok(answer));
    }

    /// Nobody listens for `line` at this target: the request fails with `unavailable`, as does any
    /// request that nothing was said about.
    #[must_use]
    pub fn refusing(self, name: &str, target: Target, line: &str) -> Self {
        self.refuses(name, target, line);
        self
    }

    /// The same on a host in use.
    pub fn refuses(&self, name: &str, target: Target, line: &str) {
        self.push(
            name,
            target,
            line,
            Err(Failure::unavailable("connection refused")),
        );
    }

    /// The profile does not grant this endpoint: every request of it fails with `denied`.
    #[must_use]
    pub fn denying(self, name: &str) -> Self {
        self.inner.borrow_mut().denied.push(name.to_owned());
        self
    }

    /// Forgets all answers, to say new ones.
    pub fn forget_answers(&self) {
        self.inner.borrow_mut().answers.clear();
    }

    fn push(&self, name: &str, target: Target, line: &str, answer: Answer) {
        let key = key(name, target, line);
        self.inner
            .borrow_mut()
            .answers
            .entry(key)
            .or_default()
            .push_back(answer);
    }

    /// Grants a volume for reading, and for writing where `writable`.
    #[must_use]
    pub fn volume(self, name: &str, writable: bool) -> Self {
        self.inner
            .borrow_mut()
            .volumes
            .entry(name.to_owned())
            .or_default()
            .writable = writable;
        self
    }

    /// Grants a volume that has this many bytes, and this many of them available.
    #[must_use]
    pub fn usage(self, name: &str, total: f64, available: f64) -> Self {
        let mut inner = self.inner.borrow_mut();
        let volume = inner.volumes.entry(name.to_owned()).or_default();
        volume.size = Some((total, available));
        drop(inner);
        self
    }

    /// Puts a file into a volume, which is thereby granted.
    #[must_use]
    pub fn file(self, volume: &str, path: &str, content: impl Into<Vec<u8>>) -> Self {
        let mut inner = self.inner.borrow_mut();
        let volume = inner.volumes.entry(volume.to_owned()).or_default();
        volume.files.insert(path.to_owned(), content.into());
        drop(inner);
        self
    }

    /// Moves both clocks on.
    pub fn advance(&self, millis: f64) {
        let mut inner = self.inner.borrow_mut();
        inner.wall += millis;
        inner.mono += millis;
    }

    /// The requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.inner.borrow().requests.clone()
    }

    /// The same as short texts: `POST peer(1) /path`.
    pub fn request_lines(&self) -> Vec<String> {
        let line = |request: &Request| {
            let target = match request.target {
                Target::Local => "local".to_owned(),
                Target::Peer(ordinal) => format!("peer({ordinal})"),
            };
            format!("{} {target} {}", method(request.method), request.path)
        };
        self.inner.borrow().requests.iter().map(line).collect()
    }

    /// The log lines so far: `LEVEL message key=value …`.
    pub fn log_lines(&self) -> Vec<String> {
        self.inner.borrow().log.clone()
    }

    /// What is kept under a key of the state.
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.inner.borrow().state.get(key).cloned()
    }

    /// What a file of a volume holds.
    pub fn content(&self, volume: &str, path: &str) -> Option<Vec<u8>> {
        self.inner
            .borrow()
            .volumes
            .get(volume)?
            .files
            .get(path)
            .cloned()
    }
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Patch => "PATCH",
    }
}

fn key(endpoint: &str, target: Target, line: &str) -> String {
    format!("{endpoint} {target:?} {line}")
}

/// Runs with the thread's host; without one every import is empty, as in a component without grants.
fn with<T>(use_it: impl FnOnce(&mut Inner) -> T) -> Option<T> {
    let host = HOST.with_borrow(Clone::clone)?;
    let mut inner = host.borrow_mut();
    Some(use_it(&mut inner))
}

fn denied(what: &str) -> Failure {
    Failure::new(FailureKind::Denied, format!("{what} is not granted"))
}

pub(crate) mod clock {
    pub(crate) fn wall() -> f64 {
        super::with(|host| host.wall).unwrap_or_default()
    }

    pub(crate) fn mono() -> f64 {
        super::with(|host| host.mono).unwrap_or_default()
    }
}

pub(crate) mod cluster {
    use crate::Membership;

    pub(crate) fn current() -> Membership {
        super::with(|host| host.membership.clone())
            .flatten()
            .expect("a test that asks for the cluster says what it is: FakeHost::membership")
    }

    pub(crate) fn revision() -> u32 {
        current().revision
    }

    pub(crate) fn related(name: &str) -> Option<Membership> {
        super::with(|host| host.related.get(name).cloned()).flatten()
    }
}

pub(crate) mod log {
    use crate::log::Level;

    pub(crate) fn enabled(level: Level) -> bool {
        super::with(|host| level >= host.level).unwrap_or(false)
    }

    pub(crate) fn emit(level: Level, message: &str, fields: &[(String, String)]) {
        let name = match level {
            Level::Trace => "TRACE",
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        };
        let fields = fields.iter().map(|(key, value)| format!(" {key}={value}"));
        let line = format!("{name} {message}{}", fields.collect::<String>());
        if enabled(level) {
            super::with(|host| host.log.push(line));
        }
    }
}

pub(crate) mod settings {
    pub(crate) fn get(key: &str) -> Option<String> {
        super::with(|host| host.settings.get(key).cloned()).flatten()
    }

    pub(crate) fn all() -> Vec<(String, String)> {
        super::with(|host| host.settings.clone().into_iter().collect()).unwrap_or_default()
    }

    pub(crate) fn secret_exists(name: &str) -> bool {
        super::with(|host| host.secrets.iter().any(|s| s == name)).unwrap_or(false)
    }
}

pub(crate) mod state {
    use crate::Failure;

    pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
        super::with(|host| host.state.get(key).cloned()).flatten()
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "the host's own may fail with `limit`"
    )]
    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Failure> {
        super::with(|host| host.state.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn delete(key: &str) {
        super::with(|host| host.state.remove(key));
    }

    pub(crate) fn compare_and_set(
        key: &str,
        expect: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, Failure> {
        if get(key).as_deref() != expect {
            return Ok(false);
        }
        set(key, value).map(|()| true)
    }
}

pub(crate) mod endpoint {
    use super::{Answer, denied, key, method};
    use crate::Failure;
    use crate::endpoint::Request;

    pub(crate) fn send(request: &Request) -> Answer {
        let line = format!("{} {}", method(request.method), request.path);
        super::with(|host| {
            host.requests.push(request.clone());
            if host.denied.contains(&request.endpoint) {
                let what = format!("the endpoint `{}`", request.endpoint);
                return Some(Err(denied(&what)));
            }
            let queue = host
                .answers
                .get_mut(&key(&request.endpoint, request.target, &line))?;
            if queue.len() > 1 {
                queue.pop_front()
            } else {
                queue.front().cloned()
            }
        })
        .flatten()
        .unwrap_or_else(|| Err(Failure::unavailable(format!("nobody answers `{line}`"))))
    }

    pub(crate) fn send_all(requests: &[Request]) -> Vec<Answer> {
        assert!(requests.len() <= 64, "the host takes 64 requests at once");
        requests.iter().map(send).collect()
    }
}

pub(crate) mod files {
    use super::denied;
    use crate::files::FsUsage;
    use crate::{Failure, FailureKind};

    pub(crate) fn read(volume: &str, path: &str, max: u32) -> Result<Vec<u8>, Failure> {
        super::with(|host| {
            let granted = host
                .volumes
                .get(volume)
                .ok_or_else(|| denied(&format!("volume `{volume}`")))?;
            let content = granted
                .files
                .get(path)
                .ok_or_else(|| Failure::unavailable(format!("`{path}` does not exist")))?;
            if content.len() > usize::try_from(max).unwrap_or(usize::MAX) {
                let message = format!("`{path}` is longer than {max} bytes");
                return Err(Failure::new(FailureKind::Limit, message));
            }
            Ok(content.clone())
        })
        .unwrap_or_else(|| Err(denied("reading")))
    }

    pub(crate) fn write(volume: &str, path: &str, content: &[u8]) -> Result<(), Failure> {
        super::with(|host| match host.volumes.get_mut(volume) {
            Some(granted) if granted.writable => {
                granted.files.insert(path.to_owned(), content.to_vec());
                Ok(())
            }
            _ => Err(denied(&format!("writing to volume `{volume}`"))),
        })
        .unwrap_or_else(|| Err(denied("writing")))
    }

    pub(crate) fn entries(volume: &str, path: &str) -> Result<Vec<String>, Failure> {
        super::with(|host| {
            let granted = host
                .volumes
                .get(volume)
                .ok_or_else(|| denied(&format!("volume `{volume}`")))?;
            let prefix = if path.is_empty() {
                String::new()
            } else {
                format!("{path}/")
            };
            let mut names: Vec<String> = granted
                .files
                .keys()
                .filter_map(|file| {
                    file.strip_prefix(&prefix)?
                        .split('/')
                        .next()
                        .map(str::to_owned)
                })
                .collect();
            names.dedup();
            Ok(names)
        })
        .unwrap_or_else(|| Err(denied("reading")))
    }

    pub(crate) fn usage(volume: &str) -> Result<FsUsage, Failure> {
        super::with(|host| match host.volumes.get(volume) {
            Some(granted) => {
                let (total, available) = granted.size.unwrap_or((1e9, 5e8));
                Ok(FsUsage {
                    total,
                    available,
                    inodes_free: 1e6,
                })
            }
            None => Err(denied(&format!("volume `{volume}`"))),
        })
        .unwrap_or_else(|| Err(denied("reading")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn answers_are_used_in_order_and_the_last_one_stays() {
        let _host = FakeHost::new()
            .endpoint("api", Target::Local, "GET /", 503, "")
            .endpoint("api", Target::Local, "GET /", 200, "");
        let status = || {
            Request::get("api", Target::Local, "/")
                .send()
                .unwrap()
                .status
        };
        assert_eq!([status(), status(), status()], [503, 200, 200]);
    }

    #[test]
    fn a_volume_that_is_not_granted_for_writing_refuses_writes() {
        let host = FakeHost::new()
            .file("data", "a/b", "x")
            .volume("scratch", true);
        assert_eq!(
            files::write("data", "c", b"y").unwrap_err().kind,
            FailureKind::Denied
        );
        assert_eq!(files::write("scratch", "c", b"y"), Ok(()));
        assert_eq!(host.content("scratch", "c"), Some(b"y".to_vec()));
        assert_eq!(files::entries("data", ""), Ok(vec!["a".to_owned()]));
        assert_eq!(
            files::read("none", "c", 9).unwrap_err().kind,
            FailureKind::Denied
        );
    }

    #[test]
    fn a_dropped_host_answers_no_more() {
        drop(FakeHost::new().setting("a", "1"));
        assert_eq!(crate::settings::raw("a"), None);
    }
}
