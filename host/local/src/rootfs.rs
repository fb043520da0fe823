//! A container's view of the file system: this machine's files, with the container's own on top.
//!
//! [`plan`] is pure: from the mounts and what the machine's folders hold it makes a list of
//! [`Step`]s. [`apply`] carries them out in a mount namespace of its own and makes the result the
//! root. No file of the machine is created or changed: what is missing on the way to a mount point
//! is made in memory, in a copy of the deepest folder that exists (its entries bound one by one).
//! The exception is a mount point *inside another mount* (a volume at `/db/data` in rendered files
//! at `/db`): there it is made in the source, as container runtimes do, because the container's
//! writes must reach that source.

mod apply;
mod host;
mod plan;

use std::path::{Path, PathBuf};

pub use apply::{ApplyError, apply};
pub use host::RealHost;
pub use plan::{PlanError, plan};

/// What a path of this machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Directory,
    /// A file, a device, a socket or a pipe.
    File,
    /// A symbolic link and what it says.
    Link(PathBuf),
}

/// What the plan asks about this machine.
pub trait Host {
    /// What is at an absolute path; links are not followed in its last part.
    fn entry(&self, path: &Path) -> Option<Entry>;
    /// The names in a folder, in any order; empty if it cannot be read.
    fn names(&self, folder: &Path) -> Vec<std::ffi::OsString>;
}

/// One step towards the new root. Paths are absolute, `at` in the new root, `source` on this
/// machine and free of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An empty file system in memory over the folder `at`.
    Memory {
        /// Where.
        at: PathBuf,
        /// Whether everyone may write, as in `/tmp`.
        shared: bool,
    },
    /// A new folder in memory.
    Directory {
        /// Where.
        at: PathBuf,
    },
    /// A new empty file in memory, to be mounted over.
    File {
        /// Where.
        at: PathBuf,
    },
    /// A link in memory.
    Link {
        /// Where.
        at: PathBuf,
        /// What it says.
        to: PathBuf,
    },
    /// A folder or file of this machine with everything that is mounted in it.
    Bind {
        /// What.
        source: PathBuf,
        /// Where.
        at: PathBuf,
        /// Whether it may only be read.
        read_only: bool,
        /// Whether the container cannot do without it: false for the machine's own entries.
        required: bool,
    },
    /// A file with this text.
    Text {
        /// Where.
        at: PathBuf,
        /// What it holds.
        text: String,
    },
    /// A folder or file made in the source of a mount, where another will be mounted.
    MountPoint {
        /// The path on this machine.
        source: PathBuf,
        /// Whether it is a folder.
        directory: bool,
    },
    /// The processes of the container.
    Processes {
        /// Where.
        at: PathBuf,
    },
}

impl Step {
    /// The path in the new root where this step puts something.
    pub fn at(&self) -> Option<&Path> {
        match self {
            Self::Memory { at, .. }
            | Self::Directory { at }
            | Self::File { at }
            | Self::Link { at, .. }
            | Self::Bind { at, .. }
            | Self::Text { at, .. }
            | Self::Processes { at } => Some(at),
            Self::MountPoint { .. } => None,
        }
    }
}
