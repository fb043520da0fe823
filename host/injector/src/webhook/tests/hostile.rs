//! Bodies that nobody should send, again and again: the right status, no panic, flat memory. The benchmark
//! sends ten thousand of each to the release build.

use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::{Client, InMemory, OnLoopback, REVIEW, post};

const EACH: usize = 300;
/// What a process may grow by, besides what the test itself holds.
const GROWTH_MAX: usize = 24 << 20;

/// The memory of this process that is in use.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn hostile_bodies() -> Vec<(&'static str, Vec<u8>, StatusCode)> {
    let bad = StatusCode::BAD_REQUEST;
    let without_request = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#;
    let changed = |from: &str, to: &str| {
        let body = REVIEW.replacen(from, to, 1);
        assert_ne!(body, REVIEW, "{from} is in the review");
        body.into_bytes()
    };
    let deep = format!(r#""object":{}"#, "[".repeat(20_000));
    vec![
        ("no request", without_request.into(), bad),
        ("wrong uid", changed(r#""uid":"c1d6"#, r#""uid":"\n"#), bad),
        (
            "no uid",
            changed(r#""uid":"c1d6a5f0-2b6e-4c0b-9b7e-5a8f1e6f0d11","#, ""),
            bad,
        ),
        ("deep nesting", changed(r#""object":{"#, &deep), bad),
        (
            "garbage",
            (0..5000_u32).map(|n| (n * 31 % 251) as u8).collect(),
            bad,
        ),
        (
            "cut off",
            REVIEW.as_bytes()[..REVIEW.len() / 2].to_vec(),
            bad,
        ),
        (
            "wrong kind",
            changed(r#""kind":"Pod""#, r#""kind":"Node""#),
            StatusCode::OK,
        ),
        (
            "no object",
            changed(r#""object":{"#, r#""object":null,"x":{"#),
            StatusCode::OK,
        ),
        (
            "no spec",
            changed(r#""spec":{"#, r#""spec":[],"x":{"#),
            StatusCode::OK,
        ),
    ]
}

#[tokio::test]
async fn hostile_reviews_by_the_hundred_leave_no_trace() {
    let webhook = OnLoopback::start(Duration::ZERO).await;
    let mut clients = Vec::new();
    for protocol in ["http/1.1", "h2"] {
        clients.push(Client::over(webhook.connect(protocol).await, &webhook.tasks).await);
    }
    // Once before, so that what is made on first use does not count.
    let mut before = 0;
    for each in [20, EACH] {
        before = resident();
        for (name, body, status) in hostile_bodies() {
            let body = bytes::Bytes::from(body);
            for round in 0..each {
                let client = &mut clients[round % 2];
                let response = client.send(post(body.clone())).await.unwrap();
                assert_eq!(response.status(), status, "{name}");
            }
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "grown by {} KiB", grown >> 10);
    for mut client in clients {
        assert_eq!(client.send(post(REVIEW)).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn bodies_of_100_mb_are_refused_at_their_heads() {
    let webhook = InMemory::new();
    let before = resident();
    for _ in 0..EACH {
        // A new connection for each: what comes after the head is never read as a request.
        let mut stream = webhook.connect("http/1.1").await;
        let head = "POST /inject HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 413");
    }
    let mut client = Client::over(webhook.connect("h2").await, &webhook.tasks).await;
    let body = bytes::Bytes::from(vec![b' '; 100_000_000]);
    for _ in 0..EACH {
        let response = client.send(post(body.clone())).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    let grown = resident().saturating_sub(before + body.len());
    assert!(grown < GROWTH_MAX, "grown by {} KiB", grown >> 10);
}

/// A client that reads nothing before it has sent everything still gets its answer, if it is not too
/// slow: the rest of its body is thrown away instead of being cut off.
#[tokio::test]
async fn whoever_sends_100_mb_first_and_reads_then_is_told() {
    let webhook = OnLoopback::start(Duration::ZERO).await;
    for head in ["content-length: 100000000", "transfer-encoding: chunked"] {
        let mut stream = webhook.connect("http/1.1").await;
        let head = format!(
            "POST /inject HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The form of a chunk is no matter where the length is given.
        let chunk = format!("{:x}\r\n{}\r\n", 1_000_000, "x".repeat(1_000_000));
        for _ in 0..100 {
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 413");
    }
}
