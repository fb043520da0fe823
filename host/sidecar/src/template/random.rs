//! Random texts that stay the same for as long as they should: for one start of the sidecar, or for
//! the life of a disk.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};

use crate::config::VolumeConfig;
use crate::limits;

/// The file on a volume that holds its seed.
const MARKER: &str = ".outrigger-seed";

/// Randomness that texts are made from.
pub type Seed = [u8; 32];

/// Where seeds come from.
pub trait Seeds: fmt::Debug + Send + Sync {
    /// New with each start of the sidecar.
    fn start(&self) -> Seed;
    /// As old as the content of a volume.
    ///
    /// # Errors
    /// A sentence for the user.
    fn disk(&self, volume: &str) -> Result<Seed, String>;
}

/// A text of `len` lower-case letters and digits that a seed and a name give. Different names give
/// texts that have nothing to do with each other.
///
/// # Errors
/// A sentence, when the length is 0 or above [`limits::RANDOM_LEN_MAX`].
pub(crate) fn text(seed: &Seed, name: &str, len: usize) -> Result<String, String> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    if len == 0 || len > limits::RANDOM_LEN_MAX {
        return Err(format!(
            "the length {len} is not from 1 to {}",
            limits::RANDOM_LEN_MAX
        ));
    }
    let mut text = String::with_capacity(len);
    for block in 0_u32.. {
        let mut hasher = Sha256::new();
        hasher.update(seed);
        hasher.update(block.to_le_bytes());
        hasher.update(name);
        for byte in hasher.finalize() {
            if text.len() == len {
                return Ok(text);
            }
            // A first letter is never a digit: many programs want names to begin so.
            let letters = if text.is_empty() { 26 } else { 32 };
            text.push(char::from(LETTERS[usize::from(byte) % letters]));
        }
    }
    Ok(text)
}

/// The seeds of a pod: one from the kernel at the start, and one in a file on each volume that is
/// asked for.
#[derive(Debug)]
pub struct PodSeeds {
    start: Seed,
    volumes: BTreeMap<String, PathBuf>,
    known: Mutex<BTreeMap<String, Seed>>,
}

impl PodSeeds {
    /// Draws the seed of this start.
    ///
    /// # Errors
    /// When the kernel has no randomness.
    pub fn new(volumes: &BTreeMap<String, VolumeConfig>) -> io::Result<Self> {
        Ok(Self {
            start: draw()?,
            volumes: volumes
                .iter()
                .map(|(name, volume)| (name.clone(), volume.sidecar_path.clone()))
                .collect(),
            known: Mutex::default(),
        })
    }
}

impl Seeds for PodSeeds {
    fn start(&self) -> Seed {
        self.start
    }

    fn disk(&self, volume: &str) -> Result<Seed, String> {
        let folder = self.volumes.get(volume).ok_or_else(|| {
            let names: Vec<&str> = self.volumes.keys().map(String::as_str).collect();
            format!(
                "there is no volume `{volume}`; the pod has: {}",
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            )
        })?;
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(seed) = known.get(volume) {
            return Ok(*seed);
        }
        let path = folder.join(MARKER);
        let seed = read_or_make(folder, &path).map_err(|error| {
            format!(
                "{} could not be read or made: {error}; the volume must be mounted writable in the sidecar",
                path.display()
            )
        })?;
        known.insert(volume.to_owned(), seed);
        Ok(seed)
    }
}

fn draw() -> io::Result<Seed> {
    let mut seed = Seed::default();
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// The seed in a marker file; made, whole and on disk, where there is none yet.
fn read_or_make(folder: &Path, path: &Path) -> io::Result<Seed> {
    match fs::read(path) {
        Ok(bytes) => {
            return Seed::try_from(bytes.as_slice()).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it has {} bytes instead of 32", bytes.len()),
                )
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let seed = draw()?;
    let temporary = folder.join(format!("{MARKER}.new"));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&seed)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(folder: &Path) -> BTreeMap<String, VolumeConfig> {
        let volume = VolumeConfig {
            path: PathBuf::from("/data"),
            sidecar_path: folder.to_owned(),
            bytes: None,
        };
        BTreeMap::from([("data".to_owned(), volume)])
    }

    #[test]
    fn a_text_follows_from_seed_and_name_alone() {
        let seed = [7; 32];
        assert_eq!(text(&seed, "node", 12), text(&seed, "node", 12));
        assert_ne!(text(&seed, "node", 12), text(&seed, "other", 12));
        assert_ne!(text(&seed, "node", 12), text(&[8; 32], "node", 12));
        let long = text(&seed, "node", limits::RANDOM_LEN_MAX).unwrap();
        assert_eq!(long.len(), limits::RANDOM_LEN_MAX);
        assert!(long.starts_with(&text(&seed, "node", 12).unwrap()));
        assert!(
            long.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
        assert!(
            text(&seed, "", 0).is_err() && text(&seed, "", limits::RANDOM_LEN_MAX + 1).is_err()
        );
    }

    #[test]
    fn a_disks_seed_outlives_the_sidecar_and_dies_with_the_disk() {
        let disk = tempfile::tempdir().unwrap();
        let first = PodSeeds::new(&volumes(disk.path())).unwrap();
        let second = PodSeeds::new(&volumes(disk.path())).unwrap();
        assert_eq!(first.disk("data").unwrap(), second.disk("data").unwrap());
        assert_ne!(first.start(), second.start());
        let other = tempfile::tempdir().unwrap();
        let fresh = PodSeeds::new(&volumes(other.path())).unwrap();
        assert_ne!(first.disk("data").unwrap(), fresh.disk("data").unwrap());
    }

    #[test]
    fn a_damaged_marker_is_told_and_never_replaced() {
        let disk = tempfile::tempdir().unwrap();
        fs::write(disk.path().join(MARKER), "short").unwrap();
        let seeds = PodSeeds::new(&volumes(disk.path())).unwrap();
        assert!(seeds.disk("data").unwrap_err().contains("5 bytes"));
        assert_eq!(fs::read(disk.path().join(MARKER)).unwrap(), b"short");
        assert!(
            seeds
                .disk("other")
                .unwrap_err()
                .contains("the pod has: data")
        );
    }
}
