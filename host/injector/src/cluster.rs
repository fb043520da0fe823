//! What the webhook knows of its cluster and writes to it, through the API server.
//!
//! [`catalog`] follows the profiles and their owners, so that no review waits for a request;
//! [`events`] tells owners what happened to their pods. The certificates' Secret and the webhook
//! configuration are read and written here for [`crate::certificate`].

pub mod api;
pub mod catalog;
pub(crate) mod configuration;
pub mod events;
pub(crate) mod follow;
pub mod objects;
pub(crate) mod secret;
#[cfg(test)]
pub(crate) mod stand_in;
mod store;

pub use api::{ApiError, ApiServer};
pub use catalog::{ClusterCatalog, KindStatus};
pub use events::{EventSink, Notice};
