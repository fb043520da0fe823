//! Connections from this machine into the hub's network.
//!
//! Two processes and a folder that both see. The *front* runs outside and listens on loopback
//! addresses. The *hub*, which it started, runs inside and can reach the pods. In the folder:
//! - `front.sock`, bound by the front before it starts the hub: the hub asks for listeners there,
//!   in JSON lines (`{"listen":"127.77.0.10:3000","to":"10.77.0.10:3000"}` or
//!   `{"close":"127.77.0.10:3000"}`), and is told one by one what came of it.
//! - `forward.sock`, bound by the hub: the front brings each connection there, as the line
//!   `10.77.0.10:3000` and then its bytes. The hub connects and copies both ways, each end by
//!   itself; when it cannot connect, it closes.
//!
//! # For the front
//! [`bind_front`], then the hub may be started, then [`serve_front`].
//!
//! # For the hub
//! `hub::bind(folder)` → `hub::serve(listener, stop)` as a task; then
//! `hub::Control::connect(folder)` → `control.listen(wanted)` → [`Bound`].

mod front;
pub mod hub;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixStream};

pub use front::{bind_front, serve_front};

/// Name of the front's socket in the folder.
pub const FRONT_SOCKET: &str = "front.sock";
/// Name of the hub's socket in the folder.
pub const FORWARD_SOCKET: &str = "forward.sock";
/// A line is an address or a small JSON object.
const MAX_LINE: u64 = 4096;

/// A listener that the hub would like to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Where on this machine; it must be a loopback address.
    pub listen: SocketAddr,
    /// Which address in the hub's network its connections reach.
    pub to: SocketAddr,
}

/// What came of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Bound {
    /// It listens where it was wanted.
    Exactly {
        /// There.
        at: SocketAddr,
    },
    /// It listens on a free port of `127.0.0.1`.
    Elsewhere {
        /// Where.
        at: SocketAddr,
        /// Why it does not listen where it was wanted.
        reason: String,
    },
    /// It does not listen.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Bound {
    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Exactly { at } | Self::Elsewhere { at, .. } => Some(*at),
            Self::Failed { .. } => None,
        }
    }
}

/// A line on the control connection, from the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Order {
    Listen(Wanted),
    Close { close: SocketAddr },
}

/// A socket of the two could not be had or broke.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// It could not be bound.
    #[error("cannot listen on {path}: {source}")]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be reached.
    #[error("cannot reach {path}: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The other side broke off or says what cannot be understood.
    #[error("the conversation about listeners broke off: {0}")]
    Broken(String),
}

/// Binds a Unix socket of which only this user may ask anything; one that was left behind is
/// replaced.
fn bind(path: PathBuf) -> Result<tokio::net::UnixListener, ForwardError> {
    use std::os::unix::fs::PermissionsExt as _;
    let bound = match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => tokio::net::UnixListener::bind(&path),
    };
    let restricted = bound.and_then(|listener| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    restricted.map_err(|source| ForwardError::Bind { path, source })
}

/// Copies both ways until both sides have ended; the end of one is passed on while the other goes
/// on.
async fn carry(mut outside: TcpStream, mut inside: UnixStream) {
    // Small requests should not wait for each other; without it they are only slower.
    let _ignored = outside.set_nodelay(true);
    if let Err(error) = copy_bidirectional(&mut outside, &mut inside).await {
        tracing::debug!(%error, "A forwarded connection broke");
    }
    // Whoever is still there sees an end.
    let _ignored = outside.shutdown().await;
}
