//! Carries out a plan and makes the result the root.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::pivot_root;

use super::Step;

/// Where this machine's root is while the new one is made.
const MACHINE: &str = "/machine";
/// Where the new root is made.
const ROOT: &str = "/root";
/// Where texts wait to be bound.
const TEXTS: &str = "/texts";

/// The new root could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A mount was refused.
    #[error("cannot mount {what} at {at}: {errno}")]
    Mount {
        /// The source, or the kind of file system.
        what: String,
        /// The path in the container.
        at: PathBuf,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A file or folder in memory, or a mount point in a source, could not be made.
    #[error("cannot create {at}: {source}")]
    Create {
        /// Which.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The root could not be changed.
    #[error("cannot change the root: {0}")]
    Root(#[source] Errno),
}

/// Makes a plan the root of this process.
///
/// *Assumes* a mount namespace of its own, whose mounts are private, and one thread.
pub fn apply(steps: &[Step]) -> Result<(), ApplyError> {
    stage()?;
    for (number, step) in steps.iter().enumerate() {
        carry_out(number, step)?;
    }
    enter()
}

/// A small file system in memory as the root, with the machine's at [`MACHINE`].
fn stage() -> Result<(), ApplyError> {
    memory(Path::new("/tmp"), "0755", Path::new("/"))?;
    let below = |path: &str| format!("/tmp{path}");
    for folder in [MACHINE, ROOT, TEXTS] {
        create(Path::new(&below(folder)), |path| fs::create_dir(path))?;
    }
    pivot_root("/tmp", below(MACHINE).as_str()).map_err(ApplyError::Root)?;
    change_folder("/")?;
    memory(Path::new(ROOT), "0755", Path::new("/"))
}

/// Leaves everything but the new root.
fn enter() -> Result<(), ApplyError> {
    change_folder(ROOT)?;
    // The old root comes to lie over the new one and is then taken away: no folder is needed.
    pivot_root(".", ".").map_err(ApplyError::Root)?;
    umount2(".", MntFlags::MNT_DETACH).map_err(ApplyError::Root)?;
    change_folder("/")
}

fn change_folder(path: &str) -> Result<(), ApplyError> {
    nix::unistd::chdir(path).map_err(ApplyError::Root)
}

fn carry_out(number: usize, step: &Step) -> Result<(), ApplyError> {
    match step {
        Step::Memory { at, shared } => {
            memory(&in_root(at), if *shared { "1777" } else { "0755" }, at)
        }
        Step::Directory { at } => create(at, |at| fs::create_dir(in_root(at))),
        Step::File { at } => create(at, |at| fs::write(in_root(at), "")),
        Step::Link { at, to } => create(at, |at| symlink(to, in_root(at))),
        Step::Text { at, text } => {
            let file = Path::new(TEXTS).join(number.to_string());
            create(at, |_| {
                fs::write(&file, text)?;
                fs::set_permissions(&file, fs::Permissions::from_mode(0o644))
            })?;
            bind(&file, at)
        }
        Step::MountPoint { source, directory } => create(source, |source| {
            let path = in_machine(source);
            if *directory {
                fs::create_dir_all(path)
            } else {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::File::create_new(path).map(drop)
            }
        }),
        Step::Bind {
            source,
            at,
            read_only,
            required,
        } => match bind(&in_machine(source), at) {
            // An entry of the machine that this user cannot have, such as another's FUSE mount.
            Err(_) if !required => Ok(()),
            Ok(()) if *read_only => make_read_only(source, at),
            done => done,
        },
        Step::Processes { at } => processes(at),
    }
}

fn in_root(at: &Path) -> PathBuf {
    below(ROOT, at)
}

fn in_machine(source: &Path) -> PathBuf {
    below(MACHINE, source)
}

fn below(root: &str, path: &Path) -> PathBuf {
    Path::new(root).join(path.strip_prefix("/").unwrap_or(path))
}

fn create(at: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), ApplyError> {
    make(at).map_err(|source| ApplyError::Create {
        at: at.to_path_buf(),
        source,
    })
}

fn refused(what: impl Into<String>, at: &Path) -> impl FnOnce(Errno) -> ApplyError {
    let (what, at) = (what.into(), at.to_path_buf());
    |errno| ApplyError::Mount { what, at, errno }
}

fn memory(path: &Path, mode: &str, at: &Path) -> Result<(), ApplyError> {
    mount(
        Some("outrigger"),
        path,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(format!("mode={mode}").as_str()),
    )
    .map_err(refused("memory", at))
}

fn bind(source: &Path, at: &Path) -> Result<(), ApplyError> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(
        Some(source),
        &in_root(at),
        None::<&str>,
        flags,
        None::<&str>,
    )
    .map_err(refused(source.display().to_string(), at))
}

/// A bound mount becomes read-only by a second call, which must repeat what was restricted before. When
/// files count as read is kept where nothing is said of it.
fn make_read_only(source: &Path, at: &Path) -> Result<(), ApplyError> {
    let path = in_root(at);
    let what = || refused(source.display().to_string(), at);
    let now = statvfs(&path).map_err(what())?.flags();
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ];
    for (has, keep) in kept {
        if now.contains(has) {
            flags |= keep;
        }
    }
    mount(None::<&str>, &path, None::<&str>, flags, None::<&str>).map_err(what())
}

/// The container's own `/proc`; the machine's where the kernel refuses (inside another container,
/// whose `/proc` has parts hidden), in which `/proc/self` still works.
fn processes(at: &Path) -> Result<(), ApplyError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match mount(
        Some("proc"),
        &in_root(at),
        Some("proc"),
        flags,
        None::<&str>,
    ) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM | Errno::EACCES) => bind(&in_machine(Path::new("/proc")), at),
        Err(errno) => Err(refused("proc", at)(errno)),
    }
}
