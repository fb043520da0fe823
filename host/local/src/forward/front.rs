//! The front's side: the process that the user started. It starts the hub, listens on loopback
//! addresses for it, and ends as the hub ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::{Bound, FORWARD_SOCKET, FRONT_SOCKET, ForwardError, MAX_LINE, Order, Wanted, carry};
use crate::entry;
use crate::namespace::Isolation;

/// How to start the hub.
#[derive(Debug, Clone)]
pub struct FrontConfig {
    /// The hub's own arguments: what this program is started with inside the namespaces.
    pub hub: Vec<OsString>,
    /// Variables for the hub besides those that it inherits.
    pub env: Vec<(OsString, OsString)>,
    /// What [`crate::namespace::probe`] said.
    pub isolation: Isolation,
    /// The folder of the two sockets. It exists and only this user may enter it.
    pub folder: PathBuf,
}

/// The front could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// A runtime or a signal handler could not be had.
    #[error("cannot prepare to start the hub: {0}")]
    Prepare(#[source] io::Error),
    /// The hub did not start.
    #[error("cannot start the hub: {0}")]
    Start(#[source] io::Error),
    /// A socket.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

/// Starts the hub and stays until it ends; gives its exit code.
///
/// The hub inherits stdin, stdout and stderr and is in the same process group, so that Ctrl-C
/// reaches it directly; the front itself ignores SIGINT and SIGHUP and passes SIGTERM on. When the
/// front is killed, the hub gets SIGTERM. *Assumes* that no runtime runs in this thread.
pub fn front(config: &FrontConfig) -> Result<ExitCode, FrontError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(FrontError::Prepare)?;
    runtime.block_on(attend(config))
}

async fn attend(config: &FrontConfig) -> Result<ExitCode, FrontError> {
    let handler = |kind| signal(kind).map_err(FrontError::Prepare);
    let mut terminate = handler(SignalKind::terminate())?;
    // Registered and never read: that keeps them from ending this process.
    let _interrupt = handler(SignalKind::interrupt())?;
    let _hangup = handler(SignalKind::hangup())?;

    let control = super::bind(config.folder.join(FRONT_SOCKET))?;
    let plain = matches!(config.isolation, Isolation::Plain { .. });
    let mut hub = Command::new(entry::OWN_PROGRAM)
        .arg0("outrigger")
        .args(entry::hub_arguments(plain, &config.hub))
        .envs(config.env.iter().map(|(name, value)| (name, value)))
        .spawn()
        .map_err(FrontError::Start)?;
    let mut serving = JoinSet::new();
    serving.spawn(serve_front(control, config.folder.clone()));
    let status = loop {
        tokio::select! {
            status = hub.wait() => break status.map_err(FrontError::Start)?,
            _ = terminate.recv() => pass_on(&hub, Signal::SIGTERM),
            Some(ended) = serving.join_next() => {
                tracing::error!(?ended, "The forwarding of connections ended early");
            }
        }
    };
    serving.shutdown().await;
    let code = entry::exit_code(status);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn pass_on(hub: &Child, signal: Signal) {
    if let Some(pid) = hub.id().and_then(|pid| i32::try_from(pid).ok()) {
        // A hub that has ended is noticed by the wait.
        let _ignored = kill(Pid::from_raw(pid), signal);
    }
}

/// Serves the hub's wishes for listeners, and their connections, until dropped.
///
/// Each control connection has its own listeners, which end with it.
pub async fn serve_front(control: UnixListener, folder: PathBuf) -> io::Result<()> {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            accepted = control.accept() => {
                let (connection, _) = accepted?;
                conversations.spawn(converse(connection, folder.join(FORWARD_SOCKET)));
            }
            Some(_ended) = conversations.join_next() => {}
        }
    }
}

/// One listener of the front.
struct Listener {
    to: watch::Sender<SocketAddr>,
    bound: Bound,
    task: AbortHandle,
}

async fn converse(connection: UnixStream, forward: PathBuf) {
    let (read, mut write) = connection.into_split();
    let mut read = BufReader::new(read);
    let mut listeners: BTreeMap<SocketAddr, Listener> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let mut line = String::new();
        match (&mut read).take(MAX_LINE).read_line(&mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let bound = match serde_json::from_str(&line) {
            Ok(Order::Listen(wanted)) => listen(wanted, &mut listeners, &mut tasks, &forward).await,
            Ok(Order::Close { close }) => {
                if let Some(listener) = listeners.remove(&close) {
                    listener.task.abort();
                }
                Bound::Exactly { at: close }
            }
            Err(error) => Bound::Failed {
                reason: format!("an order that is not understood: {error}"),
            },
        };
        let Ok(mut answer) = serde_json::to_string(&bound) else {
            return;
        };
        answer.push('\n');
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn listen(
    wanted: Wanted,
    listeners: &mut BTreeMap<SocketAddr, Listener>,
    tasks: &mut JoinSet<()>,
    forward: &Path,
) -> Bound {
    if let Some(listener) = listeners.get(&wanted.listen) {
        listener.to.send_replace(wanted.to);
        return listener.bound.clone();
    }
    if !wanted.listen.ip().is_loopback() {
        return Bound::Failed {
            reason: format!("{} is not a loopback address", wanted.listen),
        };
    }
    let (listener, bound) = match open(wanted.listen).await {
        Ok(opened) => opened,
        Err(error) => {
            return Bound::Failed {
                reason: error.to_string(),
            };
        }
    };
    let (to, destination) = watch::channel(wanted.to);
    let task = tasks.spawn(accept(listener, destination, forward.to_path_buf()));
    listeners.insert(
        wanted.listen,
        Listener {
            to,
            bound: bound.clone(),
            task,
        },
    );
    bound
}

async fn open(wanted: SocketAddr) -> io::Result<(TcpListener, Bound)> {
    match TcpListener::bind(wanted).await {
        Ok(listener) => {
            let at = listener.local_addr()?;
            Ok((listener, Bound::Exactly { at }))
        }
        Err(error) => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let at = listener.local_addr()?;
            let reason = format!("cannot listen on {wanted}: {error}");
            Ok((listener, Bound::Elsewhere { at, reason }))
        }
    }
}

async fn accept(listener: TcpListener, destination: watch::Receiver<SocketAddr>, forward: PathBuf) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => {
                    let to = *destination.borrow();
                    connections.spawn(bring(connection, to, forward.clone()));
                }
                // Of one connection, or too many open files, which takes a while to pass.
                Err(error) => {
                    tracing::warn!(%error, "A connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn bring(connection: TcpStream, to: SocketAddr, forward: PathBuf) {
    let mut hub = match UnixStream::connect(&forward).await {
        Ok(hub) => hub,
        Err(error) => {
            tracing::debug!(%error, "The hub takes no connection");
            return;
        }
    };
    match hub.write_all(format!("{to}\n").as_bytes()).await {
        Ok(()) => carry(connection, hub).await,
        Err(error) => tracing::debug!(%error, "The hub took no connection"),
    }
}
