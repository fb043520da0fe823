//! Another service that speaks TLS, with certificates that are trusted and that are not.

use outrigger_plugin_host::Trust;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, crypto::ring};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Trust in this one alone.
    fn trust(&self) -> Trust {
        Trust::Only(self.0.pem().into_bytes())
    }

    /// A service with the test's routes and a certificate for these names.
    async fn service(&self, names: &[&str]) -> (u16, JoinSet<()>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap();
        let certificate = certificate.signed_by(&key, &self.0).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Who does not trust the certificate goes away.
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
            }
        });
        (port, tasks)
    }
}

/// One request over a connection.
async fn serve(stream: tokio_rustls::server::TlsStream<TcpStream>) {
    let sni = stream.get_ref().1.server_name().map(str::to_owned);
    let app = app().route("/sni", get(async move || sni.unwrap_or_default()));
    let app = hyper_util::service::TowerToHyperService::new(app);
    let io = hyper_util::rt::TokioIo::new(stream);
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(io, app)
            .await,
    );
}

fn secure(host: &str, port: u16, path: &str, trust: Trust) -> EndpointRequest {
    EndpointRequest {
        tls: Some(trust),
        ..request(Target::Host(host.to_owned()), port, path)
    }
}

async fn told(request: EndpointRequest) -> String {
    transport().send(request).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_service_whose_authority_is_trusted_is_asked_by_its_name() {
    let authority = Authority::new("ours");
    let (port, _tasks) = authority.service(&["localhost", "127.0.0.1"]).await;
    for (host, path, said) in [
        ("localhost", "/host", format!("localhost:{port}")),
        ("localhost", "/sni", "localhost".to_owned()),
        ("127.0.0.1", "/host", format!("127.0.0.1:{port}")),
        // An address is no name to be asked for.
        ("127.0.0.1", "/sni", String::new()),
    ] {
        let request = secure(host, port, path, authority.trust());
        let answer = transport().send(request).await.unwrap();
        assert_eq!(
            String::from_utf8(answer.body).unwrap(),
            said,
            "{host}{path}"
        );
    }
    // Whatever it says, nobody is asked besides.
    let moved = secure("localhost", port, "/moved", authority.trust());
    assert_eq!(transport().send(moved).await.unwrap().status, 303);
    let long = secure("localhost", port, "/long", authority.trust());
    assert_eq!(
        transport().send(long).await,
        Err(TransportError::TooLarge(1000))
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_in_its_words() {
    let authority = Authority::new("ours");
    let (port, _tasks) = authority.service(&["s3.example.com"]).await;
    let (local, _local_tasks) = authority.service(&["localhost"]).await;
    for (request, said) in [
        (
            secure("localhost", local, "/", Trust::Public),
            format!(
                "no TLS with localhost:{local}: its certificate is of no authority that is trusted"
            ),
        ),
        (
            secure("localhost", local, "/", Authority::new("another").trust()),
            format!(
                "no TLS with localhost:{local}: its certificate is of no authority that is trusted"
            ),
        ),
        (
            secure("localhost", port, "/", authority.trust()),
            format!(
                "no TLS with localhost:{port}: its certificate is not trusted: certificate not valid for name \"localhost\"; certificate is only valid for DnsName(\"s3.example.com\")"
            ),
        ),
        (
            secure("localhost", local, "/", Trust::Only(b"none".to_vec())),
            format!(
                "no TLS with localhost:{local}: the authorities of the profile hold no certificate in PEM"
            ),
        ),
    ] {
        assert_eq!(told(request).await, said);
    }
}

#[tokio::test]
async fn a_service_that_speaks_no_tls_is_told_and_one_that_is_silent_costs_the_timeout() {
    let (port, _tasks) = workload().await;
    let plain = told(secure("localhost", port, "/host", Trust::Public)).await;
    assert!(
        plain.starts_with(&format!("no TLS with localhost:{port}: ")),
        "{plain}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut silent = secure("localhost", port, "/", Trust::Public);
    silent.timeout = Duration::from_millis(20);
    assert_eq!(told(silent).await, "no answer within 20 ms");
    let (mut stream, _) = listener.accept().await.unwrap();
    drop(stream.shutdown().await);
}
