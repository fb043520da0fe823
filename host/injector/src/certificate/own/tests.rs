//! Two replicas against a stand-in for the API server, with real keys and real handshakes.

use std::fmt::Debug;
use std::time::Duration;

use hyper::StatusCode;
use k8s_openapi::ByteString;
use rustls::crypto::ring;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use serde_json::{Value, json};

use super::*;
use outrigger_api_server::stand_in::{self, StandIn};

const NAME: &str = "outrigger.outrigger.svc";
const SECRET: &str = "/api/v1/namespaces/outrigger/secrets/outrigger-tls";
const MINUTE: Duration = Duration::from_mins(1);

fn path() -> String {
    format!("{COLLECTION}/outrigger")
}

fn own() -> OwnCertificates {
    let mut policy = Policy::for_names(vec![NAME.to_owned()]);
    policy.ca_life = 36 * 5 * MINUTE;
    policy.leaf_life = 12 * 5 * MINUTE;
    policy.margin = 15 * MINUTE;
    OwnCertificates {
        namespace: "outrigger".to_owned(),
        secret: "outrigger-tls".to_owned(),
        configuration: "outrigger".to_owned(),
        webhooks: vec!["pods.outrigger.dev".to_owned()],
        policy,
    }
}

fn configuration() -> Value {
    json!({
        "metadata": {"name": "outrigger", "labels": {"app": "outrigger"}},
        "webhooks": [
            {"name": "pods.outrigger.dev", "clientConfig": {"service": {"name": "outrigger"}}, "failurePolicy": "Fail"},
            {"name": "other.example.com", "clientConfig": {"caBundle": "b3RoZXI="}},
        ]
    })
}

fn world() -> StandIn {
    let stand_in = StandIn::new();
    stand_in.put(&path(), configuration());
    stand_in.put(SECRET, json!({"metadata": {"name": "outrigger-tls", "labels": {"app": "outrigger"}}, "data": {"others": "eA=="}}));
    stand_in
}

fn bundle_of(stand_in: &StandIn) -> Vec<u8> {
    let configuration = stand_in.get(&path()).unwrap();
    let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].clone();
    serde_json::from_value::<Option<ByteString>>(bundle)
        .unwrap()
        .unwrap_or_default()
        .0
}

#[derive(Debug)]
struct Clock(UnixTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

/// What an API server does with this bundle at that time.
fn handshake(serving: &ServingCert, bundle: &[u8], now: SystemTime) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for der in crate::certificate::pem::certificates(bundle).unwrap() {
        roots.add(der).unwrap();
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let provider = std::sync::Arc::new(ring::default_provider());
    let clock = std::sync::Arc::new(Clock(UnixTime::since_unix_epoch(now)));
    let client = ClientConfig::builder_with_details(provider.clone(), clock)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(std::sync::Arc::new(serving.clone()));
    let mut client = ClientConnection::new(client.into(), ServerName::try_from(NAME).unwrap())?;
    let mut server = ServerConnection::new(server.into())?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

/// Runs replicas beside `drive`, until it ends.
async fn with_replicas<T: Debug>(
    stand_in: &StandIn,
    serving: &[ServingCert],
    drive: impl Future<Output = T>,
) -> T {
    let shutdown = Shutdown::new();
    let replica = |index: usize| {
        let serving = serving[index.min(serving.len() - 1)].clone();
        Box::pin(own().run(stand_in.api(), serving, shutdown.clone()))
    };
    // A second one only where there are two.
    let second = async {
        match serving.len() {
            1 => shutdown.triggered().await,
            _ => replica(1).await,
        }
    };
    let drive = async {
        let result = drive.await;
        shutdown.trigger("test");
        result
    };
    tokio::join!(replica(0), second, drive).2
}

#[tokio::test(start_paused = true)]
async fn lives_of_authorities_pass_and_no_handshake_fails_at_either_replica() {
    let stand_in = world();
    let replicas = [ServingCert::new(), ServingCert::new()];
    let drive = async {
        for serving in &replicas {
            serving.ready().await;
        }
        // API servers hold whatever the bundle was in the last three minutes.
        let mut bundles = vec![bundle_of(&stand_in); 6];
        let (mut handshakes, mut authorities) = (0, std::collections::BTreeSet::new());
        while stand_in.now() < SystemTime::UNIX_EPOCH + stand_in::BEGIN + 5 * 60 * MINUTE {
            tokio::time::sleep(MINUTE / 2).await;
            bundles.remove(0);
            bundles.push(bundle_of(&stand_in));
            authorities.insert(bundles[5].clone());
            for serving in &replicas {
                for bundle in [&bundles[0], &bundles[5]] {
                    handshake(serving, bundle, stand_in.now()).unwrap();
                    handshakes += 1;
                }
            }
        }
        assert!(handshakes > 2000, "{handshakes}");
        assert!(
            authorities.len() >= 5,
            "bundles with the old, both, and the new one: {}",
            authorities.len()
        );
    };
    with_replicas(&stand_in, &replicas, drive).await;
    let configuration = stand_in.get(&path()).unwrap();
    assert_eq!(
        configuration["webhooks"][1],
        json!({"name": "other.example.com", "clientConfig": {"caBundle": "b3RoZXI="}})
    );
    assert_eq!(configuration["webhooks"][0]["failurePolicy"], "Fail");
    assert_eq!(
        configuration["webhooks"][0]["clientConfig"]["service"]["name"],
        "outrigger"
    );
    let secret = stand_in.get(SECRET).unwrap();
    assert_eq!(
        (
            &secret["data"]["others"],
            &secret["metadata"]["labels"]["app"]
        ),
        (&json!("eA=="), &json!("outrigger"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_somebody_overwrites_is_mended_at_once() {
    let stand_in = world();
    let serving = ServingCert::new();
    let drive = async {
        serving.ready().await;
        let good = bundle_of(&stand_in);
        for broken in [json!(null), json!("Z2FyYmFnZQ==")] {
            let mut configuration = configuration();
            configuration["webhooks"][0]["clientConfig"]["caBundle"] = broken;
            stand_in.put(&path(), configuration);
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(
                bundle_of(&stand_in),
                good,
                "sooner than the next look of its own accord"
            );
        }
    };
    with_replicas(&stand_in, std::slice::from_ref(&serving), drive).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_somebody_deletes_comes_again_with_a_new_authority_to_come() {
    let stand_in = world();
    let serving = ServingCert::new();
    let drive = async {
        serving.ready().await;
        let before = bundle_of(&stand_in);
        let rotation = || serving.standing().borrow().rotation;
        assert_eq!(rotation(), Some(Rotation::Rest));
        stand_in.delete(SECRET);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(rotation(), Some(Rotation::Introducing));
        let secret = stand_in.get(SECRET).unwrap();
        assert!(secret["data"]["next-ca.crt"].is_string(), "{secret}");
        handshake(&serving, &before, stand_in.now()).unwrap();
        tokio::time::sleep(10 * MINUTE).await;
        handshake(&serving, &bundle_of(&stand_in), stand_in.now()).unwrap();
        assert!(
            handshake(&serving, &before, stand_in.now()).is_err(),
            "the new authority signs"
        );
        assert_eq!(rotation(), Some(Rotation::Retiring));
    };
    with_replicas(&stand_in, std::slice::from_ref(&serving), drive).await;
}

#[tokio::test(start_paused = true)]
async fn an_authority_is_trusted_no_more_once_secret_and_bundle_were_cleared_while_no_replica_ran()
{
    let stand_in = world();
    let [first, second] = [ServingCert::new(), ServingCert::new()];
    let before = async {
        first.ready().await;
        bundle_of(&stand_in)
    };
    let before = with_replicas(&stand_in, std::slice::from_ref(&first), before).await;
    stand_in.delete(SECRET);
    stand_in.put(&path(), configuration());
    let after = async {
        second.ready().await;
        bundle_of(&stand_in)
    };
    let after = with_replicas(&stand_in, std::slice::from_ref(&second), after).await;
    let now = stand_in.now();
    handshake(&first, &before, now).unwrap();
    handshake(&second, &after, now).unwrap();
    assert!(handshake(&first, &after, now).is_err(), "the old one");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_way_is_told_with_what_to_do() {
    let stand_in = StandIn::new();
    let serving = ServingCert::new();
    let drive = async {
        let mut standing = serving.standing();
        stand_in.refuse(COLLECTION, StatusCode::FORBIDDEN);
        stand_in.refuse(COLLECTION, StatusCode::FORBIDDEN);
        let told = |text: &'static str| {
            move |standing: &super::super::Standing| standing.trouble.as_deref() == Some(text)
        };
        let mut until = async |so: &dyn Fn(&super::super::Standing) -> bool| {
            let seen = tokio::time::timeout(60 * MINUTE, standing.wait_for(so))
                .await
                .is_ok();
            assert!(seen, "{:?}", standing.borrow().trouble);
        };
        until(&told("the webhook configuration outrigger cannot be read: the API server answered 403: as the test says (the service account's Role or ClusterRole lacks this: apply the manifests of this version)")).await;
        until(&told(
            "there is no webhook configuration outrigger with our webhooks: apply the manifests",
        ))
        .await;
        stand_in.put(&path(), configuration());
        serving.ready().await;
        until(&|standing| standing.trouble.is_none()).await;
        handshake(&serving, &bundle_of(&stand_in), stand_in.now()).unwrap();
    };
    with_replicas(&stand_in, std::slice::from_ref(&serving), drive).await;
}
