//! A stand-in for the API server in tests: objects with versions, conditional writes, watches, pages,
//! and a clock that is tokio's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::client::ApiServer;

/// The instant at which its clock begins: 2026-06-01.
pub const BEGIN: Duration = Duration::from_hours(494_520);

type Line = Result<String, std::convert::Infallible>;

#[derive(Debug)]
struct Watcher {
    path: String,
    selected: Selected,
    send: mpsc::UnboundedSender<Line>,
}

/// What of a collection is asked for: by name and by labels.
#[derive(Debug, Default)]
struct Selected {
    name: Option<String>,
    labels: Vec<(String, String)>,
}

impl Selected {
    fn by(query: &BTreeMap<String, String>) -> Self {
        let pairs = query
            .get("labelSelector")
            .map_or("", String::as_str)
            .split(',')
            .filter_map(|pair| pair.split_once('='));
        Self {
            name: query
                .get("fieldSelector")
                .and_then(|selector| selector.strip_prefix("metadata.name=").map(str::to_owned)),
            labels: pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    fn holds(&self, path: &str, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let named = |name: &String| path.ends_with(&format!("/{name}"));
        self.name.as_ref().is_none_or(named)
            && self
                .labels
                .iter()
                .all(|(key, value)| labels[key] == value.as_str())
    }
}

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    /// By the path of the object.
    objects: BTreeMap<String, Value>,
    /// The changes that a watch may begin with: version, event, path.
    history: Vec<(u64, Value, String)>,
    /// Watches from before this version are too old.
    forgotten: u64,
    watchers: Vec<Watcher>,
    /// Answers to come instead of what would be answered, by the beginning of the path.
    refusals: Vec<(String, StatusCode)>,
    /// Answers that stay until they are taken back, by the beginning of the path.
    forbidden: Vec<String>,
    /// Why no pod may be evicted now.
    budget: Option<String>,
    /// Nothing is answered.
    away: bool,
    /// Watches that are open and hear nothing any more.
    deaf: Vec<Watcher>,
    /// What was asked: method and path.
    asked: Vec<String>,
}

/// The stand-in. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct StandIn {
    inner: Arc<Mutex<Inner>>,
    begun: Instant,
}

impl Default for StandIn {
    fn default() -> Self {
        Self::new()
    }
}

impl StandIn {
    /// Empty.
    pub fn new() -> Self {
        Self {
            inner: Arc::default(),
            begun: Instant::now(),
        }
    }

    /// The way to it.
    pub fn api(&self) -> ApiServer {
        let router = Router::new().fallback(answer).with_state(self.clone());
        ApiServer::new(kube::Client::new(router, "default"))
    }

    /// Its clock.
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + BEGIN + self.begun.elapsed()
    }

    /// Writes an object as somebody else. `path` is the object's.
    pub fn put(&self, path: &str, object: Value) {
        self.inner.lock().unwrap().put(path, object);
    }

    /// Deletes an object as somebody else.
    pub fn delete(&self, path: &str) {
        self.inner.lock().unwrap().delete(path);
    }

    /// The object there, as it is now.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.inner.lock().unwrap().objects.get(path).cloned()
    }

    /// Every object of a collection.
    pub fn all(&self, collection: &str) -> Vec<Value> {
        let inner = self.inner.lock().unwrap();
        let all = inner.objects.iter();
        all.filter(|(path, _)| within(collection, path))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// The next request whose path begins so is answered with this status.
    pub fn refuse(&self, path: &str, status: StatusCode) {
        self.inner
            .lock()
            .unwrap()
            .refusals
            .push((path.to_owned(), status));
    }

    /// Requests whose path begins so are answered with 403 from now on.
    pub fn forbid(&self, path: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.forbidden.push(path.to_owned());
        inner
            .watchers
            .retain(|watcher| !watcher.path.starts_with(path));
    }

    /// What was forbidden is allowed again.
    pub fn allow(&self, path: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.forbidden.retain(|forbidden| forbidden != path);
    }

    /// No pod may be evicted from now on, as a budget says; or any may.
    pub fn hold_evictions(&self, why: Option<&str>) {
        self.inner.lock().unwrap().budget = why.map(str::to_owned);
    }

    /// It answers nothing from now on and all watches end, or it is back.
    pub fn set_away(&self, away: bool) {
        let mut inner = self.inner.lock().unwrap();
        inner.away = away;
        inner.watchers.clear();
    }

    /// All watches stay open and hear nothing any more, as behind a firewall that forgot them.
    pub fn deafen(&self) {
        let mut inner = self.inner.lock().unwrap();
        let watchers = std::mem::take(&mut inner.watchers);
        inner.deaf.extend(watchers);
    }

    /// Tells all watches that they are current, as is done about every minute.
    pub fn bookmark(&self) {
        let inner = self.inner.lock().unwrap();
        let version = inner.version.to_string();
        let line = json!({"type": "BOOKMARK", "object": {"kind": "Bookmark", "apiVersion": "v1", "metadata": {"resourceVersion": version}}});
        for watcher in &inner.watchers {
            // Whoever has gone meanwhile does not hear it.
            drop(watcher.send.send(Ok(format!("{line}\n"))));
        }
    }

    /// Ends all watches; those that come back from before now are too old.
    pub fn forget(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.version += 1;
        inner.forgotten = inner.version;
        inner.watchers.clear();
    }

    /// What was asked since this was last called: method and path.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().asked)
    }
}

impl Inner {
    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let kind = if self
            .objects
            .insert(path.to_owned(), object.clone())
            .is_some()
        {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.tell(kind, path, &object);
        object
    }

    fn delete(&mut self, path: &str) {
        if let Some(mut object) = self.objects.remove(path) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.tell("DELETED", path, &object);
        }
    }

    fn tell(&mut self, kind: &str, path: &str, object: &Value) {
        let event = json!({"type": kind, "object": object});
        let line = format!("{event}\n");
        self.watchers.retain(|watcher| {
            !watcher.wants(path, object) || watcher.send.send(Ok(line.clone())).is_ok()
        });
        self.history.push((self.version, event, path.to_owned()));
    }

    fn list(&self, collection: &str, selected: &Selected, page: usize, from: usize) -> Value {
        let all: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(path, object)| within(collection, path) && selected.holds(path, object))
            .map(|(_, object)| object)
            .collect();
        let items: Vec<&&Value> = all.iter().skip(from).take(page).collect();
        let more = if from + page < all.len() {
            (from + page).to_string()
        } else {
            String::new()
        };
        json!({"metadata": {"resourceVersion": self.version.to_string(), "continue": more}, "items": items})
    }

    fn watch(&mut self, collection: &str, selected: Selected, since: u64) -> Body {
        let (send, receive) = mpsc::unbounded_channel();
        let watcher = Watcher {
            path: collection.to_owned(),
            selected,
            send,
        };
        if since != 0 && since < self.forgotten {
            let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version", "reason": "Expired", "status": "Failure"}});
            watcher.send.send(Ok(format!("{gone}\n"))).unwrap();
        } else {
            for (version, event, path) in &self.history {
                if *version > since && watcher.wants(path, &event["object"]) {
                    watcher.send.send(Ok(format!("{event}\n"))).unwrap();
                }
            }
            self.watchers.push(watcher);
        }
        Body::from_stream(UnboundedReceiverStream::new(receive))
    }
}

impl Watcher {
    fn wants(&self, path: &str, object: &Value) -> bool {
        within(&self.path, path) && self.selected.holds(path, object)
    }
}

fn decoded(value: &str) -> String {
    let plain = [("%3D", "="), ("%2F", "/"), ("%2C", ","), ("+", " ")];
    plain.iter().fold(value.to_owned(), |text, (code, char)| {
        text.replace(code, char)
    })
}

/// Whether an object's path is in a collection's, of its namespace or of all.
fn within(collection: &str, path: &str) -> bool {
    let (before, kind) = collection.rsplit_once('/').unwrap();
    let object = path.rsplit_once('/').unwrap().0;
    path.starts_with(before) && object.ends_with(&format!("/{kind}"))
}

async fn answer(State(stand_in): State<StandIn>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query: BTreeMap<String, String> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect();
    let body = http_body_util::BodyExt::collect(body)
        .await
        .unwrap()
        .to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let date = Timestamp::try_from(stand_in.now())
        .unwrap()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    if stand_in.inner.lock().unwrap().away {
        return std::future::pending().await;
    }
    let agent = parts.headers.get(header::USER_AGENT);
    let told = agent.is_some_and(|agent| agent.as_bytes().starts_with(b"outrigger/"));
    assert!(told, "{path}: nobody could tell whose request this is");
    let mut inner = stand_in.inner.lock().unwrap();
    let watch = query.get("watch").is_some_and(|watch| watch == "true");
    inner.asked.push(format!(
        "{}{} {path}",
        if watch { "WATCH " } else { "" },
        parts.method
    ));
    let is_forbidden = inner
        .forbidden
        .iter()
        .any(|forbidden| path.starts_with(forbidden));
    let (status, body) = match inner
        .refusals
        .iter()
        .position(|(prefix, _)| path.starts_with(prefix))
    {
        Some(refusal) => {
            let (_, status) = inner.refusals.remove(refusal);
            (
                status,
                Body::from(json!({"message": "as the test says"}).to_string()),
            )
        }
        None if is_forbidden => (
            StatusCode::FORBIDDEN,
            Body::from(json!({"message": "no role allows it"}).to_string()),
        ),
        None if watch => {
            let selected = Selected::by(&query);
            let since = query["resourceVersion"].parse().unwrap();
            (StatusCode::OK, inner.watch(&path, selected, since))
        }
        None => {
            let (status, value) = inner.object(&parts.method, &path, &query, body);
            (status, Body::from(value.to_string()))
        }
    };
    Response::builder()
        .status(status)
        .header(header::DATE, date)
        .body(body)
        .unwrap()
}

impl Inner {
    fn object(
        &mut self,
        method: &Method,
        path: &str,
        query: &BTreeMap<String, String>,
        body: Value,
    ) -> (StatusCode, Value) {
        let status = |code: StatusCode| (code, json!({"message": code.canonical_reason()}));
        let before = self.objects.get(path).cloned();
        match (method.as_str(), before) {
            ("GET", Some(object)) => (StatusCode::OK, object),
            ("GET", None) if query.contains_key("limit") => {
                let from = query
                    .get("continue")
                    .map_or(0, |from| from.parse().unwrap());
                let page = query["limit"].parse().unwrap();
                (
                    StatusCode::OK,
                    self.list(path, &Selected::by(query), page, from),
                )
            }
            ("PATCH" | "PUT", Some(before)) => {
                let differs = |field: &str| {
                    let wanted = &body["metadata"][field];
                    !wanted.is_null() && *wanted != before["metadata"][field]
                };
                if differs("resourceVersion") || differs("uid") {
                    return status(StatusCode::CONFLICT);
                }
                let after = match method.as_str() {
                    "PUT" => body,
                    _ => merged(before, &body),
                };
                (StatusCode::OK, self.put(path, after))
            }
            ("POST", _) if path.ends_with("/eviction") => self.evict(path, &body),
            ("POST", _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return status(StatusCode::CONFLICT);
                }
                (StatusCode::CREATED, self.put(&path, body))
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }
}

impl Inner {
    /// What the subresource does: the pod's deletion begins, unless a budget or a precondition is against it.
    fn evict(&mut self, path: &str, eviction: &Value) -> (StatusCode, Value) {
        let status = |code: StatusCode| (code, json!({"message": code.canonical_reason()}));
        let path = path.strip_suffix("/eviction").unwrap();
        let Some(mut pod) = self.objects.get(path).cloned() else {
            return status(StatusCode::NOT_FOUND);
        };
        let wanted = &eviction["deleteOptions"]["preconditions"];
        let differs =
            |field: &str| !wanted[field].is_null() && wanted[field] != pod["metadata"][field];
        if let Some(why) = &self.budget {
            let causes = json!([{"reason": "DisruptionBudget", "message": why}]);
            let message = "Cannot evict pod as it would violate the pod's disruption budget.";
            let body = json!({"message": message, "details": {"causes": causes}});
            return (StatusCode::TOO_MANY_REQUESTS, body);
        }
        if differs("uid") || differs("resourceVersion") {
            return status(StatusCode::CONFLICT);
        }
        pod["metadata"]["deletionTimestamp"] = json!("2026-06-01T00:00:00Z");
        self.put(path, pod);
        (StatusCode::CREATED, json!({"status": "Success"}))
    }
}

/// A merge patch, and for lists of things with names a strategic one.
fn merged(before: Value, patch: &Value) -> Value {
    match (before, patch) {
        (Value::Object(mut before), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    before.remove(key);
                } else {
                    let old = before.remove(key).unwrap_or_default();
                    before.insert(key.clone(), merged(old, value));
                }
            }
            Value::Object(before)
        }
        (Value::Array(mut before), Value::Array(patch)) => {
            for value in patch {
                match before.iter_mut().find(|old| old["name"] == value["name"]) {
                    Some(old) => *old = merged(old.take(), value),
                    None => before.push(value.clone()),
                }
            }
            Value::Array(before)
        }
        (_, patch) => patch.clone(),
    }
}
