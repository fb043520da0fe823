//! Compiled code on disk: named by what it was made of, authenticated by a key that only this user
//! can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::engine::{engine_fingerprint, hex};
use crate::error::HostError;
use crate::limits::{CACHE_ENTRIES_MAX, COMPILED_BYTES_MAX};

const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
const EXTENSION: &str = "compiled";

/// What the cache has of a component.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cached {
    /// Nothing.
    Nothing,
    /// Its compiled code, authentic.
    Compiled(Vec<u8>),
    /// Something that must not be used, and why.
    Refused(&'static str),
}

/// The cache's folder and key.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens the folder, which is made where it is missing. A key that others could read or that is
    /// not ours is replaced: what it authenticated counts no more.
    pub(crate) fn open(folder: &Path) -> Result<Self, HostError> {
        let fail = |source| HostError::Cache {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(fail)?;
        let key = match read_key(folder).map_err(fail)? {
            Some(key) => key,
            None => make_key(folder).map_err(fail)?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            key,
        })
    }

    /// The compiled code of the component with this digest.
    pub(crate) fn get(&self, component: &[u8; 32]) -> Cached {
        let path = self.path(component);
        let Ok(file) = fs::File::open(&path) else {
            return Cached::Nothing;
        };
        let mut bytes = Vec::new();
        let most = (COMPILED_BYTES_MAX + TAG_BYTES) as u64;
        if file.take(most + 1).read_to_end(&mut bytes).is_err() {
            return Cached::Refused("it cannot be read");
        }
        let Some((tag, compiled)) = bytes.split_at_checked(TAG_BYTES) else {
            return Cached::Refused("it is truncated");
        };
        if self.mac(component, compiled).verify_slice(tag).is_err() {
            return Cached::Refused("its tag is wrong: it was changed, or made with another key");
        }
        Cached::Compiled(compiled.to_vec())
    }

    /// Keeps compiled code, and drops the oldest beyond the limit.
    pub(crate) fn put(&self, component: &[u8; 32], compiled: &[u8]) -> io::Result<()> {
        let tag = self.mac(component, compiled).finalize().into_bytes();
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&tag)?;
        file.write_all(compiled)?;
        // Not synced: a file that breaks off is refused by its tag and made anew.
        file.persist(self.path(component))
            .map_err(|error| error.error)?;
        self.prune()
    }

    fn path(&self, component: &[u8; 32]) -> PathBuf {
        let name = format!("{}-{}.{EXTENSION}", hex(component), engine_fingerprint());
        self.folder.join(name)
    }

    fn mac(&self, component: &[u8; 32], compiled: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        mac.update(b"outrigger compiled component 1\0");
        mac.update(engine_fingerprint().as_bytes());
        mac.update(component);
        mac.update(compiled);
        mac
    }

    fn prune(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == EXTENSION))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        entries.sort();
        let surplus = entries.len().saturating_sub(CACHE_ENTRIES_MAX);
        for (_, path) in entries.into_iter().take(surplus) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn read_key(folder: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let path = folder.join(KEY_FILE);
    // Not there; or a link, or not ours to read, which is replaced like one of others.
    let Ok(mut file) = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&path)
    else {
        return Ok(None);
    };
    let about = file.metadata()?;
    let others = about.permissions().mode() & 0o077;
    if others != 0 || about.uid() != nix::unistd::geteuid().as_raw() {
        tracing::warn!(path = %path.display(), "Key of the compiled code was not private, it is replaced");
        return Ok(None);
    }
    let mut key = [0; KEY_BYTES];
    Ok(file.read_exact(&mut key).is_ok().then_some(key))
}

fn make_key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    // Made with mode 0600 from the start, and renamed over whatever stood there.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(KEY_FILE))
        .map_err(|error| error.error)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: [u8; 32] = [7; 32];

    fn entry(folder: &Path) -> PathBuf {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|end| end == EXTENSION))
            .unwrap()
    }

    #[test]
    fn compiled_code_is_found_again_by_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        assert_eq!(cache.get(&COMPONENT), Cached::Nothing);
        cache.put(&COMPONENT, b"code").unwrap();
        let again = Cache::open(folder.path()).unwrap();
        assert_eq!(again.get(&COMPONENT), Cached::Compiled(b"code".to_vec()));
        assert_eq!(again.get(&[8; 32]), Cached::Nothing);
        let mode = fs::metadata(folder.path().join(KEY_FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn changed_truncated_and_exchanged_entries_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        cache.put(&COMPONENT, b"code").unwrap();
        let path = entry(folder.path());
        let good = fs::read(&path).unwrap();
        let refused = Cached::Refused("its tag is wrong: it was changed, or made with another key");

        let mut changed = good.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(&path, changed).unwrap();
        assert_eq!(cache.get(&COMPONENT), refused);

        fs::write(&path, &good[..10]).unwrap();
        assert_eq!(cache.get(&COMPONENT), Cached::Refused("it is truncated"));

        // Authentic, but of another component.
        fs::write(cache.path(&[8; 32]), &good).unwrap();
        assert_eq!(cache.get(&[8; 32]), refused);
    }

    #[test]
    fn a_key_that_others_can_read_is_replaced_and_what_it_vouched_for_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Cache::open(folder.path())
            .unwrap()
            .put(&COMPONENT, b"code")
            .unwrap();
        let key = folder.path().join(KEY_FILE);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        assert!(matches!(cache.get(&COMPONENT), Cached::Refused(_)));
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_oldest_entries_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let count = u8::try_from(CACHE_ENTRIES_MAX + 3).unwrap();
        for number in 0..count {
            cache.put(&[number; 32], b"code").unwrap();
        }
        let kept = (0..count).filter(|number| cache.get(&[*number; 32]) != Cached::Nothing);
        assert_eq!(kept.count(), CACHE_ENTRIES_MAX);
        assert_ne!(cache.get(&[count - 1; 32]), Cached::Nothing);
    }
}
