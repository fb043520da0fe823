//! The certificate by which API servers know the webhook: made and renewed by ourselves, or mounted.
//!
//! [`renewal`] decides what to do next, [`apply`](mod@apply) says what the shared record becomes by it;
//! both are pure. [`own`] reads and writes, [`mounted`] reads files instead, [`serving`] is what the TLS
//! server holds.

pub mod apply;
pub mod issue;
pub mod mounted;
pub mod own;
pub(crate) mod pem;
pub mod record;
pub mod renewal;
pub mod serving;
#[cfg(test)]
mod simulation;
pub mod state;

pub use mounted::MountedCertificates;
pub use own::OwnCertificates;
pub use pem::PemError;
pub use renewal::Policy;
pub use serving::{PairError, Rotation, ServingCert, Standing};
