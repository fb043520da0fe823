//! The steps on the disk that put a set in place. Each either happens or does not, as far as a reader
//! can see; which set stands is decided by one of them, the renaming of a link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use outrigger_profile::Owner;

use super::{FilesError, fault};

/// One step.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Makes a folder that everybody may enter and read, if it is not there.
    Folder(PathBuf),
    /// Writes a file, with its owner and mode, to the disk.
    File {
        /// Where.
        path: PathBuf,
        /// What.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// The owner, where it is not the sidecar's own.
        owner: Option<Owner>,
    },
    /// Puts a link in place by one rename, over whatever was there.
    Link {
        /// Where.
        path: PathBuf,
        /// To what.
        target: PathBuf,
    },
    /// Removes a link.
    Remove(PathBuf),
    /// Brings a folder's entries to the disk.
    Sync(PathBuf),
}

/// Contents may hold secrets: only their lengths show.
impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "folder {}", path.display()),
            Self::File { path, content, .. } => {
                write!(f, "file {} of {} bytes", path.display(), content.len())
            }
            Self::Link { path, target } => {
                write!(f, "link {} to {}", path.display(), target.display())
            }
            Self::Remove(path) => write!(f, "remove {}", path.display()),
            Self::Sync(path) => write!(f, "sync {}", path.display()),
        }
    }
}

/// Takes one step.
pub(super) fn take(step: &Step) -> Result<(), FilesError> {
    match step {
        Step::Folder(path) => folder(path),
        Step::File {
            path,
            content,
            mode,
            owner,
        } => file(path, content, *mode, *owner),
        Step::Link { path, target } => link(path, target),
        Step::Remove(path) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(fault("remove", path)(error))
            }
            _ => Ok(()),
        },
        Step::Sync(path) => File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(fault("sync", path)),
    }
}

/// The mode is set after the making, so that no umask has a say.
fn folder(path: &Path) -> Result<(), FilesError> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(fault("change the mode of", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(fault("make", path)(error)),
    }
}

fn file(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> Result<(), FilesError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(fault("make", path))?;
    file.write_all(content).map_err(fault("write", path))?;
    if let Some(owner) = owner {
        std::os::unix::fs::fchown(&file, Some(owner.uid), Some(owner.gid))
            .map_err(fault("change the owner of", path))?;
    }
    // After the owner: a change of owner clears the set-id bits.
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(fault("change the mode of", path))?;
    file.sync_all().map_err(fault("sync", path))
}

fn link(path: &Path, target: &Path) -> Result<(), FilesError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".outrigger-new");
    let temporary = PathBuf::from(temporary);
    // Left by a sidecar that was killed here.
    if temporary.is_symlink() {
        fs::remove_file(&temporary).map_err(fault("remove", &temporary))?;
    }
    symlink(target, &temporary).map_err(fault("make", &temporary))?;
    fs::rename(&temporary, path).map_err(fault("put in place", path))
}
