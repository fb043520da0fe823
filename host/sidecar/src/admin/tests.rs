use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, header};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::*;
use crate::control::PodControl;
use crate::fixture::Channels;
use crate::health::ProbeReport;
use crate::lifecycle::LifecycleSetup;
use crate::metrics::MetricsSetup;
use crate::rooms::Rooms;
use crate::transport::exchange;

struct Says;

impl Commands for Says {
    fn reload(&self) -> BoxFuture<'_, Result<Value, String>> {
        Box::pin(async { Ok(json!({"taken": 1})) })
    }

    fn swap(&self) -> BoxFuture<'_, Result<Value, String>> {
        Box::pin(async { Err("the component is truncated".to_owned()) })
    }
}

struct Pod {
    address: SocketAddr,
    socket: PathBuf,
    channels: Channels,
    tasks: Tasks,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

async fn pod() -> Pod {
    let folder = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let channels = Channels::new(|profile| {
        profile.drain.notice = Duration::ZERO;
        profile.workload.ports.clear();
    });
    let recorder = Recorder::new();
    let lifecycle = Lifecycle::new(
        LifecycleSetup {
            workload_host: "127.0.0.1".into(),
            grace_period: Duration::from_secs(30),
            plugin: None,
            control: Arc::new(PodControl::new("db", None)),
            loaded: channels.loaded.subscribe(),
            peers: channels.peers.subscribe(),
            health: channels.health.subscribe(),
            timeline: channels.timeline.clone(),
            recorder: recorder.clone(),
        },
        tasks.clone(),
    );
    let rooms = Rooms {
        phase: lifecycle.phase(),
        ..channels.rooms(None)
    };
    let metrics = Metrics::new(MetricsSetup {
        workload_host: "127.0.0.1".into(),
        rooms: rooms.clone(),
        recorder: recorder.clone(),
    });
    let socket = folder.path().join("admin.sock");
    let admin = Admin::bind(AdminSetup {
        listen: "127.0.0.1:0".parse().unwrap(),
        socket: socket.clone(),
        token: Some(Token::new("hush")),
        status: StatusSource {
            rooms,
            tasks: tasks.clone(),
            started: Instant::now(),
        },
        metrics,
        lifecycle,
        log: LogHandle::detached(),
        commands: Arc::new(Says),
        recorder,
        tasks: tasks.clone(),
    })
    .await
    .unwrap();
    let address = admin.address().unwrap();
    tasks.spawn("admin", admin.run(shutdown.clone()));
    Pod {
        address,
        socket,
        channels,
        tasks,
        shutdown,
        _folder: folder,
    }
}

fn request(method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "pod")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap()
}

impl Pod {
    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        exchange(stream, request, 1 << 20).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        json_of(&self.send(request(Method::GET, path, "")).await)
    }

    async fn command(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let answer = exchange(stream, request(method, path, body), 1 << 20).await;
        json_of(&answer.unwrap())
    }
}

fn json_of(answer: &Response<Bytes>) -> (u16, Value) {
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_slice(answer.body()).unwrap_or(Value::Null),
    )
}

#[tokio::test]
async fn probes_answer_as_the_kubelet_reads_them_and_say_why() {
    let pod = pod().await;
    assert_eq!(
        pod.get("/startup").await,
        (
            503,
            json!({"pass": false, "probe": "startup", "role": null, "reasons": [{
                "scope": "outrigger", "code": "starting",
                "message": "the sidecar is starting", "counts": true}]})
        )
    );
    assert_eq!(pod.get("/live").await.0, 200);
    assert_eq!(pod.get("/ready").await.0, 503);
    pod.channels.health.send_modify(|health| {
        let health = Arc::make_mut(health);
        health.readiness = ProbeReport::passing();
        health.role = Some("leader".into());
    });
    assert_eq!(
        pod.get("/ready").await,
        (
            200,
            json!({"pass": true, "probe": "ready", "role": "leader", "reasons": []})
        )
    );
}

#[tokio::test]
async fn the_pre_stop_hook_drains_for_who_has_the_token() {
    let pod = pod().await;
    pod.channels
        .health
        .send_modify(|health| Arc::make_mut(health).readiness = ProbeReport::passing());
    assert_eq!(pod.get("/pre-stop").await.0, 401);
    assert_eq!(pod.get("/ready").await.0, 200);
    let mut hook = request(Method::GET, "/pre-stop?reason=rolling-update", "");
    let token = "Bearer hush".parse().unwrap();
    hook.headers_mut().insert(header::AUTHORIZATION, token);
    let (status, outcome) = json_of(&pod.send(hook).await);
    assert_eq!(status, 200);
    assert_eq!(outcome["reason"], "rolling-update");
    assert_eq!(outcome["complete"], true);
    assert_eq!(pod.get("/ready").await.0, 503);
    assert_eq!(pod.get("/live").await.0, 200);
    assert_eq!(pod.get("/alive").await.0, 200);
    assert_eq!(pod.get("/status").await.1["phase"], "drained");
}

#[tokio::test]
async fn nothing_that_changes_is_seen_by_the_pods_network() {
    let pod = pod().await;
    for path in ["/reload", "/drain", "/log", "/swap", "/nothing"] {
        let (status, body) = json_of(&pod.send(request(Method::POST, path, "")).await);
        assert_eq!(status, 404, "{path}");
        assert_eq!(body["error"], format!("there is no {path}"));
        let paths = body["paths"].as_array().unwrap();
        assert!(paths.contains(&json!("/ready")) && !paths.contains(&json!("/drain")));
    }
    let (status, _) = json_of(&pod.send(request(Method::POST, "/status", "")).await);
    assert_eq!(status, 405);
}

#[tokio::test]
async fn the_unix_socket_takes_commands_and_reads_too() {
    let pod = pod().await;
    let post = Method::POST;
    assert_eq!(
        pod.command(post.clone(), "/reload", "").await,
        (200, json!({"taken": 1}))
    );
    assert_eq!(
        pod.command(post.clone(), "/swap", "").await,
        (422, json!({"error": "the component is truncated"}))
    );
    assert_eq!(
        pod.command(post.clone(), "/log", r#"{"filter":"debug"}"#)
            .await,
        (200, json!({"filter": "debug", "before": ""}))
    );
    let (status, body) = pod
        .command(post.clone(), "/log", r#"{"filter":"a=loud"}"#)
        .await;
    assert_eq!(
        (status, &body["error"]),
        (400, &json!("`a=loud` is no log filter"))
    );
    let (status, body) = pod
        .command(post.clone(), "/drain", r#"{"reason":"boredom"}"#)
        .await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("scale-down"));
    let (status, body) = pod.command(post, "/drain", "").await;
    assert_eq!((status, &body["reason"]), (200, &json!("manual")));
    assert_eq!(pod.command(Method::GET, "/status", "").await.0, 200);
    let long = "x".repeat(limits::ADMIN_BODY_BYTES_MAX + 1);
    assert_eq!(pod.command(Method::POST, "/drain", &long).await.0, 413);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_answered_with_what_to_do() {
    let pod = pod().await;
    for (method, path, body, status, error, hint) in [
        (
            Method::GET,
            "/reload",
            "",
            405,
            "/reload does not take GET",
            "use POST",
        ),
        (
            Method::PUT,
            "/log",
            "",
            405,
            "/log does not take PUT",
            "use GET or POST",
        ),
        (
            Method::POST,
            "/status",
            "",
            405,
            "/status does not take POST",
            "use GET",
        ),
        (
            Method::POST,
            "/relaod",
            "",
            404,
            "there is no /relaod",
            "`paths`",
        ),
        (
            Method::POST,
            "/log",
            "",
            400,
            "missing field `filter`",
            "outrigger_sidecar=debug",
        ),
        (
            Method::POST,
            "/log",
            "debug",
            400,
            "the body cannot be read",
            "such as",
        ),
        (
            Method::POST,
            "/drain",
            r#"{"raeson":"manual"}"#,
            400,
            "unknown field",
            "manual",
        ),
        (
            Method::GET,
            "/timeline?since=x",
            "",
            400,
            "invalid digit",
            "number of an entry",
        ),
        (
            Method::GET,
            "/events?since=-1",
            "",
            400,
            "invalid digit",
            "number of an entry",
        ),
    ] {
        let (code, answer) = pod.command(method, path, body).await;
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(code, status, "{path}: {answer}");
        assert!(text("error").contains(error), "{path}: {answer}");
        assert!(text("hint").contains(hint), "{path}: {answer}");
    }
    let long = "x".repeat(limits::ADMIN_BODY_BYTES_MAX + 1);
    let (code, answer) = pod.command(Method::POST, "/drain", &long).await;
    assert_eq!(code, 413);
    assert!(
        answer["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("empty body"))
    );
    // From the pod's network, the remedy is where to ask.
    let (code, answer) = pod.get("/swap").await;
    assert_eq!(code, 404);
    assert!(answer["hint"].as_str().unwrap().contains("admin.sock"));
    // Nothing of all this drained anybody.
    assert_eq!(pod.get("/status").await.1["phase"], "starting");
}

#[tokio::test]
async fn status_peers_timeline_and_page_are_there() {
    let pod = pod().await;
    pod.channels.timeline.record("test", "first", []);
    pod.channels.timeline.record("test", "second", []);
    let (_, status) = pod.get("/status").await;
    let read: outrigger_dashboard::model::Snapshot = serde_json::from_value(status).unwrap();
    assert_eq!(read.pod.name, "db-0");
    assert_eq!(read.files.set, Some(2));
    assert!(read.sidecar.tasks.contains(&"admin".to_owned()));
    let (_, peers) = pod.get("/peers").await;
    assert_eq!(peers["replicas"]["1"]["name"], "db-1");
    let (_, timeline) = pod.get("/timeline?since=1").await;
    assert_eq!(timeline["newest"], 2);
    assert_eq!(timeline["entries"][0]["message"], "second");
    let page = pod.send(request(Method::GET, "/", "")).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(page.headers().contains_key("content-security-policy"));
    let mut scrape = request(Method::GET, "/metrics", "");
    let accept = "application/openmetrics-text".parse().unwrap();
    scrape.headers_mut().insert(header::ACCEPT, accept);
    let metrics = pod.send(scrape).await;
    assert!(metrics.body().ends_with(b"# EOF\n"));
}

#[tokio::test]
async fn events_come_as_they_happen_and_end_with_the_sidecar() {
    let pod = pod().await;
    pod.channels.timeline.record("test", "before", []);
    let stream = TcpStream::connect(pod.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let response = sender
        .send_request(request(Method::GET, "/events?since=0", ""))
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut seen = String::new();
    let mut read_until = async |text: &str| {
        let found = async {
            while !seen.contains(text) {
                let frame = body.frame().await.expect(text).unwrap();
                seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found)
            .await
            .expect(text);
    };
    read_until("\"message\":\"before\"").await;
    read_until("event: peers").await;
    pod.channels.timeline.record("test", "now", []);
    read_until("\"message\":\"now\"").await;
    pod.channels
        .peers
        .send_modify(|peers| Arc::make_mut(peers).revision = 77);
    read_until("\"revision\":77").await;
    pod.shutdown.trigger("test");
    let left = pod
        .tasks
        .finish(outrigger_shutdown::Deadline::after(Duration::from_secs(20)))
        .await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn event_streams_and_connections_are_bounded() {
    let pod = pod().await;
    let mut open = Vec::new();
    for _ in 0..limits::EVENT_STREAMS_MAX {
        let mut stream = TcpStream::connect(pod.address).await.unwrap();
        stream
            .write_all(b"GET /events HTTP/1.1\r\nhost: pod\r\n\r\n")
            .await
            .unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        open.push(stream);
    }
    assert_eq!(pod.get("/events").await.0, 503);
    assert_eq!(pod.get("/live").await.0, 200);
    // Connections without a request are held against the limit as well.
    for _ in 0..limits::HTTP_CONNECTIONS_MAX {
        open.push(TcpStream::connect(pod.address).await.unwrap());
    }
    let mut beyond = TcpStream::connect(pod.address).await.unwrap();
    let mut nothing = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), beyond.read_to_end(&mut nothing));
    // Closed at once, with or without a reset.
    drop(read.await.expect("it is closed"));
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn an_occupied_port_is_an_error_that_names_the_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = AdminError::Listen {
        address,
        source: listen(address).await.unwrap_err(),
    };
    assert_eq!(
        error.to_string(),
        format!("the sidecar's server cannot listen on {address}")
    );
    assert!(error.hint().contains("OUTRIGGER_LISTEN"));
}

#[tokio::test]
async fn a_socket_left_by_a_kill_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(UnixListener::bind(&path).unwrap());
    drop(listen_unix(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    listen_unix(&path).unwrap_err();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}
