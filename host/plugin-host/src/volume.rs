//! Reading and writing within one folder, and never outside it: not by `..`, not by links, not by a
//! link that is exchanged meanwhile.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::engine::hex;
use crate::limits::{FILE_ENTRIES_MAX, FILE_PATH_BYTES_MAX};

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("the path is refused: {0}")]
    Path(&'static str),
    #[error("the path leaves the volume by a link")]
    Leaves,
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    #[error("it has more than {0} entries")]
    TooMany(usize),
    #[error("{0}")]
    Io(io::Error),
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EXDEV => Self::Leaves,
            other => Self::Io(other.into()),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How full a file system is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    pub(crate) total: f64,
    pub(crate) available: f64,
    pub(crate) inodes_free: f64,
}

/// One volume's folder, open.
#[derive(Debug)]
pub(crate) struct Volume {
    root: OwnedFd,
    /// Whether the kernel resolves paths beneath the folder for us.
    beneath: bool,
}

impl Volume {
    pub(crate) fn open(folder: &Path) -> Result<Self, FileError> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(folder, flags, Mode::empty())?;
        Ok(Self {
            root,
            beneath: true,
        })
    }

    /// The file's content, whole.
    pub(crate) fn read(&self, path: &str, max: u64) -> Result<Vec<u8>, FileError> {
        // Not blocking, for a pipe in the file's place would wait for a writer.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
        let file = File::from(self.open_within(check(path, false)?, flags)?);
        if !file.metadata()?.is_file() {
            return Err(FileError::NotAFile);
        }
        let mut content = Vec::new();
        file.take(max + 1).read_to_end(&mut content)?;
        if content.len() as u64 > max {
            return Err(FileError::TooLong(max));
        }
        Ok(content)
    }

    /// Writes the file whole: a reader sees the old content or the new, also after a crash.
    pub(crate) fn write(&self, path: &str, content: &[u8]) -> Result<(), FileError> {
        let path = check(path, false)?;
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        let folder = self.open_within(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let temporary = format!(".outrigger-{}", hex(&random));
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o644);
        let file = openat(&folder, temporary.as_str(), flags, mode)?;
        let put = || {
            let mut file = File::from(file);
            file.write_all(content)?;
            file.sync_all()?;
            renameat(&folder, temporary.as_str(), &folder, name)?;
            Ok(())
        };
        put().inspect_err(|_: &FileError| {
            let removed = unlinkat(&folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
            if let Err(error) = removed {
                tracing::warn!(%error, "Temporary file stays on a volume");
            }
        })?;
        nix::unistd::fsync(&folder)?;
        Ok(())
    }

    /// The names in a folder, sorted.
    pub(crate) fn entries(&self, path: &str) -> Result<Vec<String>, FileError> {
        let path = check(path, true)?;
        let folder = self.open_within(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(folder)?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == FILE_ENTRIES_MAX {
                return Err(FileError::TooMany(FILE_ENTRIES_MAX));
            }
            names.push(name.into_owned());
        }
        names.sort();
        Ok(names)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a file system's size to 53 bits is exact enough, and the border has no 64-bit integers"
    )]
    pub(crate) fn usage(&self) -> Result<Usage, FileError> {
        let about = fstatvfs(&self.root)?;
        let unit = about.fragment_size() as f64;
        Ok(Usage {
            total: about.blocks() as f64 * unit,
            available: about.blocks_available() as f64 * unit,
            inodes_free: about.files_available() as f64,
        })
    }

    fn open_within(&self, path: &str, flags: OFlag) -> Result<OwnedFd, FileError> {
        let flags = flags | OFlag::O_CLOEXEC;
        if self.beneath {
            let how = OpenHow::new()
                .flags(flags)
                .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
            match openat2(&self.root, path, how) {
                // Kernels before 5.6 and some seccomp profiles do not have the call.
                Err(Errno::ENOSYS | Errno::EPERM) => {}
                opened => return Ok(opened?),
            }
        }
        self.open_by_steps(path, flags)
    }

    /// Opens folder by folder without following any link: stricter than the kernel's way, which
    /// allows links that stay within.
    fn open_by_steps(&self, path: &str, flags: OFlag) -> Result<OwnedFd, FileError> {
        let step = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let at = |folder: &dyn Fn(OFlag, &str) -> nix::Result<OwnedFd>, flags, name: &str| {
            folder(flags, name).map_err(|errno| match errno {
                Errno::ELOOP | Errno::ENOTDIR => FileError::Leaves,
                other => other.into(),
            })
        };
        let open_in = |folder: std::os::fd::BorrowedFd<'_>, flags, name: &str| {
            at(
                &|flags, name| openat(folder, name, flags, Mode::empty()),
                flags,
                name,
            )
        };
        let mut folder: Option<OwnedFd> = None;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let here = folder.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            if names.peek().is_none() {
                return open_in(here, flags | OFlag::O_NOFOLLOW, name);
            }
            folder = Some(open_in(here, step, name)?);
        }
        Err(FileError::Path("it is empty"))
    }
}

/// Refuses paths before the kernel sees them; `""` is the root where a folder is wanted.
fn check(path: &str, folder: bool) -> Result<&str, FileError> {
    if folder && path.is_empty() {
        return Ok(".");
    }
    if path.is_empty() {
        return Err(FileError::Path("it is empty"));
    }
    if path.len() > FILE_PATH_BYTES_MAX {
        return Err(FileError::Path("it is too long"));
    }
    if path.contains('\0') {
        return Err(FileError::Path("it has a NUL"));
    }
    if path.starts_with('/') {
        return Err(FileError::Path("it is absolute"));
    }
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Err(FileError::Path("it has an empty part, `.` or `..`"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn volume() -> (tempfile::TempDir, [Volume; 2]) {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("volume");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        fs::write(root.join("a/b/file"), "content").unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(outside.path(), root.join("out-folder")).unwrap();
        symlink("a/b/file", root.join("within")).unwrap();
        let by_kernel = Volume::open(&root).unwrap();
        let mut by_steps = Volume::open(&root).unwrap();
        by_steps.beneath = false;
        (outside, [by_kernel, by_steps])
    }

    #[test]
    fn files_within_are_read_and_bounded() {
        let (_folder, volumes) = volume();
        for volume in &volumes {
            assert_eq!(volume.read("a/b/file", 7).unwrap(), b"content");
            let error = volume.read("a/b/file", 6).unwrap_err();
            assert!(matches!(error, FileError::TooLong(6)), "{error}");
            assert!(matches!(volume.read("a/b", 6), Err(FileError::NotAFile)));
            assert!(matches!(volume.read("none", 6), Err(FileError::Io(_))));
            assert_eq!(volume.entries("a").unwrap(), ["b"]);
            assert_eq!(
                volume.entries("").unwrap(),
                ["a", "out", "out-folder", "within"]
            );
        }
    }

    #[test]
    fn nothing_outside_can_be_reached() {
        let (_folder, volumes) = volume();
        for volume in &volumes {
            for path in ["out", "out-folder/secret"] {
                let error = volume.read(path, 100).unwrap_err();
                assert!(matches!(error, FileError::Leaves), "{path}: {error}");
            }
            for path in [
                "../secret",
                "a/../../secret",
                "/etc/passwd",
                "a//b",
                "./a",
                "",
            ] {
                let error = volume.read(path, 100).unwrap_err();
                assert!(matches!(error, FileError::Path(_)), "{path}: {error}");
                assert!(volume.write(path, b"x").is_err());
            }
            assert!(volume.write("out-folder/new", b"x").is_err());
            assert!(volume.entries("out-folder").is_err());
        }
    }

    #[test]
    fn links_within_are_followed_where_the_kernel_watches_and_refused_otherwise() {
        let (_folder, [by_kernel, by_steps]) = volume();
        assert_eq!(by_kernel.read("within", 100).unwrap(), b"content");
        assert!(matches!(
            by_steps.read("within", 100),
            Err(FileError::Leaves)
        ));
    }

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_else() {
        let (folder, volumes) = volume();
        for volume in &volumes {
            volume.write("a/marker", b"first").unwrap();
            volume.write("a/marker", b"2").unwrap();
            assert_eq!(volume.read("a/marker", 100).unwrap(), b"2");
            // A link is replaced, not written through.
            volume.write("out", b"mine").unwrap();
            let outside = fs::read(folder.path().join("secret")).unwrap();
            assert_eq!(outside, b"secret");
            assert_eq!(volume.entries("a").unwrap(), ["b", "marker"]);
            assert!(volume.write("a/b", b"a folder stands there").is_err());
            assert_eq!(volume.entries("a").unwrap(), ["b", "marker"]);
        }
    }

    #[test]
    fn a_pipe_in_a_files_place_does_not_hold_the_reader() {
        let (folder, volumes) = volume();
        let pipe = folder.path().join("volume/pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        for volume in &volumes {
            assert!(matches!(volume.read("pipe", 9), Err(FileError::NotAFile)));
        }
    }

    #[test]
    fn usage_tells_of_a_real_file_system() {
        let (_folder, [volume, _]) = volume();
        let usage = volume.usage().unwrap();
        assert!(usage.total >= usage.available && usage.total > 0.0);
    }

    proptest::proptest! {
        #[test]
        fn no_path_whatever_reads_what_lies_outside(path in "[a./sbcefilt\\-outr]{0,16}") {
            let (_folder, volumes) = volume();
            for volume in &volumes {
                if let Ok(content) = volume.read(&path, 100) {
                    proptest::prop_assert_ne!(content, b"secret");
                }
            }
        }
    }
}
