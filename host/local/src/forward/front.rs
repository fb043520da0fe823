//! The front's side: the process that the user started. It listens on loopback addresses for the hub.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::{Bound, FORWARD_SOCKET, FRONT_SOCKET, ForwardError, MAX_LINE, Order, Wanted, carry};

/// Binds the socket on which the hub asks for listeners; before the hub is started.
///
/// # Errors
/// When it cannot be bound.
pub fn bind_front(folder: &Path) -> Result<UnixListener, ForwardError> {
    super::bind(folder.join(FRONT_SOCKET))
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
