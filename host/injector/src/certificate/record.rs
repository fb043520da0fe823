//! The record as the shared Secret holds it: usual names for what others may want to read, and
//! `state.json` for what certificates do not say themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use super::pem::{self, PemError};
use super::state::{Authority, CaCertificate, Leaf, PrivateKey, Retired, State};

/// The leaf.
const LEAF: &str = "tls.crt";
/// The leaf's key.
const LEAF_KEY: &str = "tls.key";
/// The authority that signs.
const CA: &str = "ca.crt";
/// Its key.
const CA_KEY: &str = "ca.key";
/// The authority that will sign.
const NEXT: &str = "next-ca.crt";
/// Its key.
const NEXT_KEY: &str = "next-ca.key";
/// The authorities that sign no more, without keys.
const OLD: &str = "old-ca.crt";
/// Times.
const STATE: &str = "state.json";

/// Every key that is ours.
pub(crate) const KEYS: [&str; 8] = [LEAF, LEAF_KEY, CA, CA_KEY, NEXT, NEXT_KEY, OLD, STATE];

/// The data of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// A Secret does not hold a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A key is not there.
    #[error("the key `{0}` is missing")]
    Missing(&'static str),
    /// A key's text is not what it should be.
    #[error("the key `{key}` cannot be read")]
    Broken {
        /// Which.
        key: &'static str,
        /// Why.
        #[source]
        source: PemError,
    },
    /// A private key is not the certificate's.
    #[error("the key `{0}` is not the private key of its certificate")]
    Mismatch(&'static str),
    /// The leaf is not signed by the authority.
    #[error("the certificate in `tls.crt` is not signed by the authority in `ca.crt`")]
    Unsigned,
    /// `state.json` cannot be read.
    #[error("the key `state.json` cannot be read")]
    State(#[source] serde_json::Error),
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    /// Seconds since the epoch; as all here.
    signed_until: Option<u64>,
    /// By fingerprint.
    #[serde(default)]
    retired_until: BTreeMap<String, u64>,
}

/// The data for a record; exactly these keys are ours.
pub fn write(state: &State) -> Data {
    let mut data = Data::new();
    let mut put =
        |key: &str, text: &str| data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
    put(LEAF, &state.leaf.pem);
    put(LEAF_KEY, &state.leaf.key.0);
    put(CA, &state.signing.certificate.pem);
    put(CA_KEY, &state.signing.key.0);
    if let Some(next) = &state.next {
        put(NEXT, &next.certificate.pem);
        put(NEXT_KEY, &next.key.0);
    }
    if !state.retired.is_empty() {
        put(
            OLD,
            &state
                .retired
                .iter()
                .map(|old| &*old.certificate.pem)
                .collect::<String>(),
        );
    }
    let times = Times {
        signed_until: state.signing.signed_until.map(seconds),
        retired_until: state
            .retired
            .iter()
            .map(|old| (old.certificate.fingerprint.to_string(), seconds(old.until)))
            .collect(),
    };
    let times = serde_json::to_string(&times).expect("texts and numbers are JSON");
    put(STATE, &times);
    data
}

/// The record in a Secret; none where there is none yet.
///
/// # Errors
/// Where there is something that is no whole record.
pub fn read(data: &Data) -> Result<Option<State>, RecordError> {
    if data.values().all(|value| value.0.is_empty()) {
        return Ok(None);
    }
    let times: Times = match data.get(STATE) {
        Some(text) => serde_json::from_slice(&text.0).map_err(RecordError::State)?,
        None => Times::default(),
    };
    let signing = authority(data, CA, CA_KEY)?;
    let leaf = leaf(data, &signing)?;
    // Without a word about it, the leaf that is there is the last one.
    let signed_until = times
        .signed_until
        .map_or(leaf.validity.until, time)
        .max(leaf.validity.until);
    let next = data
        .contains_key(NEXT)
        .then(|| authority(data, NEXT, NEXT_KEY))
        .transpose()?;
    let old = data.get(OLD).map_or(&[][..], |text| &text.0);
    let retired = authorities(old)
        .map_err(|source| RecordError::Broken { key: OLD, source })?
        .into_iter()
        .map(|certificate| Retired {
            until: times
                .retired_until
                .get(&certificate.fingerprint.to_string())
                .map_or(certificate.validity.until, |until| time(*until)),
            certificate,
        })
        .collect();
    Ok(Some(State {
        signing: Authority {
            signed_until: Some(signed_until),
            ..signing
        },
        next,
        retired,
        leaf,
    }))
}

/// The authorities in a text, each once.
pub(crate) fn authorities(text: &[u8]) -> Result<Vec<CaCertificate>, PemError> {
    let mut found: Vec<CaCertificate> = Vec::new();
    for der in pem::certificates(text)? {
        let one = pem::authority(&der)?;
        if found
            .iter()
            .all(|other| other.fingerprint != one.fingerprint)
        {
            found.push(one);
        }
    }
    Ok(found)
}

fn text<'a>(data: &'a Data, key: &'static str) -> Result<&'a [u8], RecordError> {
    data.get(key)
        .map(|value| &value.0[..])
        .ok_or(RecordError::Missing(key))
}

/// A certificate and its key, which belong together.
fn pair(
    data: &Data,
    key: &'static str,
    private: &'static str,
) -> Result<(Vec<u8>, pem::Facts, PrivateKey), RecordError> {
    let broken = |source| RecordError::Broken { key, source };
    let der = pem::certificates(text(data, key)?)
        .map_err(broken)?
        .into_iter()
        .next();
    let der = der.ok_or(broken(PemError::Empty))?.to_vec();
    let facts = pem::facts(&der).map_err(broken)?;
    let secret =
        std::str::from_utf8(text(data, private)?).map_err(|_| RecordError::Mismatch(private))?;
    let pair = rcgen::KeyPair::from_pem(secret).map_err(|_| RecordError::Mismatch(private))?;
    if rcgen::PublicKeyData::subject_public_key_info(&pair) != facts.public_key {
        return Err(RecordError::Mismatch(private));
    }
    Ok((der, facts, PrivateKey(Arc::from(secret))))
}

fn authority(
    data: &Data,
    key: &'static str,
    private: &'static str,
) -> Result<Authority, RecordError> {
    let (der, _, secret) = pair(data, key, private)?;
    let certificate = pem::authority(&der).map_err(|source| RecordError::Broken { key, source })?;
    Ok(Authority {
        certificate,
        key: secret,
        signed_until: None,
    })
}

fn leaf(data: &Data, signing: &Authority) -> Result<Leaf, RecordError> {
    let (der, facts, key) = pair(data, LEAF, LEAF_KEY)?;
    let broken = |source| RecordError::Broken { key: LEAF, source };
    let issuer = pem::certificates(signing.certificate.pem.as_bytes()).map_err(broken)?;
    let issuer = issuer.first().ok_or(broken(PemError::Empty))?;
    let issuer = pem::parse(issuer).map_err(broken)?;
    let certificate = pem::parse(&der).map_err(broken)?;
    if certificate
        .verify_signature(Some(issuer.public_key()))
        .is_err()
    {
        return Err(RecordError::Unsigned);
    }
    Ok(Leaf {
        fingerprint: facts.fingerprint,
        issuer: signing.certificate.fingerprint,
        validity: facts.validity,
        names: facts.names,
        pem: Arc::from(pem::encode("CERTIFICATE", &der)),
        key,
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn time(seconds: u64) -> SystemTime {
    // Beyond what a clock can hold is as good as the beginning: nothing of ours ends there.
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::apply::Issuer as _;
    use crate::certificate::issue::EcdsaIssuer;
    use crate::certificate::state::Validity;

    fn validity() -> Validity {
        Validity {
            from: time(1_800_000_000),
            until: time(1_900_000_000),
        }
    }

    fn state() -> State {
        let names = ["outrigger.outrigger.svc".to_owned()];
        let mut signing = EcdsaIssuer.authority(validity()).unwrap();
        let leaf = EcdsaIssuer.leaf(&signing, &names, validity()).unwrap();
        signing.signed_until = Some(leaf.validity.until);
        let old = EcdsaIssuer.authority(validity()).unwrap().certificate;
        State {
            signing,
            next: Some(EcdsaIssuer.authority(validity()).unwrap()),
            retired: vec![Retired {
                certificate: old,
                until: time(1_850_000_000),
            }],
            leaf,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let state = state();
        assert_eq!(read(&write(&state)).unwrap(), Some(state));
        assert!(read(&Data::new()).unwrap().is_none());
    }

    #[test]
    fn parts_that_do_not_belong_together_are_no_record() {
        let (one, other) = (write(&state()), write(&state()));
        let message = |key: &str| {
            let mut mixed = one.clone();
            mixed.insert(key.to_owned(), other[key].clone());
            read(&mixed).unwrap_err().to_string()
        };
        assert_eq!(
            message(LEAF_KEY),
            "the key `tls.key` is not the private key of its certificate"
        );
        assert_eq!(
            message(CA_KEY),
            "the key `ca.key` is not the private key of its certificate"
        );
        let mut mixed = one.clone();
        for key in [LEAF, LEAF_KEY] {
            mixed.insert(key.to_owned(), other[key].clone());
        }
        assert!(matches!(read(&mixed), Err(RecordError::Unsigned)));
        mixed.remove(CA);
        assert!(matches!(read(&mixed), Err(RecordError::Missing(CA))));
    }

    #[test]
    fn keys_do_not_show_themselves() {
        let state = state();
        let shown = format!("{state:?}");
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    }
}
