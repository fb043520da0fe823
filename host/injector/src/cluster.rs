//! What the webhook knows of its cluster and writes to it, through the API server.
//!
//! [`catalog`] follows the profiles and their owners, so that no review waits for a request. The
//! certificates' Secret and the webhook configuration are read and written here for [`crate::certificate`].

pub mod catalog;
pub(crate) mod configuration;
mod follow;
pub mod objects;
pub(crate) mod secret;
mod store;

pub use catalog::{ClusterCatalog, KindStatus};
