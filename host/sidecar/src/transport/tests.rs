use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};
use outrigger_peers::Ordinal;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

mod over_tls;

fn peers() -> PeerSet {
    let mut set = crate::fixture::peers(2);
    let peer = set.replicas.get_mut(&Ordinal(1)).unwrap();
    peer.addresses = vec!["127.0.0.1".parse().unwrap()];
    set
}

fn transport() -> HttpTransport {
    let (_sender, receiver) = watch::channel(Arc::new(peers()));
    HttpTransport::new("127.0.0.1", receiver)
}

fn request(target: Target, port: u16, path: &str) -> EndpointRequest {
    EndpointRequest {
        target,
        tls: None,
        port,
        method: Method::Get,
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(10),
        response_bytes_max: 1000,
    }
}

async fn workload() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app()).await.unwrap() });
    (port, tasks)
}

fn app() -> Router {
    Router::new()
            .route(
                "/host",
                get(|headers: hyper::HeaderMap| async move {
                    headers["host"].to_str().unwrap().to_owned()
                }),
            )
            .route("/echo", post(|body: String| async move { body }))
            .route("/moved", get(|| async { Redirect::to("/host") }))
            .route("/long", get(|| async { "x".repeat(1001) }))
            .route("/never", get(std::future::pending::<()>))
}

#[tokio::test]
async fn a_peer_is_reached_at_its_address_and_called_by_its_name() {
    let (port, _tasks) = workload().await;
    let answer = transport()
        .send(request(Target::Peer(Ordinal(1)), port, "/host"))
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8(answer.body).unwrap(),
        format!("db-1.db.default.svc.cluster.local:{port}")
    );
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .headers
            .iter()
            .any(|(name, _)| name == "content-type")
    );
}

#[tokio::test]
async fn bodies_go_both_ways_and_a_redirect_is_an_answer() {
    let (port, _tasks) = workload().await;
    let transport = transport();
    let mut post = request(Target::Local, port, "/echo");
    post.method = Method::Post;
    post.body = b"hello".to_vec();
    assert_eq!(transport.send(post).await.unwrap().body, b"hello");
    let moved = transport
        .send(request(Target::Local, port, "/moved"))
        .await
        .unwrap();
    assert_eq!(moved.status, 303);
}

#[tokio::test]
async fn what_does_not_come_is_told_by_its_kind() {
    let (port, _tasks) = workload().await;
    let transport = transport();
    assert_eq!(
        transport.send(request(Target::Local, port, "/long")).await,
        Err(TransportError::TooLarge(1000))
    );
    let mut never = request(Target::Local, port, "/never");
    never.timeout = Duration::from_millis(20);
    assert_eq!(
        transport.send(never).await,
        Err(TransportError::Timeout(Duration::from_millis(20)))
    );
    assert_eq!(
        transport
            .send(request(Target::Peer(Ordinal(7)), port, "/host"))
            .await,
        Err(TransportError::UnknownPeer(Ordinal(7)))
    );
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = transport
        .send(request(Target::Peer(Ordinal(1)), closed, "/"))
        .await
        .unwrap_err();
    assert!(matches!(error, TransportError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn another_service_is_reached_by_its_name_and_called_by_it() {
    let (port, _tasks) = workload().await;
    let ask = |host: &str| {
        let request = request(Target::Host(host.to_owned()), port, "/host");
        async move { transport().send(request).await }
    };
    for (host, called) in [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")] {
        let answer = ask(host).await.unwrap();
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(body, format!("{called}:{port}"));
    }
    let error = ask("nobody.invalid").await.unwrap_err();
    assert!(matches!(error, TransportError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_link_local_address_is_refused_however_it_is_written() {
    for host in [
        "169.254.169.254",
        "0251.0376.43518",
        "::ffff:169.254.169.254",
        "fe80::1",
    ] {
        let request = request(Target::Host(host.to_owned()), 80, "/");
        let error = transport().send(request).await.unwrap_err();
        assert!(
            matches!(error, TransportError::LinkLocal { .. }),
            "{host}: {error}"
        );
    }
}
