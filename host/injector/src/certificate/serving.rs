//! The certificate that the TLS server shows, whichever it is at the moment.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use super::pem::PemError;
use super::state::Validity;

/// How it stands with the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// When what is served is good; none = nothing is served yet.
    pub leaf: Option<Validity>,
    /// When the authority that signs runs out; none = it is not ours.
    pub authority_until: Option<SystemTime>,
    /// Whether the webhook configuration trusts who signed it; none = that is somebody else's care.
    pub trusted: Option<bool>,
    /// Where the change of authorities is; none = nothing was read yet, or they are not ours.
    pub rotation: Option<Rotation>,
    /// How often another certificate was taken, the first one included.
    pub changes: u64,
    /// How far this machine's clock is ahead of the API server's, in seconds, when that is worth a word.
    pub clock_ahead_seconds: Option<i64>,
    /// What keeps the certificate from being looked after; it may be good all the same.
    pub trouble: Option<String>,
}

/// Where the change from one authority to the next is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// One authority, which signs.
    Rest,
    /// The next one is made known to API servers before it signs.
    Introducing,
    /// One before signs no more, and is trusted until its last certificate has run out.
    Retiring,
}

impl Rotation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rest, Self::Introducing, Self::Retiring];

    /// One word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Introducing => "introducing",
            Self::Retiring => "retiring",
        }
    }
}

impl Standing {
    /// Whether an API server that calls now believes us, as far as we know.
    pub fn good(&self, now: SystemTime) -> bool {
        self.missing(now).is_none()
    }

    /// Why no API server would believe us; none = as far as we know each does.
    pub fn missing(&self, now: SystemTime) -> Option<String> {
        let told = match self.leaf {
            None => "there is no certificate yet",
            Some(leaf) if now < leaf.from => "the certificate is not good yet",
            Some(leaf) if !leaf.holds(now) => "the certificate has expired",
            Some(_) if self.trusted == Some(false) => {
                "the webhook configuration does not trust the certificate yet"
            }
            Some(_) => return None,
        };
        Some(match &self.trouble {
            Some(trouble) => format!("{told} ({trouble})"),
            None => told.to_owned(),
        })
    }
}

/// The certificate that is served. Cheap to clone; all clones are one. For [`rustls::ServerConfig`] it is
/// the resolver: a new certificate counts from the next handshake on.
#[derive(Clone)]
pub struct ServingCert {
    inner: Arc<Inner>,
}

struct Inner {
    current: ArcSwapOption<CertifiedKey>,
    standing: watch::Sender<Standing>,
}

impl fmt::Debug for ServingCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServingCert")
            .field(&*self.inner.standing.borrow())
            .finish()
    }
}

impl Default for ServingCert {
    fn default() -> Self {
        Self::new()
    }
}

impl ServingCert {
    /// Nothing is served yet: handshakes fail.
    pub fn new() -> Self {
        let standing = watch::Sender::new(Standing::default());
        Self {
            inner: Arc::new(Inner {
                current: ArcSwapOption::empty(),
                standing,
            }),
        }
    }

    /// How it stands; the receiver hears of each change.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.inner.standing.subscribe()
    }

    /// Waits until there is a certificate that API servers are told to trust.
    ///
    /// # Cancel safety
    /// Safe: it holds no state.
    pub async fn ready(&self) {
        let mut standing = self.standing();
        // The sender lives as long as self.
        drop(
            standing
                .wait_for(|standing| standing.leaf.is_some() && standing.trusted != Some(false))
                .await,
        );
    }

    pub(crate) fn serve(&self, key: CertifiedKey, leaf: Validity) {
        self.inner.current.store(Some(Arc::new(key)));
        self.inner.standing.send_modify(|standing| {
            standing.leaf = Some(leaf);
            standing.changes += 1;
        });
    }

    /// Changes what is told; whoever waits hears of it only when something did change.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Standing)) {
        self.inner.standing.send_if_modified(|standing| {
            let before = standing.clone();
            change(standing);
            *standing != before
        });
    }
}

impl ResolvesServerCert for ServingCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.inner.current.load_full()
    }
}

/// A certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The certificate's text is no certificate.
    #[error("the certificate cannot be read")]
    Certificate(#[source] PemError),
    /// The key's text is no key.
    #[error("the private key cannot be read: it should be PEM, unencrypted")]
    Key,
    /// They are two different pairs' halves, or the key is of a kind that is not supported.
    #[error("the private key does not go with the certificate")]
    Mismatch(#[source] rustls::Error),
}

/// What the TLS server needs, from PEM texts.
pub(crate) fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, PairError> {
    let chain: Vec<CertificateDer<'static>> =
        super::pem::certificates(chain).map_err(PairError::Certificate)?;
    if chain.is_empty() {
        return Err(PairError::Certificate(PemError::Empty));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairError::Key)?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(PairError::Mismatch)
}

/// How far the first clock is ahead of the second.
pub(crate) fn ahead_seconds(local: SystemTime, server: SystemTime) -> i64 {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match local.duration_since(server) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}
