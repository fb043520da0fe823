//! Whether the workload's process is there, as far as its ports tell.

use std::time::Duration;

use outrigger_profile::Workload;
use tokio::net::TcpStream;

use super::process::{LOOK_EVERY, Place};

/// For one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Whether the workload is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alive {
    /// Somebody listens on one of its ports.
    Yes,
    /// Nobody listens on any of them.
    No,
    /// It has no ports, or they do not answer.
    Unknown,
}

/// Whether the workload listens on any of its ports. Asks the kernel where it can: to a workload, a
/// connection that says nothing may be an error worth a line in its log.
pub(super) async fn is_alive(host: &str, workload: &Workload) -> Alive {
    if workload.ports.is_empty() {
        return Alive::Unknown;
    }
    match Place::of(host, workload).sockets() {
        Ok(found) if found.is_empty() => Alive::No,
        Ok(_) => Alive::Yes,
        // The kernel does not tell.
        Err(_) => connect(host, workload).await,
    }
}

async fn connect(host: &str, workload: &Workload) -> Alive {
    let mut answer = Alive::No;
    for port in workload.ports.values() {
        let connected = TcpStream::connect((host, *port));
        match tokio::time::timeout(CONNECT_TIMEOUT, connected).await {
            Ok(Ok(_)) => return Alive::Yes,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Ok(Err(_)) | Err(_) => answer = Alive::Unknown,
        }
    }
    answer
}

/// Waits until it is so; for ever where the workload has no ports.
pub(super) async fn until(host: &str, workload: &Workload, wanted: Alive) {
    if workload.ports.is_empty() {
        std::future::pending::<()>().await;
    }
    while is_alive(host, workload).await != wanted {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn workload(ports: &[u16]) -> Workload {
        let ports = ports.iter().map(|port| (format!("p{port}"), *port));
        Workload {
            container: "db".to_owned(),
            ports: ports.collect(),
        }
    }

    #[tokio::test]
    async fn a_workload_is_looked_at_without_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let workload = workload(&[listener.local_addr().unwrap().port()]);
        assert_eq!(is_alive("127.0.0.1", &workload).await, Alive::Yes);
        let accepted = tokio::time::timeout(Duration::from_millis(1), listener.accept());
        assert!(accepted.await.is_err(), "somebody connected");
        // At another address of this machine there is another one, or none.
        assert_eq!(is_alive("127.0.0.2", &workload).await, Alive::No);
        drop(listener);
        assert_eq!(is_alive("127.0.0.1", &workload).await, Alive::No);
    }

    #[tokio::test]
    async fn a_workload_that_listens_everywhere_is_at_every_address() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(
            is_alive("127.0.0.1", &workload(&[1, port])).await,
            Alive::Yes
        );
        assert_eq!(is_alive("127.0.0.1", &workload(&[])).await, Alive::Unknown);
    }
}
