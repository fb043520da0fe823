//! Makes authorities and leaves: ECDSA on P-256, which every cloud's API server accepts.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use super::apply::{IssueError, Issuer};
use super::pem;
use super::state::{Authority, Leaf, PrivateKey, Validity};

/// The one who makes certificates in earnest.
#[derive(Debug, Clone, Copy, Default)]
pub struct EcdsaIssuer;

impl Issuer for EcdsaIssuer {
    fn authority(&self, validity: Validity) -> Result<Authority, IssueError> {
        authority(validity).map_err(|source| IssueError {
            what: "authority",
            source,
        })
    }

    fn leaf(
        &self,
        authority: &Authority,
        names: &[String],
        validity: Validity,
    ) -> Result<Leaf, IssueError> {
        leaf(authority, names, validity).map_err(|source| IssueError {
            what: "certificate",
            source,
        })
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn authority(validity: Validity) -> Result<Authority, Failure> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = params(validity, Vec::new())?;
    // Names differ, so that a verifier that holds several never takes one for the other.
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|error| error.to_string())?;
    let name = format!(
        "outrigger webhook authority {:016x}",
        u64::from_be_bytes(number)
    );
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok(Authority {
        certificate: pem::authority(certificate.der())?,
        key: PrivateKey(Arc::from(key.serialize_pem())),
        signed_until: None,
    })
}

fn leaf(authority: &Authority, names: &[String], validity: Validity) -> Result<Leaf, Failure> {
    let signer = KeyPair::from_pem(&authority.key.0)?;
    let issuer = rcgen::Issuer::from_ca_cert_pem(&authority.certificate.pem, signer)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = params(validity, names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "outrigger webhook");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer)?;
    let facts = pem::facts(certificate.der())?;
    Ok(Leaf {
        fingerprint: facts.fingerprint,
        issuer: authority.certificate.fingerprint,
        validity: facts.validity,
        names: facts.names,
        pem: Arc::from(pem::encode("CERTIFICATE", certificate.der())),
        key: PrivateKey(Arc::from(key.serialize_pem())),
    })
}

fn params(validity: Validity, names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    Ok(params)
}
