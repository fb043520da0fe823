//! The server that API servers ask about pods: HTTPS, bounded in everything, and beside it a plain
//! port for probes and metrics.
//!
//! Every limit is in [`limits`]. One thread does it all: a review costs microseconds, and nothing here
//! waits for anything but a client, with a deadline.

mod admin;
mod admission;
mod body;
mod cluster;
mod connection;
mod handler;
pub mod limits;
mod listen;
mod metrics;
mod tls;
mod watched;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outrigger_shutdown::{Shutdown, Tasks};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::certificate::ServingCert;
use crate::entropy::{Entropy, SystemEntropy};
use crate::settings::Settings;

pub use cluster::ClusterWorld;
pub use tls::{TlsError, TlsMin};
pub use world::{MemoryCatalog, Occasion, World};

use admission::Admission;
use metrics::Metrics;

/// Where reviews are sent to.
pub const PATH: &str = "/inject";
/// The port for reviews.
pub const PORT: u16 = 8443;
/// The port for probes and metrics.
pub const ADMIN_PORT: u16 = 7071;

/// After a failed accept, such as when the process has no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How the webhook is served.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where reviews are taken.
    pub listen: SocketAddr,
    /// Where probes and metrics are answered, without TLS.
    pub admin: SocketAddr,
    /// The oldest version of TLS that is spoken.
    pub tls_min: TlsMin,
    /// How old a connection becomes before its client is asked for a new one, so that API servers spread
    /// over the replicas; none = however old.
    pub connection_life: Option<Duration>,
    /// For how long connections are still taken after the word to end: until every API server knows.
    pub linger: Duration,
}

/// The webhook could not begin.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// An address cannot be listened at.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Both ports, taken and not yet served.
#[derive(Debug)]
pub struct Webhook {
    config: WebhookConfig,
    reviews: TcpListener,
    admin: TcpListener,
}

/// What the server needs to answer a review.
pub(crate) struct Server {
    world: Arc<dyn World>,
    settings: Settings,
    entropy: Box<dyn Entropy + Send + Sync>,
    acceptor: TlsAcceptor,
    serving: ServingCert,
    admission: Arc<Admission>,
    metrics: Metrics,
    tasks: Tasks,
    connection_life: Option<Duration>,
    /// Triggered when connections are to end, a while after the word to end has come.
    closing: Shutdown,
}

impl Webhook {
    /// Takes both ports.
    pub async fn bind(config: WebhookConfig) -> Result<Self, WebhookError> {
        let listen = async |address| {
            listen::listen(address)
                .await
                .map_err(|source| WebhookError::Listen { address, source })
        };
        Ok(Self {
            reviews: listen(config.listen).await?,
            admin: listen(config.admin).await?,
            config,
        })
    }

    /// Where reviews are taken; tells the port where any was asked for.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.reviews.local_addr()
    }

    /// Where probes and metrics are answered.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Starts to serve, as tasks. On their shutdown the webhook says that it is not ready, takes
    /// connections for [`WebhookConfig::linger`] more, lets go of all of them in order, and ends.
    pub fn serve(
        self,
        world: Arc<dyn World>,
        settings: Settings,
        serving: ServingCert,
        tasks: &Tasks,
    ) -> Result<(), WebhookError> {
        let server = Arc::new(Server::new(
            world,
            settings,
            Box::new(SystemEntropy),
            serving,
            &self.config,
            tasks,
        )?);
        tasks.spawn(
            "webhook admin",
            admin::serve(self.admin, Arc::clone(&server)),
        );
        let word = tasks.shutdown().clone();
        let linger = self.config.linger;
        let reviews = self.reviews;
        tasks.spawn("webhook", async move {
            tokio::select! {
                () = server.accept(&reviews) => {}
                () = lingered(&word, linger) => {}
            }
            // From here on the kernel refuses whoever comes.
            drop(reviews);
            server.closing.trigger("the webhook ends");
        });
        Ok(())
    }
}

async fn lingered(word: &Shutdown, linger: Duration) {
    word.triggered().await;
    info!(
        linger_seconds = linger.as_secs(),
        "The webhook is no longer ready and ends soon"
    );
    tokio::time::sleep(linger).await;
}

impl Server {
    fn new(
        world: Arc<dyn World>,
        settings: Settings,
        entropy: Box<dyn Entropy + Send + Sync>,
        serving: ServingCert,
        config: &WebhookConfig,
        tasks: &Tasks,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            world,
            settings,
            entropy,
            acceptor: TlsAcceptor::from(Arc::new(tls::config(&serving, config.tls_min)?)),
            serving,
            admission: Arc::new(Admission::default()),
            metrics: Metrics::new(),
            tasks: tasks.clone(),
            connection_life: config.connection_life,
            closing: Shutdown::new(),
        })
    }

    /// Takes connections for ever. Those beyond the limit are closed at once and counted.
    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "A connection could not be taken");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Some(slot) = self.admission.connection() else {
                self.metrics.rejected("connections");
                continue;
            };
            // Answers are small and each is waited for.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "A connection's packets may wait for each other");
            }
            let server = Arc::clone(self);
            self.tasks.spawn_short("webhook connection", async move {
                connection::serve(&server, stream).await;
                drop(slot);
            });
        }
    }

    /// Whether a connection that began at this time gets no more answers, in order.
    fn lets_go(&self, begun: Instant) -> bool {
        self.tasks.shutdown().is_triggered()
            || self
                .connection_life
                .is_some_and(|life| begun.elapsed() >= life)
    }

    /// What is still missing before reviews can be answered; empty = ready.
    fn missing(&self) -> Vec<String> {
        let mut missing = self.world.missing();
        let standing = self.serving.standing();
        missing.extend(standing.borrow().missing(SystemTime::now()));
        if self.tasks.shutdown().is_triggered() {
            missing.push("the webhook ends".to_owned());
        }
        missing
    }
}

#[cfg(test)]
mod tests;
