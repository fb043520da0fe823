//! Every limit of the webhook.

use std::time::Duration;

/// The largest review. An object in etcd is at most 1.5 MiB, and an update carries it twice.
pub const BODY_BYTES_MAX: usize = 3 << 20;
/// What all reviews that are being read may hold together.
pub const BODIES_BYTES_MAX: usize = 12 << 20;
/// Reviews at the same time.
pub const IN_FLIGHT_MAX: usize = 256;
/// Connections at the same time. API servers keep one or a few each.
pub const CONNECTIONS_MAX: usize = 256;
/// Connections at the same time to the port for probes and metrics.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;
/// The head of a request.
pub const HEAD_BYTES_MAX: u32 = 16 << 10;
/// Reviews at the same time on one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 128;

/// From the first byte of a connection to the end of the TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first byte of a request to the end of its head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// From the end of a request's head to its answer. The API server's own time, which it sends along,
/// has precedence where it is shorter.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// From the TLS handshake to the first request.
pub const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two requests of one connection. Longer than API servers keep an idle connection (90 s), so
/// that it is they who close it: otherwise a review may be on its way while the connection goes.
pub const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// For how long, after an answer that leaves the rest of a body unread, that rest is thrown away: a
/// connection that is cut off at once may cost the client its answer.
pub const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a review waits for its pod's owner and profile, when the watches have not told of them yet.
pub const FACTS_WAIT_MAX: Duration = Duration::from_secs(1);
/// What a client that was turned away should wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
