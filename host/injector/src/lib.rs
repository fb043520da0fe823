//! How the sidecar reaches pods: what an admission review or a manifest asks for ([`decide`]), the pod
//! patch that follows ([`patch`]), and the webhook that serves both over TLS.
//!
//! Pure at heart: the decision and the patch are functions of a pod, of what is known of its owner, and
//! of settings. The webhook, `outrigger inject` and the golden tests all go through them.

pub mod annotation;
mod builtin;
pub mod certificate;
pub mod check;
pub mod cluster;
mod decide;
mod decision;
mod entropy;
mod explain;
pub mod facts;
mod injection;
pub mod manifest;
mod patch;
mod pod;
pub mod policy;
mod quantity;
pub mod review;
mod settings;
mod status;
mod uninject;
pub mod webhook;
pub mod yaml;

pub use builtin::builtin_profile;
pub use decide::{
    Decision, Denial, DenyCode, Operation, Outcome, Owner, Place, Request, SkipReason, Warning,
    decide,
};
pub use entropy::{Entropy, FixedEntropy, SystemEntropy};
pub use explain::{Explained, explain};
pub use injection::{Injection, Order};
pub use patch::{OPERATIONS_MAX, patch};
pub use settings::{Resources, Settings};
pub use uninject::{UninjectError, uninject};
