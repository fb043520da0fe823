//! Renders the workload's files: templates and what they see in, one checked set of files out, again
//! with each change of anything that goes in.

mod context;
mod env_file;
mod filters;
mod fixed;
mod format;
mod gate;
mod includes;
mod jinja;
mod on_change;
mod placeholders;
mod plugin;
mod random;
mod render;
mod shell;
mod task;

pub use self::context::{Context, VolumeFacts};
pub(crate) use self::fixed::grants;
pub use self::gate::Gate;
pub use self::on_change::{ActionFailure, ChangeActions, RestartRequest, WorkloadActions};
pub use self::plugin::TemplatePlugin;
pub use self::random::{PodSeeds, Seed, Seeds};
pub use self::render::{RenderedFile, RenderedSet, render};
pub use self::task::{
    ActionTaken, FilesState, RenderHandle, RenderInputs, RenderTask, RenderTools,
};
