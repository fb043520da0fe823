//! NATS with its example, by a profile alone.

use std::time::Duration;

use outrigger_tests::{
    Example, Life, Up, all_ready, eventually, get, lines, pods, port, probe, told,
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Processes, and the election of a leader.
const SOON: Duration = Duration::from_secs(40);

/// A line of the template.
const MONITOR: &str = "http_port: 8222\n";

async fn started() -> (Example, Up) {
    let example = Example::copy("nats");
    let up = Up::start(example.path(), &["--no-install"]).await;
    all_ready(&up, 3, SOON).await;
    (example, up)
}

fn servers(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|ordinal| format!("nats-{ordinal}"))
}

/// What a server tells of itself.
async fn varz(up: &Up, pod: &str) -> Result<Value, String> {
    Ok(get(up, pod, "monitor", "/varz").await?.json())
}

/// Waits until each of so many servers has all others, and no other, as routes in its configuration and as
/// connections.
async fn one_cluster_of(up: &Up, count: u32) {
    for pod in servers(count) {
        let others: Vec<String> = servers(count).filter(|other| *other != pod).collect();
        let what = format!("{pod} has routes to {others:?}");
        eventually(SOON, &what, async || {
            let varz = varz(up, &pod).await?;
            let urls = texts(&varz["cluster"]["urls"], Value::as_str);
            let configured = urls.iter().filter_map(|url| url.split('.').next());
            let routez: Value = get(up, &pod, "monitor", "/routez").await?.json();
            let connected = texts(&routez["routes"], |route| route["remote_name"].as_str());
            if configured.eq(others.iter()) && connected == others {
                Ok(())
            } else {
                Err(format!("{urls:?} {connected:?}"))
            }
        })
        .await;
    }
}

/// The texts of a list, sorted, each once.
fn texts(list: &Value, text: impl Fn(&Value) -> Option<&str>) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    let mut texts: Vec<String> = list.filter_map(text).map(str::to_owned).collect();
    texts.sort();
    texts.dedup();
    texts
}

async fn nobody_was_restarted(up: &Up) {
    let all = pods(up).await.unwrap();
    assert!(all.iter().all(|pod| pod.restarts == 0), "{all:?}");
}

#[tokio::test]
async fn whoever_comes_or_goes_changes_the_routes_of_those_that_run() {
    let (_example, up) = started().await;
    one_cluster_of(&up, 3).await;
    for count in [4, 3] {
        up.command(&["scale", &count.to_string()]).await.success();
        one_cluster_of(&up, count).await;
    }
    all_ready(&up, 3, SOON).await;
    nobody_was_restarted(&up).await;
}

#[tokio::test]
async fn a_broken_edit_changes_no_server_and_a_mended_one_reaches_all_without_a_restart() {
    let (example, up) = started().await;
    let before = varz(&up, "nats-0").await.unwrap();

    example.edit("nats.conf", MONITOR, "http_port: [8222\n");
    for pod in servers(3) {
        let refused = "a render is refused, the set before it stands";
        told(&up, &pod, refused, SOON).await;
    }
    // A server that comes now has no earlier file, and is held.
    up.command(&["scale", "4"]).await.success();
    let held = "no set stands before it: the workload is held until this is mended";
    told(&up, "nats-3", held, SOON).await;
    eventually(SOON, "`ps` says what holds nats-3", async || {
        let ps = up.command(&["ps"]).await.success();
        let why =
            "nats-3: the workload is held until its files are mended: error: /etc/nats/nats.conf:";
        if ps.contains(why) { Ok(()) } else { Err(ps) }
    })
    .await;
    let after = varz(&up, "nats-0").await.unwrap();
    let loaded = "config_load_time";
    assert_eq!(before[loaded], after[loaded], "nobody told NATS to reload");

    let mended = "http_port: 8222\nmax_payload: 2MB\n";
    example.edit("nats.conf", "http_port: [8222\n", mended);
    all_ready(&up, 4, SOON).await;
    for pod in servers(4) {
        eventually(SOON, &format!("{pod} has the edit"), async || {
            let varz = varz(&up, &pod).await?;
            if varz["max_payload"] == 2 << 20 {
                Ok(())
            } else {
                Err(varz.to_string())
            }
        })
        .await;
    }
    one_cluster_of(&up, 4).await;
    nobody_was_restarted(&up).await;
}

#[tokio::test]
async fn a_stop_tells_clients_to_leave_before_they_are_cut_off() {
    let (_example, up) = started().await;
    let client = Client::of(&up, "nats-1").await;
    let (restarted, told) = tokio::join!(
        up.command(&["restart", "nats-1"]),
        tokio::time::timeout(SOON, client.told_to_leave()),
    );
    assert_eq!(told, Ok(true), "an INFO says that the server leaves");
    restarted.success();
    let wrote = lines(&up, "nats-1", "nats");
    let lame_duck = |line: &String| line.contains("Entering lame duck mode");
    assert!(wrote.iter().any(lame_duck), "{wrote:#?}");
    all_ready(&up, 3, SOON).await;
    one_cluster_of(&up, 3).await;
}

/// Waits until a server is in service, or not any more.
async fn is_ready(up: &Up, pod: &str, ready: bool) {
    eventually(
        SOON,
        &format!("readiness of {pod} is {ready}"),
        async || match probe(up, pod, "ready").await? {
            (pass, _) if pass == ready => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
}

#[tokio::test]
async fn a_life_of_nats() {
    let (_example, mut up) = started().await;
    for count in [5, 3] {
        up.command(&["scale", &count.to_string()]).await.success();
        one_cluster_of(&up, count).await;
        all_ready(&up, usize::try_from(count).unwrap(), SOON).await;
    }
    up.command(&["roll"]).await.success();
    for (signal, ready) in [("STOP", false), ("CONT", true)] {
        let sent = up.command(&["kill", "nats-1", "--signal", signal]).await;
        sent.success();
        is_ready(&up, "nats-1", ready).await;
    }
    up.interrupt();
    assert!(up.ended(SOON).await.success());
    Life::read("nats").is_lived(&up).await;
}

/// The least that a client of NATS does.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn of(up: &Up, pod: &str) -> Self {
        let address = port(up, pod, "client").await.unwrap().to_string();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        let hello = client.line().await.unwrap();
        assert!(hello.starts_with("INFO "), "{hello}");
        // With `protocol: 1` it is told of changes.
        let connect = b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n";
        client.stream.get_mut().write_all(connect).await.unwrap();
        while client.line().await.unwrap() != "PONG\r\n" {}
        client
    }

    /// The next line; none once the server has closed the connection.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await;
        read.is_ok_and(|length| length > 0).then_some(line)
    }

    /// Whether the server says that it leaves, before it closes the connection; the client goes then.
    async fn told_to_leave(mut self) -> bool {
        while let Some(line) = self.line().await {
            if line.starts_with("INFO ") && line.contains("\"ldm\":true") {
                return true;
            }
        }
        false
    }
}
