//! The sidecar's two servers: one that the pod's network sees and that only reads (but for the
//! pre-stop hook, which needs a token), and one on a Unix socket that changes things.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use outrigger_plugin_host::BoxFuture;
use outrigger_shutdown::{Shutdown, Tasks};
use outrigger_telemetry::LogHandle;
use serde_json::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::config::Token;
use crate::lifecycle::Lifecycle;
use crate::limits;
use crate::metrics::{Metrics, Recorder};

mod command;
mod connection;
mod events;
mod probe;
mod route;
mod status;

pub use self::status::StatusSource;

/// What the Unix socket can ask of the rest of the sidecar.
pub trait Commands: Send + Sync + 'static {
    /// Reads profile, templates, Secrets and component again, and renders. What came of it.
    fn reload(&self) -> BoxFuture<'_, Result<Value, String>>;
    /// Loads the plugin's component again and swaps it, whether it changed or not. What came of it.
    fn swap(&self) -> BoxFuture<'_, Result<Value, String>>;
}

/// What the servers need.
pub struct AdminSetup {
    /// Where the pod-facing server listens.
    pub listen: SocketAddr,
    /// Where the Unix socket is.
    pub socket: PathBuf,
    /// What the pre-stop hook must present; none = the hook is refused.
    pub token: Option<Token>,
    /// Everything that is shown.
    pub status: StatusSource,
    /// `/metrics`.
    pub metrics: Metrics,
    /// Drains.
    pub lifecycle: Lifecycle,
    /// The log's filter.
    pub log: LogHandle,
    /// What the Unix socket can ask for.
    pub commands: Arc<dyn Commands>,
    /// Where connections that are turned away are counted.
    pub recorder: Recorder,
    /// Owns the connections.
    pub tasks: Tasks,
}

impl fmt::Debug for AdminSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminSetup")
            .field("listen", &self.listen)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// The servers cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The pod-facing server.
    #[error("the sidecar's server cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The Unix socket.
    #[error("the sidecar cannot listen on the socket {}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl AdminError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Listen { .. } => {
                "another program of the pod has this port: set OUTRIGGER_LISTEN to a free one, such as `[::]:7170`"
            }
            Self::Socket { .. } => {
                "OUTRIGGER_STATE_DIR must be a folder that the sidecar can write to, with a path of less than 90 bytes"
            }
        }
    }
}

/// What every handler has at hand.
#[derive(Clone)]
struct Shared {
    token: Option<Token>,
    status: StatusSource,
    metrics: Metrics,
    lifecycle: Lifecycle,
    log: LogHandle,
    commands: Arc<dyn Commands>,
    shutdown: Shutdown,
    /// Event streams that may still be opened.
    streams: Arc<Semaphore>,
}

/// Both servers, listening.
pub struct Admin {
    tcp: TcpListener,
    unix: UnixListener,
    socket: PathBuf,
    setup: AdminSetup,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setup.fmt(f)
    }
}

impl Admin {
    /// Begins to listen; connections wait until [`Admin::run`].
    pub async fn bind(setup: AdminSetup) -> Result<Self, AdminError> {
        let tcp = listen(setup.listen)
            .await
            .map_err(|source| AdminError::Listen {
                address: setup.listen,
                source,
            })?;
        let unix = listen_unix(&setup.socket).map_err(|source| AdminError::Socket {
            path: setup.socket.clone(),
            source,
        })?;
        Ok(Self {
            tcp,
            unix,
            socket: setup.socket.clone(),
            setup,
        })
    }

    /// Where the pod-facing server listens, its port known even where 0 was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until the shutdown. Answers that are under way then are finished by their own tasks.
    pub async fn run(self, shutdown: Shutdown) {
        let shared = Shared {
            token: self.setup.token,
            status: self.setup.status,
            metrics: self.setup.metrics,
            lifecycle: self.setup.lifecycle,
            log: self.setup.log,
            commands: self.setup.commands,
            shutdown: shutdown.clone(),
            streams: Arc::new(Semaphore::new(limits::EVENT_STREAMS_MAX)),
        };
        let server = |router| connection::Server {
            router,
            tasks: self.setup.tasks.clone(),
            recorder: self.setup.recorder.clone(),
            shutdown: shutdown.clone(),
            free: Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS_MAX)),
        };
        let pod = server(route::pod(shared.clone()));
        let own = server(route::own(shared));
        tokio::select! {
            () = pod.serve(|| async { self.tcp.accept().await.map(|(stream, _)| stream) }) => {}
            () = own.serve(|| async { self.unix.accept().await.map(|(stream, _)| stream) }) => {}
            () = shutdown.triggered() => {}
        }
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "The socket was gone already");
        }
    }
}

/// Where a node has no IPv6, every IPv4 address stands for every address.
async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let any_v6 = address.is_ipv6() && address.ip().is_unspecified();
    match TcpListener::bind(address).await {
        Err(error) if any_v6 && error.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    }
}

/// A socket of a sidecar that is gone is replaced; anything else in its place is not.
fn listen_unix(path: &std::path::Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if let Ok(there) = std::fs::symlink_metadata(path)
        && there.file_type().is_socket()
    {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
