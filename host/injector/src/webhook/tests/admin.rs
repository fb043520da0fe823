//! The port for probes and metrics.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;

use crate::certificate::Rotation;

use super::support::{Client, OnLoopback, REVIEW, post};

async fn get(webhook: &OnLoopback, method: &str, path: &str) -> (u16, String) {
    let stream = tokio::net::TcpStream::connect(webhook.admin).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    webhook
        .tasks
        .spawn_short("client", async { drop(connection.await) });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn it_is_ready_when_everything_is_known_and_until_it_ends() {
    let webhook = OnLoopback::start(Duration::from_secs(5)).await;
    let ready = async || get(&webhook, "GET", "/ready").await;
    assert_eq!(ready().await, (200, "ok\n".into()));
    webhook.world.missing.store(true, Ordering::Relaxed);
    assert_eq!(
        ready().await,
        (503, "not ready: the profiles are missing\n".into())
    );
    webhook.world.missing.store(false, Ordering::Relaxed);
    webhook.tasks.shutdown().trigger("test");
    assert_eq!(ready().await, (503, "not ready: the webhook ends\n".into()));
    assert_eq!(get(&webhook, "GET", "/live").await.0, 200);

    // Until it does, whoever has not heard of it is answered.
    let mut client = Client::over(webhook.connect("h2").await, &webhook.tasks).await;
    assert_eq!(client.send(post(REVIEW)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn all_that_is_missing_is_told_and_why() {
    let webhook = OnLoopback::start(Duration::from_secs(5)).await;
    webhook.world.missing.store(true, Ordering::Relaxed);
    webhook.identity.serving.note(|standing| {
        standing.trusted = Some(false);
        standing.trouble = Some("the Secret tls cannot be read".to_owned());
    });
    let told = "not ready: the profiles are missing; the webhook configuration does not trust the \
                certificate yet (the Secret tls cannot be read)\n";
    assert_eq!(get(&webhook, "GET", "/ready").await, (503, told.into()));
    // Trouble alone is no reason: the certificate is good.
    webhook.world.missing.store(false, Ordering::Relaxed);
    let serving = &webhook.identity.serving;
    serving.note(|standing| standing.trusted = Some(true));
    assert_eq!(get(&webhook, "GET", "/ready").await.0, 200);
}

#[tokio::test]
async fn the_port_only_reads() {
    let webhook = OnLoopback::start(Duration::ZERO).await;
    assert_eq!(get(&webhook, "POST", "/healthz").await.0, 405);
    assert_eq!(get(&webhook, "GET", "/").await.0, 404);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&webhook, "HEAD", path).await.0, 200);
    }
}

#[tokio::test]
async fn the_metrics_tell_all_there_is() {
    let webhook = OnLoopback::start(Duration::ZERO).await;
    let day = Duration::from_hours(24);
    webhook.identity.serving.note(|standing| {
        standing.trusted = Some(true);
        standing.authority_until = Some(SystemTime::now() + 300 * day);
        standing.rotation = Some(Rotation::Introducing);
        standing.clock_ahead_seconds = Some(-90);
        standing.trouble = Some("the Secret tls cannot be read".to_owned());
    });
    let mut client = Client::over(webhook.connect("h2").await, &webhook.tasks).await;
    let deletion = REVIEW.replace("\"CREATE\"", "\"DELETE\"");
    assert_eq!(client.send(post(deletion)).await.unwrap().status(), 200);
    assert_eq!(client.send(post("{}")).await.unwrap().status(), 400);
    let (status, text) = get(&webhook, "GET", "/metrics").await;
    assert_eq!(status, 200);
    // Times differ from run to run; what is told does not.
    let mut steady: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("_bucket{") && !line.contains("_sum "))
        .filter(|line| !line.starts_with("outrigger_build_info{"))
        .map(|line| match line.split_once(".9") {
            Some((start, _)) if line.contains("_days ") => start,
            _ => line,
        })
        .collect();
    // Within a family their order is nobody's.
    for samples in steady.chunk_by_mut(|a, b| a.starts_with('#') == b.starts_with('#')) {
        if !samples[0].starts_with('#') {
            samples.sort_unstable();
        }
    }
    insta::assert_snapshot!(steady.join("\n"));
}

#[tokio::test]
async fn what_there_is_not_is_not_told() {
    let webhook = OnLoopback::start(Duration::ZERO).await;
    let (_, text) = get(&webhook, "GET", "/metrics").await;
    // The certificate is none of ours.
    assert!(!text.contains("_rotation"), "{text}");
    assert!(text.contains("outrigger_webhook_authority_expiry_days NaN\n"));
    assert!(text.contains("outrigger_webhook_certificate_good 1\n"));
}
