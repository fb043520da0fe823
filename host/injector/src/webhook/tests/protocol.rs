//! What is answered to whom.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use super::support::{Client, InMemory, OnLoopback, REVIEW, UID, eventually, post, text};
use crate::webhook::{PATH, TlsMin, limits, tls};

#[tokio::test]
async fn reviews_are_answered_over_both_protocols_one_after_the_other() {
    let webhook = InMemory::new();
    for protocol in ["http/1.1", "h2"] {
        let mut client = Client::over(webhook.connect(protocol).await, &webhook.tasks).await;
        for _ in 0..3 {
            let response = client.send(post(REVIEW)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{}", text(&response));
            assert_eq!(response.headers()["content-type"], "application/json");
            let answer: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(answer["response"]["uid"], UID);
        }
    }
}

#[tokio::test]
async fn what_is_no_review_is_turned_away_with_a_reason() {
    let webhook = InMemory::new();
    let request = |method: &str, path: &str, content: &str| {
        Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .header("host", "localhost")
            .header("content-type", content)
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap()
    };
    for protocol in ["http/1.1", "h2"] {
        let json = "application/json";
        let cases = [
            (
                request("POST", "/", json),
                404,
                "reviews are sent to /inject",
            ),
            (request("PUT", PATH, json), 405, "sent with POST"),
            (request("POST", PATH, "text/yaml"), 415, "application/json"),
            (request("POST", PATH, json), 400, "thing without a kind"),
        ];
        for (request, status, words) in cases {
            let mut client = Client::over(webhook.connect(protocol).await, &webhook.tasks).await;
            let response = client.send(request).await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            assert!(text(&response).contains(words), "{}", text(&response));
        }
    }
    let invalid = r#"outrigger_webhook_invalid_requests_total{reason="method"}"#;
    assert_eq!(webhook.metric(invalid), 2);
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_refused_before_it_is_read() {
    let webhook = InMemory::new();
    for protocol in ["http/1.1", "h2"] {
        let mut client = Client::over(webhook.connect(protocol).await, &webhook.tasks).await;
        let response = client.send(post(vec![b' '; 4 << 20])).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(text(&response).contains("larger than 3 MiB"));
    }
    assert_eq!(
        webhook.metric(r#"outrigger_webhook_rejected_total{limit="body"}"#),
        2
    );
}

#[tokio::test]
async fn a_review_at_the_limit_of_reviews_is_told_to_come_again() {
    let webhook = InMemory::new();
    webhook.world.hold_owners.store(true, Ordering::Relaxed);
    let mut clients = Vec::new();
    for _ in 0..limits::IN_FLIGHT_MAX / 64 {
        let stream = webhook.connect("h2").await;
        clients.push(Client::over(stream, &webhook.tasks).await);
    }
    for client in &clients {
        for _ in 0..64 {
            let Client::Two(sender) = client else {
                panic!("another protocol was chosen");
            };
            let mut sender = sender.clone();
            webhook.tasks.spawn_short("held", async move {
                assert_eq!(
                    sender.send_request(post(REVIEW)).await.unwrap().status(),
                    StatusCode::OK
                );
            });
        }
    }
    let waiting = || webhook.world.waiting.load(Ordering::Relaxed);
    eventually("all wait", || waiting() == limits::IN_FLIGHT_MAX).await;

    let response = clients[0].send(post(REVIEW)).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    assert!(text(&response).contains("at its limit of reviews"));

    webhook.world.hold_owners.store(false, Ordering::Relaxed);
    webhook.world.owners.notify_waiters();
    eventually("nobody waits", || waiting() == 0).await;
    let response = clients[0].send(post(REVIEW)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_for_which_there_is_no_memory_is_told_to_come_again() {
    let webhook = InMemory::new();
    let all = &webhook.server.admission;
    let others = all.bytes(limits::BODIES_BYTES_MAX - 100).unwrap();
    for protocol in ["http/1.1", "h2"] {
        let mut client = Client::over(webhook.connect(protocol).await, &webhook.tasks).await;
        let response = client.send(post(REVIEW)).await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(text(&response).contains("limit of memory"));
    }
    drop(others);
    let mut client = Client::over(webhook.connect("h2").await, &webhook.tasks).await;
    assert_eq!(
        client.send(post(REVIEW)).await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_profile_that_comes_a_moment_after_the_pod_counts() {
    let webhook = InMemory::new();
    let mut client = Client::over(webhook.connect("h2").await, &webhook.tasks).await;
    let response = client.send(post(REVIEW)).await.unwrap();
    let answer: Value = serde_json::from_slice(response.body()).unwrap();
    // It is there by now, and has errors.
    let reason = &answer["response"]["auditAnnotations"]["reason"];
    assert_eq!(reason, "profile-invalid", "{answer}");
}

#[tokio::test]
async fn skips_are_told_to_the_world_unless_the_run_is_dry() {
    let webhook = InMemory::new();
    let mut client = Client::over(webhook.connect("h2").await, &webhook.tasks).await;
    let review = |dry_run: bool| {
        let mut review: Value = serde_json::from_str(REVIEW).unwrap();
        review["request"]["dryRun"] = json!(dry_run);
        // Nobody is asked about profiles here: a label decides.
        review["request"]["object"]["metadata"]["labels"]["outrigger.dev/inject"] = json!("false");
        serde_json::to_vec(&review).unwrap()
    };
    client.send(post(review(true))).await.unwrap();
    assert!(webhook.world.told.lock().unwrap().is_empty());
    client.send(post(review(false))).await.unwrap();
    let told = webhook.world.told.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("default/agdb-1 of agdb: "), "{told:?}");
}

#[tokio::test]
async fn an_older_tls_is_spoken_only_where_that_is_set() {
    let webhook = InMemory::new();
    let old = webhook
        .identity
        .connector_of(&["h2"], &[&rustls::version::TLS12]);
    let name = || rustls::pki_types::ServerName::try_from("localhost").unwrap();
    assert!(old.connect(name(), webhook.pipe()).await.is_err());
    let config = tls::config(&webhook.identity.serving, TlsMin::V1_2).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (accepted, connected) = tokio::join!(acceptor.accept(theirs), old.connect(name(), ours));
    assert!(accepted.is_ok() && connected.is_ok());
}

#[tokio::test]
async fn what_has_begun_is_finished_when_the_webhook_ends() {
    let webhook = OnLoopback::start(Duration::from_millis(50)).await;
    webhook.world.hold_owners.store(true, Ordering::Relaxed);
    for protocol in ["http/1.1", "h2"] {
        let mut client = Client::over(webhook.connect(protocol).await, &webhook.tasks).await;
        webhook.tasks.spawn_short("held", async move {
            assert_eq!(
                client.send(post(REVIEW)).await.unwrap().status(),
                StatusCode::OK
            );
        });
    }
    let waiting = || webhook.world.waiting.load(Ordering::Relaxed);
    eventually("both wait", || waiting() == 2).await;
    webhook.tasks.shutdown().trigger("test");

    // The port closes, and those two are still waiting for their answers.
    eventually("the port is closed", || {
        std::net::TcpStream::connect(webhook.address).is_err()
    })
    .await;
    assert_eq!(waiting(), 2);
    webhook.world.owners.notify_waiters();
    let left = webhook
        .tasks
        .finish(outrigger_shutdown::Deadline::after(Duration::from_secs(10)))
        .await;
    assert!(left.is_empty(), "{left:?}");
}
