//! The state folder: one for each set of manifests, used by one `up` at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

use super::UpError;
use crate::hub_client::{RUNNING, RunningUp};

/// A Unix socket's path is not longer than this, its name included.
const SOCKET_PATH_BYTES: usize = 107;
/// The longest name of a socket in the folder, with its slash.
const SOCKET_NAME_BYTES: usize = "/forward.sock".len();

fn file_error(doing: &'static str, path: &Path, source: io::Error) -> UpError {
    UpError::File {
        doing,
        path: path.to_path_buf(),
        source,
    }
}

/// The folder for these inputs, which are absolute.
pub(super) fn folder(root: &Path, inputs: &[PathBuf]) -> PathBuf {
    let mut digest = Sha256::new();
    for input in inputs {
        digest.update(input.as_os_str().as_encoded_bytes());
        digest.update([0]);
    }
    let hash = crate::hex::of(&digest.finalize()[..4]);
    root.join(format!("{}-{hash}", name(inputs)))
}

/// What these inputs are called: the first one's name.
pub(super) fn name(inputs: &[PathBuf]) -> String {
    let stem = inputs.first().and_then(|input| input.file_stem());
    let name: String = stem
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(30)
        .collect();
    if name.is_empty() {
        "up".to_owned()
    } else {
        name
    }
}

/// Makes the folder, which only this user may enter.
pub(super) fn make(state: &Path) -> Result<(), UpError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .map_err(|error| file_error("make", state, error))?;
    let longest = state.as_os_str().len() + SOCKET_NAME_BYTES;
    if longest > SOCKET_PATH_BYTES {
        let most = SOCKET_PATH_BYTES - SOCKET_NAME_BYTES;
        let problem = format!("sockets in it need a path of at most {most} bytes; use `--state`");
        return Err(file_error("use", state, io::Error::other(problem)));
    }
    Ok(())
}

/// The folder is this process's as long as this value lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

/// Takes the folder; refused with the process that has it.
pub(super) fn lock(state: &Path, pid: u32) -> Result<Lock, UpError> {
    let path = state.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| file_error("open", &path, error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut file) => {
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{pid}"));
            written.map_err(|error| file_error("write", &path, error))?;
            Ok(Lock { _file: file })
        }
        Err((mut file, _)) => {
            let mut pid = String::new();
            // Between the lock and its text there is none; the message then says so.
            if file.read_to_string(&mut pid).is_err() || pid.is_empty() {
                pid.clear();
                pid.push_str("unknown");
            }
            Err(UpError::Locked {
                pid,
                state: state.display().to_string(),
            })
        }
    }
}

/// Whether another `up` has the folder now.
pub(super) fn is_locked(state: &Path) -> bool {
    let file = OpenOptions::new().read(true).open(state.join("lock"));
    file.is_ok_and(|file| Flock::lock(file, FlockArg::LockSharedNonblock).is_err())
}

/// Notes that an `up` runs, so that other terminals find it; ends with the value.
#[derive(Debug)]
pub(super) struct Note {
    path: PathBuf,
}

impl Note {
    pub(super) fn write(root: &Path, up: &RunningUp) -> Result<Self, UpError> {
        let folder = root.join(RUNNING);
        make(&folder)?;
        let digest = Sha256::digest(up.state.as_os_str().as_encoded_bytes());
        let name = crate::hex::of(&digest[..8]);
        let path = folder.join(format!("{name}.json"));
        let text = serde_json::to_vec(up).map_err(io::Error::other);
        text.and_then(|text| crate::controller::replace(&path, &text))
            .map_err(|error| file_error("write", &path, error))?;
        Ok(Self { path })
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // Who finds it later asks the socket, which is gone.
        let _ignored = fs::remove_file(&self.path);
    }
}

/// Writes a file that only this user may read.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), UpError> {
    let _ignored = fs::remove_file(path);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| file_error("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_with_the_process_that_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path(), 4711).unwrap();
        let refused = lock(folder.path(), 4712).unwrap_err().to_string();
        assert!(refused.contains("process id 4711"), "{refused}");
        drop(first);
        lock(folder.path(), 4712).unwrap();
    }

    #[test]
    fn each_set_of_inputs_has_a_folder_of_its_own_with_a_readable_name() {
        let root = Path::new("/s");
        let one = folder(root, &["/x/agdb".into()]);
        let other = folder(root, &["/y/agdb".into()]);
        assert_ne!(one, other);
        assert!(one.to_string_lossy().starts_with("/s/agdb-"));
        assert_eq!(one, folder(root, &["/x/agdb".into()]));
        assert_eq!(name(&["/".into()]), "up");
    }
}
