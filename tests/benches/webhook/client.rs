//! A client of one kept connection: HTTP/1.1 over TLS, as little as that takes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::process::Process;

/// How long a webhook may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub(crate) struct Client {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    request: Vec<u8>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Connects, as soon as the webhook listens and has its certificate.
    pub(crate) fn connect(webhook: &Process) -> Self {
        let begun = Instant::now();
        loop {
            match Self::try_connect(webhook) {
                Ok(client) => return client,
                Err(error) => {
                    webhook.assert_runs();
                    assert!(begun.elapsed() < PATIENCE, "no answer: {error}");
                    thread::sleep(Duration::from_micros(200));
                }
            }
        }
    }

    fn try_connect(webhook: &Process) -> std::io::Result<Self> {
        let mut socket = TcpStream::connect(webhook.address)?;
        socket.set_nodelay(true)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .unwrap()
            .with_root_certificates(Arc::clone(&webhook.trust))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        tls.complete_io(&mut socket)?;
        Ok(Self {
            stream: BufReader::new(StreamOwned::new(tls, socket)),
            request: Vec::new(),
        })
    }

    /// Sends a body as a review and waits for the answer.
    pub(crate) fn ask(&mut self, body: &[u8]) -> Answer {
        self.try_ask(body).unwrap()
    }

    pub(crate) fn try_ask(&mut self, body: &[u8]) -> std::io::Result<Answer> {
        self.request.clear();
        self.request.extend_from_slice(head(body.len()).as_bytes());
        self.request.extend_from_slice(body);
        // What is refused at its head need not be read to its end.
        let sent = self.stream.get_mut().write_all(&self.request);
        let answer = self.answer();
        match sent {
            Ok(()) => answer,
            Err(error) => answer.map_err(|_| error),
        }
    }

    /// Sends the head of a request with such a body, and not the body.
    pub(crate) fn announce(&mut self, length: usize) -> std::io::Result<Answer> {
        let head = head(length);
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> std::io::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| std::io::Error::other(format!("no status: {line:?}")))?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }
}

fn head(length: usize) -> String {
    format!(
        "POST /inject?timeout=5s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}
