//! Taking a port, on machines with IPv6 and without.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// Takes a port. `[::]` stands for every address of either kind, also where there is no IPv6.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let error = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    match instead(address, &error) {
        // What was asked for is what the report is about.
        Some(other) => TcpListener::bind(other).await.map_err(|_| error),
        None => Err(error),
    }
}

/// Which address means the same where this one cannot be had.
fn instead(address: SocketAddr, error: &Error) -> Option<SocketAddr> {
    let everywhere = address.is_ipv6() && address.ip().is_unspecified();
    let is_there = matches!(
        error.kind(),
        ErrorKind::AddrInUse | ErrorKind::PermissionDenied
    );
    (everywhere && !is_there).then(|| (Ipv4Addr::UNSPECIFIED, address.port()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux answers where IPv6 is switched off: address family not supported.
    fn no_ipv6() -> Error {
        Error::from_raw_os_error(97)
    }

    #[test]
    fn without_ipv6_every_address_is_every_address_of_ipv4() {
        let of = |address: &str, error: &Error| {
            instead(address.parse().unwrap(), error).map(|address| address.to_string())
        };
        assert_eq!(of("[::]:8443", &no_ipv6()).as_deref(), Some("0.0.0.0:8443"));
        assert_eq!(of("[::1]:8443", &no_ipv6()), None);
        assert_eq!(of("0.0.0.0:8443", &no_ipv6()), None);
        for taken in [ErrorKind::AddrInUse, ErrorKind::PermissionDenied] {
            assert_eq!(of("[::]:8443", &taken.into()), None);
        }
    }

    #[tokio::test]
    async fn every_address_takes_those_who_come_by_ipv4() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_the_one_that_is_told() {
        let first = listen("[::]:0".parse().unwrap()).await.unwrap();
        let error = listen(first.local_addr().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
