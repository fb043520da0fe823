//! TLS as API servers speak it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};

use crate::certificate::ServingCert;

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMin {
    /// For API servers behind something old.
    V1_2,
    /// Every supported API server speaks it.
    #[default]
    V1_3,
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct TlsError(#[from] rustls::Error);

/// Days until a moment, negative once it has passed.
pub(super) fn days_until(moment: SystemTime, now: SystemTime) -> f64 {
    const DAY: f64 = 24.0 * 60.0 * 60.0;
    match moment.duration_since(now) {
        Ok(left) => left.as_secs_f64() / DAY,
        Err(over) => -over.duration().as_secs_f64() / DAY,
    }
}

/// How the server speaks it.
pub(super) fn config(serving: &ServingCert, min: TlsMin) -> Result<ServerConfig, TlsError> {
    let versions: &[_] = match min {
        TlsMin::V1_2 => &[&TLS13, &TLS12],
        TlsMin::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(serving.clone()));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Connections live long and are few: to resume one saves nothing and would cost memory.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_days_left_are_negative_once_they_are_over() {
        let day = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_hours(day * 24);
        assert!((days_until(day(10), day(7)) - 3.0).abs() < f64::EPSILON);
        assert!((days_until(day(10), day(12)) + 2.0).abs() < f64::EPSILON);
    }
}
