//! The hub's side: asks for listeners and brings their connections to the pods.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Bound, FORWARD_SOCKET, FRONT_SOCKET, ForwardError, MAX_LINE, Order, Wanted, carry};

/// How long a pod may take to accept a connection: on one machine it answers at once or not at all.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the front may take to say where a connection goes.
const HEADER: Duration = Duration::from_secs(5);

/// Listens for the front's connections in `folder`, before any listener is asked for.
pub fn bind(folder: &Path) -> Result<UnixListener, ForwardError> {
    super::bind(folder.join(FORWARD_SOCKET))
}

/// Brings the front's connections to the pods until `stop`, which also ends those that are open.
pub async fn serve(listener: UnixListener, stop: CancellationToken) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (connection, _) = accepted?;
                connections.spawn(deliver(connection));
            }
            Some(_ended) = connections.join_next() => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

async fn deliver(mut connection: UnixStream) {
    let Ok(Some(to)) = timeout(HEADER, header(&mut connection)).await else {
        tracing::debug!("A forwarded connection did not say where it goes");
        return;
    };
    match timeout(CONNECT, TcpStream::connect(to)).await {
        Ok(Ok(pod)) => carry(pod, connection).await,
        Ok(Err(error)) => tracing::debug!(%to, %error, "A forwarded connection was refused"),
        Err(_) => tracing::debug!(%to, "A forwarded connection was not accepted in time"),
    }
}

/// Reads the first line byte by byte, so that nothing of what follows is taken.
async fn header(connection: &mut UnixStream) -> Option<SocketAddr> {
    // The longest address with scope and port has less.
    let mut line = Vec::with_capacity(64);
    loop {
        match connection.read_u8().await.ok()? {
            b'\n' => return std::str::from_utf8(&line).ok()?.parse().ok(),
            byte if line.len() < 64 => line.push(byte),
            _ => return None,
        }
    }
}

/// The conversation with the front about listeners.
#[derive(Debug)]
pub struct Control {
    halves: Mutex<(BufReader<OwnedReadHalf>, OwnedWriteHalf)>,
}

impl Control {
    /// Reaches the front that started this hub. When this value is dropped, the front closes all
    /// listeners.
    pub async fn connect(folder: &Path) -> Result<Self, ForwardError> {
        let path = folder.join(FRONT_SOCKET);
        let connection = UnixStream::connect(&path)
            .await
            .map_err(|source| ForwardError::Connect { path, source })?;
        let (read, write) = connection.into_split();
        Ok(Self {
            halves: Mutex::new((BufReader::new(read), write)),
        })
    }

    /// Asks for a listener. One that is wanted at the same address again gets the new destination.
    pub async fn listen(&self, wanted: Wanted) -> Result<Bound, ForwardError> {
        self.ask(Order::Listen(wanted)).await
    }

    /// Closes the listener that was wanted at `listen` and its connections.
    pub async fn close(&self, listen: SocketAddr) -> Result<(), ForwardError> {
        self.ask(Order::Close { close: listen }).await.map(drop)
    }

    async fn ask(&self, order: Order) -> Result<Bound, ForwardError> {
        let broken = |error: &dyn std::fmt::Display| ForwardError::Broken(error.to_string());
        let mut line = serde_json::to_string(&order).map_err(|error| broken(&error))?;
        line.push('\n');
        let mut halves = self.halves.lock().await;
        let (read, write) = &mut *halves;
        write
            .write_all(line.as_bytes())
            .await
            .map_err(|error| broken(&error))?;
        let mut answer = String::new();
        read.take(MAX_LINE)
            .read_line(&mut answer)
            .await
            .map_err(|error| broken(&error))?;
        if answer.is_empty() {
            return Err(broken(&"the front has ended"));
        }
        serde_json::from_str(&answer).map_err(|error| broken(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn read(bytes: &[u8]) -> (Option<SocketAddr>, Vec<u8>) {
        let (mut front, mut hub) = UnixStream::pair().unwrap();
        front.write_all(bytes).await.unwrap();
        front.shutdown().await.unwrap();
        let address = header(&mut hub).await;
        let mut rest = Vec::new();
        hub.read_to_end(&mut rest).await.unwrap();
        (address, rest)
    }

    #[tokio::test]
    async fn what_follows_the_first_line_is_left_for_the_pod() {
        let (address, rest) = read(b"10.77.0.10:3000\nGET / HTTP/1.1\r\n").await;
        assert_eq!(address, "10.77.0.10:3000".parse().ok());
        assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    }

    #[tokio::test]
    async fn a_first_line_that_is_no_address_leads_nowhere() {
        for line in [
            "",
            "\n",
            "localhost:80\n",
            "10.77.0.10\n",
            "10.77.0.10:3000",
        ] {
            assert_eq!(read(line.as_bytes()).await.0, None, "{line:?}");
        }
        assert_eq!(read(&[b'1'; 4096]).await.0, None, "a line without end");
    }

    #[tokio::test]
    async fn without_a_front_the_hub_says_which_socket_it_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = Control::connect(folder.path()).await.unwrap_err();
        assert!(error.to_string().contains("front.sock"), "{error}");
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        drop(bind(folder.path()).unwrap());
        bind(folder.path()).unwrap();
    }

    proptest! {
        #[test]
        fn random_first_lines_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let (address, rest) = runtime.block_on(read(&bytes));
            prop_assert!(address.is_none() || bytes.ends_with(&rest));
        }
    }
}
