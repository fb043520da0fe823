//! The certificate by which API servers know the webhook: made and renewed by ourselves, or mounted.
//!
//! [`renewal`] decides, [`apply`](mod@apply) makes, [`keeper`] reads and writes, [`serving`] is what the
//! TLS server holds.

pub mod apply;
pub mod issue;
mod pem;
pub mod record;
pub mod renewal;
#[cfg(test)]
mod simulation;
pub mod state;
