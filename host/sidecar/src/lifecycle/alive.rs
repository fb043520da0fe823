//! Whether the workload's process is there, as far as its ports tell.

use std::time::Duration;

use outrigger_profile::Workload;
use tokio::net::TcpStream;

/// For one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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

/// Whether the workload listens on any of its ports.
pub(super) async fn is_alive(host: &str, workload: &Workload) -> Alive {
    let mut answer = if workload.ports.is_empty() {
        Alive::Unknown
    } else {
        Alive::No
    };
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
