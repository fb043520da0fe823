//! Renders the workload's files: templates and what they see in, one checked set of files out, again
//! with each change of anything that goes in.

mod context;
mod env_file;
mod filters;
mod format;
mod includes;
mod jinja;
mod placeholders;
mod random;
mod render;
mod shell;

pub use self::context::{Context, VolumeFacts};
pub use self::random::{PodSeeds, Seed, Seeds};
pub use self::render::{RenderedFile, RenderedSet, render};
