//! Certificates and keys from text and back, and what a certificate says.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::state::{CaCertificate, Fingerprint, Validity};

/// Certificates that are read from one text; more are an error.
pub(crate) const CERTIFICATES_MAX: usize = 64;

/// A text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// It is not PEM.
    #[error("the text is not PEM: {0}")]
    NotPem(String),
    /// It holds too much.
    #[error("there are more than {CERTIFICATES_MAX} certificates")]
    TooMany,
    /// It holds no certificate.
    #[error("there is no certificate")]
    Empty,
    /// A certificate cannot be read.
    #[error("a certificate is not X.509: {0}")]
    NotX509(String),
}

/// The certificates in a text, in order.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(text) {
        found.push(der.map_err(|error| PemError::NotPem(error.to_string()))?);
        if found.len() > CERTIFICATES_MAX {
            return Err(PemError::TooMany);
        }
    }
    Ok(found)
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) validity: Validity,
    /// The DNS names, sorted.
    pub(crate) names: Vec<String>,
    pub(crate) is_ca: bool,
    /// Its public key (`SubjectPublicKeyInfo`, DER).
    pub(crate) public_key: Vec<u8>,
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PemError> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| PemError::NotX509(error.to_string()))
}

pub(crate) fn facts(der: &[u8]) -> Result<Facts, PemError> {
    let certificate = parse(der)?;
    let mut names: Vec<String> = match certificate.subject_alternative_name() {
        Ok(Some(names)) => names
            .value
            .general_names
            .iter()
            .filter_map(dns_name)
            .collect(),
        _ => Vec::new(),
    };
    names.sort();
    Ok(Facts {
        fingerprint: Fingerprint(Sha256::digest(der).into()),
        validity: Validity {
            from: time(certificate.validity().not_before),
            until: time(certificate.validity().not_after),
        },
        names,
        is_ca: certificate.is_ca(),
        public_key: certificate.public_key().raw.to_vec(),
    })
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}

fn time(time: ASN1Time) -> SystemTime {
    match u64::try_from(time.timestamp()) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => UNIX_EPOCH,
    }
}

/// An authority's certificate.
pub(crate) fn authority(der: &[u8]) -> Result<CaCertificate, PemError> {
    let facts = facts(der)?;
    Ok(CaCertificate {
        fingerprint: facts.fingerprint,
        validity: facts.validity,
        pem: Arc::from(encode("CERTIFICATE", der)),
    })
}

/// One PEM block, ending with a line feed.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes make a line of 64 characters.
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group
                .iter()
                .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - group.len()));
            for digit in 0..4 {
                let index = (bits >> (18 - 6 * digit)) & 63;
                text.push(if digit > group.len() {
                    '='
                } else {
                    char::from(DIGITS[index as usize])
                });
            }
        }
        text.push('\n');
    }
    // Writing to a string cannot fail.
    writeln!(text, "-----END {label}-----").unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_encoded_is_read_again(der in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..300)) {
            let text = encode("CERTIFICATE", &der);
            proptest::prop_assert!(text.lines().all(|line| line.len() <= 64));
            proptest::prop_assert_eq!(certificates(text.as_bytes()).unwrap(), [CertificateDer::from(der)]);
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            drop(facts(&bytes));
            drop(certificates(&bytes));
        }
    }
}
