//! One module for each command.

pub(crate) mod check;
pub(crate) mod inject;
mod manifests;
pub(crate) mod policy;
pub(crate) mod roll;
pub(crate) mod schema;
pub(crate) mod second_terminal;
pub(crate) mod sidecar;
pub(crate) mod up;
pub(crate) mod webhook;
