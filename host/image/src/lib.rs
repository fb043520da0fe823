//! Container images from a few files, without a daemon and the same at each build: one layer over
//! nothing, as an archive that containerd, Docker, Podman and skopeo take.
//!
//! Reading the files is the caller's first step ([`Layer::add_file`], [`libraries::add`]); the rest is
//! pure: the same entries give the same bytes, whenever and wherever they are put together.

mod archive;
mod digest;
mod layer;
pub mod libraries;

pub use archive::{Image, archive};
pub use digest::Digest;
pub use layer::{Layer, LayerError};
