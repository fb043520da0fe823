//! TLS with another service: whose certificates are trusted, and what is said of one that is not.

use std::sync::{Arc, LazyLock};

use outrigger_plugin_host::{TransportError, Trust};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(ring::default_provider()));

/// The authorities that browsers trust, as they were when this was built: an image without files has none
/// of its own.
static PUBLIC: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| {
    config(RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    })
});

/// Speaks TLS over a connection with `host`, which is the name that is asked for and that the certificate
/// must have. `address` is for what is said.
///
/// # Errors
/// Who is there is not trusted, or speaks no TLS; or the authorities are none.
///
/// # Cancel safety
/// Dropping it drops the connection.
pub(super) async fn handshake<S>(
    stream: S,
    host: &str,
    address: &str,
    trust: &Trust,
) -> Result<TlsStream<S>, TransportError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |reason: String| TransportError::Tls {
        address: address.to_owned(),
        reason,
    };
    let config = match trust {
        Trust::Public => PUBLIC.clone(),
        Trust::Only(pem) => authorities(pem).and_then(config),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    TlsConnector::from(config.map_err(failed)?)
        .connect(name, stream)
        .await
        .map_err(|error| failed(explain(&error)))
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The authorities of a text in PEM.
fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate
            .map_err(|error| error.to_string())
            .and_then(|der| roots.add(der).map_err(|error| error.to_string()))
            .map_err(|error| {
                format!("the authorities of the profile are not understood: {error}")
            })?;
    }
    if roots.is_empty() {
        return Err("the authorities of the profile hold no certificate in PEM".to_owned());
    }
    Ok(roots)
}

/// Why there was no handshake, for people.
fn explain(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is of no authority that is trusted".to_owned()
        }
        Some(Error::InvalidCertificate(problem)) => {
            format!("its certificate is not trusted: {problem}")
        }
        Some(other) => other.to_string(),
        None => error.to_string(),
    }
}
