//! What guests reach through their imports, and what not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outrigger_plugin_host::{Plugin, Probe, StateStore, Target, Trust};
use outrigger_profile::{EndpointAt, Tls};
use serde_json::json;

use crate::fakes::{FakeTransport, load, peers, setup};
use crate::guests;

/// What the guest says came of its behaviour, and the transport that it had.
async fn said(name: &str, behaviour: &str) -> (String, Arc<FakeTransport>, Arc<StateStore>) {
    let mut setup = setup(name, &json!({"behaviour": behaviour}));
    let transport = Arc::new(FakeTransport::default());
    let state = Arc::new(StateStore::in_memory());
    setup.transport = transport.clone();
    setup.state = Arc::clone(&state);
    let plugin = Plugin::new(load(guests::misbehaving(), setup).await.unwrap());
    let verdict = plugin.evaluate(Probe::Readiness, &peers()).await.unwrap();
    (verdict.reasons[0].message.clone(), transport, state)
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_never_sent() {
    let (said, transport, _) = said("imports-denied", "denied-endpoint").await;
    let denied = "FailureKind::Denied";
    assert_eq!(said, [denied; 7].join(" "));
    assert!(transport.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn many_requests_go_out_a_few_at_a_time() {
    let (said, transport, _) = said("imports-many", "many-requests").await;
    assert_eq!(said, "40 of 40 answered");
    assert_eq!(transport.sent.lock().unwrap().len(), 40);
    let most = transport.most_in_flight.load(Ordering::SeqCst);
    assert!((2..=8).contains(&most), "{most} at once");
}

#[tokio::test]
async fn what_is_granted_at_another_host_goes_there_under_the_same_limits() {
    let mut setup = setup("imports-host", &json!({"behaviour": "many-requests"}));
    let transport = Arc::new(FakeTransport::default());
    setup.transport = transport.clone();
    let grant = setup.grants.endpoints.get_mut("api").unwrap();
    grant.at = EndpointAt::Host("db-metadata".into());
    grant.tls = Some(Tls { ca_secret: None });
    let plugin = Plugin::new(load(guests::misbehaving(), setup).await.unwrap());
    let verdict = plugin.evaluate(Probe::Readiness, &peers()).await.unwrap();
    assert_eq!(verdict.reasons[0].message, "40 of 40 answered");
    let sent = transport.sent.lock().unwrap();
    let there = Target::Host("db-metadata".into());
    assert!(sent.iter().all(|request| request.target == there));
    let public = Some(Trust::Public);
    assert!(sent.iter().all(|request| request.tls == public));
}

#[tokio::test]
async fn the_authorities_of_an_endpoint_are_read_anew_and_nothing_goes_out_without_them() {
    for (secret, answered) in [
        ("store", "40 of 40 answered"),
        ("other", "0 of 40 answered"),
    ] {
        let mut setup = setup(
            "imports-authorities",
            &json!({"behaviour": "many-requests"}),
        );
        let transport = Arc::new(FakeTransport::default());
        setup.transport = transport.clone();
        let grant = setup.grants.endpoints.get_mut("api").unwrap();
        grant.at = EndpointAt::Host("db-metadata".into());
        grant.tls = Some(Tls {
            ca_secret: Some(secret.into()),
        });
        let plugin = Plugin::new(load(guests::misbehaving(), setup).await.unwrap());
        let verdict = plugin.evaluate(Probe::Readiness, &peers()).await.unwrap();
        assert_eq!(verdict.reasons[0].message, answered);
        let trusted = Some(Trust::Only(b"an authority".to_vec()));
        let sent = transport.sent.lock().unwrap();
        assert!(sent.iter().all(|request| request.tls == trusted));
    }
}

#[tokio::test]
async fn a_related_stateful_set_is_known_by_its_name_in_the_profile() {
    let (said, _, _) = said("imports-related", "related").await;
    assert_eq!(said, "servers: store-0 store-1 of 2; others: unknown");
}

#[tokio::test]
async fn a_value_beyond_the_limit_is_not_stored_and_others_are() {
    let (said, _, state) = said("imports-state", "state-overflow").await;
    assert_eq!(
        said,
        "the value's length in bytes would be 70000, the most is 65536"
    );
    assert_eq!(state.get("big"), None);
    assert_eq!(state.get("count"), Some(b"1".to_vec()));
}

#[tokio::test]
async fn a_secret_goes_out_by_its_name_alone_and_only_where_it_is_granted() {
    let mut setup = setup("imports-secret", &json!({"behaviour": "denied-endpoint"}));
    let transport = Arc::new(FakeTransport::default());
    setup.transport = transport.clone();
    let grant = setup.grants.endpoints.get_mut("api").unwrap();
    grant.secret = Some("admin".into());
    let plugin = Plugin::new(load(guests::misbehaving(), setup).await.unwrap());
    let verdict = plugin.evaluate(Probe::Readiness, &peers()).await.unwrap();
    let said = &verdict.reasons[0].message;
    assert!(
        said.contains("status 200") && !said.contains("hidden"),
        "{said}"
    );
    let sent = transport.sent.lock().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        sent[0].headers,
        [("x-token".to_owned(), "hidden".to_owned())]
    );
    assert!(!format!("{:?}", sent[0]).contains("hidden"));
}
