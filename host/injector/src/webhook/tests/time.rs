//! Who is slow is let go of, who is only quiet is not. The clock is paused: hours take no time.

use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::support::{Client, InMemory, REVIEW, config, post};
use crate::webhook::{WebhookConfig, limits};

/// How long the webhook leaves a connection open, as its client sees it; and what came before the end.
async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (Duration, String) {
    let begun = Instant::now();
    let mut answer = Vec::new();
    // However it ends: whoever is let go of gets no farewell.
    drop(stream.read_to_end(&mut answer).await);
    (
        begun.elapsed(),
        String::from_utf8_lossy(&answer).into_owned(),
    )
}

fn about(time: Duration, expected: Duration) {
    let slack = Duration::from_millis(10);
    assert!(
        time >= expected && time < expected + slack,
        "{time:?} and not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_waited_for_two_seconds() {
    let webhook = InMemory::new();
    let mut silent = webhook.pipe();
    about(until_closed(&mut silent).await.0, limits::HANDSHAKE_TIMEOUT);
    let mut half = webhook.pipe();
    half.write_all(&[22, 3, 1]).await.unwrap();
    about(until_closed(&mut half).await.0, limits::HANDSHAKE_TIMEOUT);
    assert_eq!(
        webhook.metric(r#"outrigger_webhook_rejected_total{limit="handshake"}"#),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_waited_for_five_seconds() {
    let webhook = InMemory::new();
    for protocol in ["http/1.1", "h2"] {
        let mut stream = webhook.connect(protocol).await;
        about(
            until_closed(&mut stream).await.0,
            limits::FIRST_REQUEST_TIMEOUT,
        );
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_waited_for_two_seconds_however_it_trickles() {
    let webhook = InMemory::new();
    let mut stream = webhook.connect("http/1.1").await;
    let begun = Instant::now();
    while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "it goes on");
    }
    assert!(begun.elapsed() >= limits::HEAD_TIMEOUT);
    assert!(begun.elapsed() < limits::HEAD_TIMEOUT + Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn half_a_body_is_waited_for_five_seconds_and_told_so() {
    let webhook = InMemory::new();
    let mut stream = webhook.connect("http/1.1").await;
    let head = "POST /inject HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (time, answer) = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("took longer than 5 s"), "{answer}");
    about(time, limits::TOTAL_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_before_the_api_server_stops_to_wait() {
    let webhook = InMemory::new();
    let mut stream = webhook.connect("http/1.1").await;
    let head = "POST /inject?timeout=2s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    about(
        until_closed(&mut stream).await.0,
        Duration::from_millis(1800),
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_kept_longer_than_api_servers_keep_it() {
    let webhook = InMemory::new();
    for protocol in ["http/1.1", "h2"] {
        let mut client = Client::over(webhook.connect(protocol).await, &webhook.tasks).await;
        for _ in 0..3 {
            let response = client.send(post(REVIEW)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            tokio::time::advance(Duration::from_secs(95)).await;
        }
        tokio::time::advance(Duration::from_mins(3)).await;
        assert!(client.send(post(REVIEW)).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_old_ends_in_order_however_busy_it_is() {
    let life = Duration::from_secs(10);
    let webhook = InMemory::with(&WebhookConfig {
        connection_life: Some(life),
        ..config(Duration::ZERO)
    });
    for protocol in ["http/1.1", "h2"] {
        let begun = Instant::now();
        let mut client = Client::over(webhook.connect(protocol).await, &webhook.tasks).await;
        let mut answered = 0;
        while let Ok(response) = client.send(post(REVIEW)).await {
            assert_eq!(response.status(), StatusCode::OK);
            answered += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(begun.elapsed() < life * 2, "it goes on");
        }
        assert!(begun.elapsed() >= life, "{:?}", begun.elapsed());
        assert!(answered >= 10, "{answered}");
    }
    let handshakes = webhook.metric("outrigger_webhook_handshakes_total");
    assert_eq!(handshakes, 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_let_go_of_learns_it_with_an_answer_and_never_while_a_review_may_be_on_its_way()
{
    let ends = |response: &hyper::Response<bytes::Bytes>| {
        let header = response.headers().get(hyper::header::CONNECTION);
        header.is_some_and(|value| value == "close")
    };
    let webhook = InMemory::with(&WebhookConfig {
        connection_life: Some(Duration::from_secs(10)),
        ..config(Duration::ZERO)
    });
    let connect = async || Client::over(webhook.connect("http/1.1").await, &webhook.tasks).await;
    let mut old = connect().await;
    assert!(!ends(&old.send(post(REVIEW)).await.unwrap()));
    tokio::time::advance(Duration::from_mins(1)).await;
    assert!(ends(&old.send(post(REVIEW)).await.unwrap()));
    assert!(old.send(post(REVIEW)).await.is_err());

    let mut young = connect().await;
    assert!(!ends(&young.send(post(REVIEW)).await.unwrap()));
    webhook.tasks.shutdown().trigger("test");
    assert!(ends(&young.send(post(REVIEW)).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_slow_senders_are_let_go_of_and_leave_nothing_behind() {
    let webhook = InMemory::new();
    let mut streams = Vec::new();
    for round in 0..10_000 {
        let mut stream = webhook.pipe();
        let begin: &[u8] = if round % 2 == 0 { &[22] } else { b"GET" };
        stream.write_all(begin).await.unwrap();
        streams.push(stream);
        // As many at a time as the port lets in.
        if streams.len() == limits::CONNECTIONS_MAX {
            for mut stream in streams.drain(..) {
                until_closed(&mut stream).await;
            }
        }
    }
    for mut stream in streams {
        until_closed(&mut stream).await;
    }
    assert_eq!(
        webhook.metric(r#"outrigger_webhook_rejected_total{limit="handshake"}"#),
        10_000
    );
    assert!(webhook.tasks.still_running().is_empty());
}
