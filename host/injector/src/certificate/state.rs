//! What all replicas of the webhook share: the authorities, the leaf, and what is kept trusted.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// SHA-256 over a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A private key as PEM (PKCS #8). It never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(pub Arc<str>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// The time in which a certificate is good, as verifiers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: SystemTime,
    /// Up to then.
    pub until: SystemTime,
}

impl Validity {
    /// Whether a verifier whose clock shows `now` accepts it.
    pub fn holds(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }

    /// For how long it is still good; nothing once it is not.
    pub fn left(&self, now: SystemTime) -> Duration {
        self.until.duration_since(now).unwrap_or_default()
    }
}

/// The certificate of an authority, without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaCertificate {
    /// Who it is.
    pub fingerprint: Fingerprint,
    /// When it is good.
    pub validity: Validity,
    /// Itself, as one PEM block that ends with a line feed.
    pub pem: Arc<str>,
}

/// An authority that can sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its certificate.
    pub certificate: CaCertificate,
    /// Its key.
    pub key: PrivateKey,
    /// The latest end of a leaf that it has signed; none before its first.
    pub signed_until: Option<SystemTime>,
}

/// An authority that signs no more. Its key is gone; its certificate stays trusted until the last leaf
/// that it signed has run out, so whoever still serves such a leaf is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Its certificate.
    pub certificate: CaCertificate,
    /// Up to then it is trusted.
    pub until: SystemTime,
}

/// What the webhook shows to those that connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Which one it is.
    pub fingerprint: Fingerprint,
    /// Who signed it.
    pub issuer: Fingerprint,
    /// When it is good.
    pub validity: Validity,
    /// For which DNS names, sorted.
    pub names: Vec<String>,
    /// Itself as PEM.
    pub pem: Arc<str>,
    /// Its key.
    pub key: PrivateKey,
}

/// All of it, as the shared Secret holds it.
///
/// Guarantee, kept by whoever writes one: the leaf's issuer is `signing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Signs leaves.
    pub signing: Authority,
    /// Will sign once every API server trusts it.
    pub next: Option<Authority>,
    /// Sign no more.
    pub retired: Vec<Retired>,
    /// The leaf to serve.
    pub leaf: Leaf,
}

impl State {
    /// What API servers are to trust now, in the bundle's order.
    pub fn trusted(&self, now: SystemTime) -> impl Iterator<Item = &CaCertificate> {
        let retired = self.retired.iter().filter(move |old| now < old.until);
        std::iter::once(&self.signing.certificate)
            .chain(self.next.iter().map(|next| &next.certificate))
            .chain(retired.map(|old| &old.certificate))
            .filter(move |certificate| now < certificate.validity.until)
    }

    /// Whether it holds this authority in whatever role.
    pub fn knows(&self, authority: &Fingerprint) -> bool {
        self.signing.certificate.fingerprint == *authority
            || self
                .next
                .as_ref()
                .is_some_and(|next| next.certificate.fingerprint == *authority)
            || self
                .retired
                .iter()
                .any(|old| old.certificate.fingerprint == *authority)
    }
}

/// What the webhook configuration tells API servers to trust, as last read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundle {
    /// The authorities that each of our webhooks there trusts, in order.
    pub trusted: Vec<CaCertificate>,
    /// Authorities that only some of them trust.
    pub partly: Vec<CaCertificate>,
    /// Whether each webhook's bundle is `trusted` and nothing else, so that nothing is to be mended.
    pub clean: bool,
}

impl Bundle {
    /// Whether every webhook trusts it.
    pub fn trusts(&self, authority: &Fingerprint) -> bool {
        self.trusted.iter().any(|one| one.fingerprint == *authority)
    }

    /// Whether a webhook trusts it.
    pub fn mentions(&self, authority: &Fingerprint) -> bool {
        self.all().any(|one| one.fingerprint == *authority)
    }

    /// The authorities that any webhook trusts.
    pub fn all(&self) -> impl Iterator<Item = &CaCertificate> {
        self.trusted.iter().chain(&self.partly)
    }
}
