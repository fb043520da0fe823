//! The small store of one plugin on one replica: bounded, in memory, written to its folder as one
//! file with each change.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::limits::{STATE_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_KEYS_MAX, STATE_VALUE_BYTES_MAX};

const FILE: &str = "state.kv";
const DAMAGED: &str = "state.kv.damaged";
/// First bytes of the file; the digit is the format's version.
const MAGIC: &[u8] = b"outrigger-state-1\n";
const DIGEST_BYTES: usize = 32;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the state folder {} cannot be used", path.display())]
pub struct StateOpenError {
    /// Which folder or file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Why a value is not stored.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A bound would be crossed.
    #[error("{what} would be {found}, the most is {max}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much it would be.
        found: usize,
        /// The most.
        max: usize,
    },
    /// The file cannot be written; the value is not stored.
    #[error("the plugin's state cannot be written")]
    Write(#[source] io::Error),
}

/// Keys and values of one plugin.
///
/// # Guarantees
/// A value that was stored is on disk when the call returns (file and folder are synced). A file
/// that breaks off or was changed is put aside, and the store starts empty.
#[derive(Debug)]
pub struct StateStore {
    folder: Option<PathBuf>,
    damaged: bool,
    entries: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl StateStore {
    /// A store that lives as long as this value.
    pub fn in_memory() -> Self {
        Self {
            folder: None,
            damaged: false,
            entries: Mutex::default(),
        }
    }

    /// The store in this folder, which is made where it is missing. One folder for each plugin.
    pub fn open(folder: &Path) -> Result<Self, StateOpenError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| StateOpenError { path, source }
        };
        fs::create_dir_all(folder).map_err(fail(folder))?;
        let file = folder.join(FILE);
        let mut damaged = false;
        let entries = match fs::read(&file) {
            Ok(bytes) => decode(&bytes).unwrap_or_else(|| {
                damaged = true;
                BTreeMap::new()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(fail(&file)(error)),
        };
        if damaged {
            fs::rename(&file, folder.join(DAMAGED)).map_err(fail(&file))?;
            tracing::warn!(path = %file.display(), "Plugin state was damaged, it was put aside and starts empty");
        }
        Ok(Self {
            folder: Some(folder.to_owned()),
            damaged,
            entries: Mutex::new(entries),
        })
    }

    /// Whether a damaged file was put aside when the store was opened.
    pub fn was_damaged(&self) -> bool {
        self.damaged
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().get(key).cloned()
    }

    /// Stores a value. Nothing is stored where it fails.
    pub fn set(&self, key: &str, value: Vec<u8>) -> Result<(), StateError> {
        let mut entries = self.lock();
        self.store(&mut entries, key, value)
    }

    /// Removes a key. Removing what is not there is no error.
    pub fn delete(&self, key: &str) -> Result<(), StateError> {
        let mut entries = self.lock();
        let Some(value) = entries.remove(key) else {
            return Ok(());
        };
        self.write(&entries).map_err(|error| {
            entries.insert(key.to_owned(), value);
            StateError::Write(error)
        })
    }

    /// Stores a value if the present one is `expect` (none = absent). Returns whether it was stored.
    pub fn compare_and_set(
        &self,
        key: &str,
        expect: Option<&[u8]>,
        value: Vec<u8>,
    ) -> Result<bool, StateError> {
        let mut entries = self.lock();
        if entries.get(key).map(Vec::as_slice) != expect {
            return Ok(false);
        }
        self.store(&mut entries, key, value).map(|()| true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        // Every change is complete or undone before the lock is given back.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(
        &self,
        entries: &mut BTreeMap<String, Vec<u8>>,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), StateError> {
        let limit = |what, found, max| Err(StateError::Limit { what, found, max });
        if key.is_empty() || key.len() > STATE_KEY_BYTES_MAX {
            return limit("the key's length in bytes", key.len(), STATE_KEY_BYTES_MAX);
        }
        if value.len() > STATE_VALUE_BYTES_MAX {
            return limit(
                "the value's length in bytes",
                value.len(),
                STATE_VALUE_BYTES_MAX,
            );
        }
        let old = entries.get(key);
        let keys = entries.len() + usize::from(old.is_none());
        if keys > STATE_KEYS_MAX {
            return limit("the number of keys", keys, STATE_KEYS_MAX);
        }
        if old == Some(&value) {
            return Ok(());
        }
        let before: usize = entries
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let replaced = old.map_or(0, |old| key.len() + old.len());
        let after = before - replaced + key.len() + value.len();
        if after > STATE_BYTES_MAX {
            return limit("the size of all keys and values", after, STATE_BYTES_MAX);
        }
        let replaced = entries.insert(key.to_owned(), value);
        self.write(entries).map_err(|error| {
            match replaced {
                Some(old) => entries.insert(key.to_owned(), old),
                None => entries.remove(key),
            };
            StateError::Write(error)
        })
    }

    fn write(&self, entries: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&encode(entries))?;
        file.as_file().sync_all()?;
        file.persist(folder.join(FILE))
            .map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    }
}

fn encode(entries: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (key, value) in entries {
        for part in [key.as_bytes(), value.as_slice()] {
            let length = u32::try_from(part.len()).expect("keys and values are bounded");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

fn decode(bytes: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let (content, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_BYTES)?)?;
    if Sha256::digest(content).as_slice() != digest {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut entries = BTreeMap::new();
    while !rest.is_empty() {
        let key = String::from_utf8(part(&mut rest)?.to_vec()).ok()?;
        entries.insert(key, part(&mut rest)?.to_vec());
    }
    Some(entries)
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::open(folder.path()).unwrap();
        store.set("leader", b"1".to_vec()).unwrap();
        store.set("term", vec![0, 255]).unwrap();
        store.delete("leader").unwrap();
        store.delete("never there").unwrap();
        let again = StateStore::open(folder.path()).unwrap();
        assert_eq!(again.get("leader"), None);
        assert_eq!(again.get("term"), Some(vec![0, 255]));
        assert!(!again.was_damaged());
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_the_store_starts_empty() {
        let folder = tempfile::tempdir().unwrap();
        StateStore::open(folder.path())
            .unwrap()
            .set("a", b"1".to_vec())
            .unwrap();
        let file = folder.path().join(FILE);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        let store = StateStore::open(folder.path()).unwrap();
        assert!(store.was_damaged());
        assert_eq!(store.get("a"), None);
        assert!(folder.path().join(DAMAGED).exists());
    }

    #[test]
    fn every_bound_is_an_error_that_names_it_and_stores_nothing() {
        let store = StateStore::in_memory();
        let told = |result: Result<(), StateError>| result.unwrap_err().to_string();
        assert_eq!(
            told(store.set("", Vec::new())),
            "the key's length in bytes would be 0, the most is 128"
        );
        assert_eq!(
            told(store.set("a", vec![0; STATE_VALUE_BYTES_MAX + 1])),
            "the value's length in bytes would be 65537, the most is 65536"
        );
        for key in ["a", "b", "c"] {
            store.set(key, vec![1; STATE_VALUE_BYTES_MAX]).unwrap();
        }
        assert_eq!(
            told(store.set("d", vec![1; STATE_VALUE_BYTES_MAX])),
            "the size of all keys and values would be 262148, the most is 262144"
        );
        assert_eq!(store.get("d"), None);
        store.set("a", Vec::new()).unwrap();
        for number in 0..STATE_KEYS_MAX - 3 {
            store.set(&format!("k{number}"), Vec::new()).unwrap();
        }
        assert_eq!(
            told(store.set("one more", Vec::new())),
            "the number of keys would be 65, the most is 64"
        );
    }

    #[test]
    fn compare_and_set_stores_only_over_what_was_expected() {
        let store = StateStore::in_memory();
        assert!(store.compare_and_set("a", None, b"1".to_vec()).unwrap());
        assert!(!store.compare_and_set("a", None, b"2".to_vec()).unwrap());
        assert!(
            !store
                .compare_and_set("a", Some(b"0"), b"2".to_vec())
                .unwrap()
        );
        assert!(
            store
                .compare_and_set("a", Some(b"1"), b"2".to_vec())
                .unwrap()
        );
        assert_eq!(store.get("a"), Some(b"2".to_vec()));
    }

    #[test]
    fn a_value_that_cannot_be_written_is_not_stored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let store = StateStore::open(&path).unwrap();
        store.set("a", b"1".to_vec()).unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert!(store.set("a", b"2".to_vec()).is_err());
        assert!(store.delete("a").is_err());
        assert_eq!(store.get("a"), Some(b"1".to_vec()));
    }

    proptest::proptest! {
        #[test]
        fn what_was_encoded_is_decoded_and_anything_else_is_refused(
            entries in proptest::collection::btree_map(".{0,8}", proptest::collection::vec(proptest::num::u8::ANY, 0..9), 0..5),
            at in 0_usize..64, flip in 1_u8..,
        ) {
            let mut bytes = encode(&entries);
            proptest::prop_assert_eq!(decode(&bytes), Some(entries));
            let at = at % bytes.len();
            bytes[at] ^= flip;
            proptest::prop_assert_eq!(decode(&bytes), None);
        }
    }
}
