//! The rendered files on the shared volume: committed as one set, so that a reader never sees files of
//! two renders, and kept for going back.
//!
//! ```text
//! sets/7/0/agdb_server.yaml     one folder for each set, one in it for each folder of the workload
//! sets/7/env                    rendered variables
//! sets/7/.digests               what is in the set; written last, so that a half-made set shows
//! current -> sets/7             one rename of this link commits a set
//! dirs/0/agdb_server.yaml -> <root>/current/0/agdb_server.yaml
//! ```

mod manifest;
mod refused;
mod steps;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits;
use crate::template::RenderedSet;

use self::manifest::Manifest;
pub use self::refused::Refused;
use self::steps::{Step, take};

/// The name of the link to the set that stands.
const CURRENT: &str = "current";

/// Why a set could not be put in place. The one before it stands.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A step on the disk.
    #[error("could not {act} {path}")]
    Step {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A path that is in none of the workload's folders.
    #[error("{path} lies in none of the mounted folders")]
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// Nothing to go back to.
    #[error("set {set} is not kept any more")]
    NotKept {
        /// Which.
        set: u64,
    },
}

impl FilesError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Step { act, source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                if *act == "change the owner of" {
                    "only root may give files away: drop `owner`, or let `fsGroup` of the pod do it"
                } else {
                    "the shared volume must be writable for the sidecar's user: look at `fsGroup` and `runAsUser`"
                }
            }
            Self::Step { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "the shared volume is full: raise its `sizeLimit`"
            }
            Self::Step { .. } => "look at the shared volume's mount",
            Self::NoFolder { .. } => "folders are mounted when a pod starts: restart the pod",
            Self::NotKept { .. } => "render again after mending the profile",
        }
    }
}

/// What stands after a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The set's number.
    pub set: u64,
    /// Whether it is a new one; false when what was rendered stood already.
    pub new: bool,
    /// The files whose content, mode or owner differ from the set before, by path; `env` for the
    /// variables. Everything for the first set.
    pub changed: Vec<String>,
}

/// The root of the rendered files.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    /// The workload's folders, in the order of their numbers.
    folders: Vec<PathBuf>,
    current: Option<(u64, Manifest)>,
    kept: Vec<u64>,
}

impl Files {
    /// Takes over a root: what an earlier sidecar of this pod committed stands. Sets that were never
    /// finished are removed.
    ///
    /// # Errors
    /// When the root cannot be made or read.
    pub fn open(root: &Path, folders: Vec<PathBuf>) -> Result<Self, FilesError> {
        let mut files = Self {
            root: root.to_owned(),
            folders,
            current: None,
            kept: Vec::new(),
        };
        for folder in ["sets", "dirs"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(fault("make", &path))?;
        }
        let mut finished: BTreeMap<u64, Manifest> = BTreeMap::new();
        let sets = root.join("sets");
        for entry in fs::read_dir(&sets).map_err(fault("read", &sets))? {
            let entry = entry.map_err(fault("read", &sets))?;
            let number = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            match number.zip(Manifest::read(&entry.path())) {
                Some((number, manifest)) => {
                    finished.insert(number, manifest);
                }
                None => remove(&entry.path())?,
            }
        }
        let current = fs::read_link(root.join(CURRENT))
            .ok()
            .and_then(|target| target.file_name()?.to_str()?.parse::<u64>().ok());
        files.current = current.and_then(|number| Some((number, finished.get(&number)?.clone())));
        files.kept = finished.into_keys().collect();
        Ok(files)
    }

    /// The number of the set that stands.
    pub fn current(&self) -> Option<u64> {
        self.current.as_ref().map(|(number, _)| *number)
    }

    /// What the files of the set that stands hash to, by path; `env` for the variables.
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.current
            .as_ref()
            .map(|(_, manifest)| manifest.digests.clone())
            .unwrap_or_default()
    }

    /// Puts a set in place. The same set again only makes sure that the links to it are there.
    ///
    /// # Errors
    /// The set before stands; nothing of the new one is to be seen.
    pub fn commit(&mut self, set: &RenderedSet) -> Result<Committed, FilesError> {
        let manifest = Manifest::of(set);
        let changed = manifest.changes(self.current.as_ref().map(|(_, old)| old));
        if let Some((number, old)) = &self.current
            && *old == manifest
        {
            let number = *number;
            for step in self.link_steps(set.paths(), &[])? {
                take(&step)?;
            }
            return Ok(Committed {
                set: number,
                new: false,
                changed: Vec::new(),
            });
        }
        let number = self.next_number();
        for step in self.steps(number, set, &manifest)? {
            if let Err(error) = take(&step) {
                // What is half-made is removed by the next start if it cannot be now.
                remove(&self.set_folder(number)).unwrap_or_default();
                return Err(error);
            }
        }
        self.current = Some((number, manifest));
        self.kept.push(number);
        self.forget();
        Ok(Committed {
            set: number,
            new: true,
            changed,
        })
    }

    /// Puts an earlier set in place again. The files that differ from those of the set that stood.
    ///
    /// # Errors
    /// When it is not kept any more, or a link cannot be moved.
    pub fn return_to(&mut self, number: u64) -> Result<Vec<String>, FilesError> {
        if !self.kept.contains(&number) {
            return Err(FilesError::NotKept { set: number });
        }
        let manifest =
            Manifest::read(&self.set_folder(number)).ok_or(FilesError::NotKept { set: number })?;
        let changed = manifest.changes(self.current.as_ref().map(|(_, left)| left));
        let paths = manifest.digests.keys().filter(|path| *path != "env");
        let links = self.link_steps(paths.map(Path::new), &changed)?;
        for step in self.switch_steps(number).iter().chain(&links) {
            take(step)?;
        }
        self.current = Some((number, manifest));
        Ok(changed)
    }

    /// What was rolled back and is not to be tried again.
    pub fn refused(&self) -> Option<Refused> {
        refused::read(&self.root)
    }

    /// Remembers what was rolled back, over restarts of the sidecar; or nothing any more.
    ///
    /// # Errors
    /// When the root cannot be written to.
    pub fn remember_refused(&self, refused: Option<&Refused>) -> Result<(), FilesError> {
        refused::write(&self.root, refused)
    }

    fn next_number(&self) -> u64 {
        self.kept
            .iter()
            .copied()
            .chain(self.current())
            .max()
            .map_or(1, |last| last + 1)
    }

    fn set_folder(&self, number: u64) -> PathBuf {
        self.root.join("sets").join(number.to_string())
    }

    /// Where a file lies within a set, and within `dirs`.
    fn place(&self, path: &Path) -> Result<PathBuf, FilesError> {
        let none = || FilesError::NoFolder {
            path: path.to_owned(),
        };
        let (folder, name) = path.parent().zip(path.file_name()).ok_or_else(none)?;
        let index = self
            .folders
            .iter()
            .position(|known| known == folder)
            .ok_or_else(none)?;
        Ok(Path::new(&index.to_string()).join(name))
    }

    /// Every step that puts a set in place, in their order. Until the last but the links the old set
    /// stands; links are made before it where they point to nothing that readers could mistake.
    fn steps(
        &self,
        number: u64,
        set: &RenderedSet,
        manifest: &Manifest,
    ) -> Result<Vec<Step>, FilesError> {
        let folder = self.set_folder(number);
        let mut steps = vec![Step::Folder(folder.clone())];
        for index in 0..self.folders.len() {
            steps.push(Step::Folder(folder.join(index.to_string())));
        }
        for file in &set.files {
            steps.push(Step::File {
                path: folder.join(self.place(&file.path)?),
                content: file.content.clone(),
                mode: file.mode,
                owner: file.owner,
            });
        }
        if let Some(env) = &set.env {
            // Variables may hold secrets, and the kubelet reads them as root.
            steps.push(Step::File {
                path: folder.join("env"),
                content: env.clone().into_bytes(),
                mode: 0o600,
                owner: None,
            });
        }
        for index in 0..self.folders.len() {
            steps.push(Step::Sync(folder.join(index.to_string())));
        }
        steps.push(Step::File {
            path: folder.join(manifest::NAME),
            content: manifest.text().into_bytes(),
            mode: 0o600,
            owner: None,
        });
        steps.push(Step::Sync(folder));
        steps.push(Step::Sync(self.root.join("sets")));
        steps.extend(self.switch_steps(number));
        let changed = manifest.changes(self.current.as_ref().map(|(_, old)| old));
        steps.extend(self.link_steps(set.paths(), &changed)?);
        Ok(steps)
    }

    fn switch_steps(&self, number: u64) -> Vec<Step> {
        vec![
            Step::Link {
                path: self.root.join(CURRENT),
                target: Path::new("sets").join(number.to_string()),
            },
            Step::Sync(self.root.clone()),
        ]
    }

    /// The links that the workload's folders hold, and the removal of those to files that are no more.
    /// Those of `changed` files are put in place anew: the link that decided lies elsewhere, and a program
    /// that watches its folder would see nothing.
    fn link_steps<'a>(
        &self,
        paths: impl Iterator<Item = &'a Path>,
        changed: &[String],
    ) -> Result<Vec<Step>, FilesError> {
        let dirs = self.root.join("dirs");
        let mut wanted: BTreeMap<PathBuf, (PathBuf, bool)> = BTreeMap::new();
        for path in paths {
            let place = self.place(path)?;
            let target = self.root.join(CURRENT).join(&place);
            let is_changed = changed.iter().any(|changed| Path::new(changed) == path);
            wanted.insert(dirs.join(&place), (target, is_changed));
        }
        let mut steps = Vec::new();
        for index in 0..self.folders.len() {
            let folder = dirs.join(index.to_string());
            steps.push(Step::Folder(folder.clone()));
            let mut moved = false;
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                // Only links are ours; what the workload writes beside them is its own.
                let link = fs::read_link(entry.path());
                if link.is_ok_and(|to| to.starts_with(&self.root))
                    && !wanted.contains_key(&entry.path())
                {
                    steps.push(Step::Remove(entry.path()));
                    moved = true;
                }
            }
            let here = wanted.iter().filter(|(path, _)| path.starts_with(&folder));
            for (path, (target, is_changed)) in here {
                if *is_changed || fs::read_link(path).ok().as_ref() != Some(target) {
                    steps.push(Step::Link {
                        path: path.clone(),
                        target: target.clone(),
                    });
                    moved = true;
                }
            }
            if moved {
                steps.push(Step::Sync(folder));
            }
        }
        Ok(steps)
    }

    /// Removes sets beyond the newest few; the present one always stays.
    fn forget(&mut self) {
        self.kept.sort_unstable();
        let excess = self.kept.len().saturating_sub(limits::SETS_KEPT);
        let current = self.current();
        let gone: Vec<u64> = self
            .kept
            .iter()
            .copied()
            .filter(|number| Some(*number) != current)
            .take(excess)
            .collect();
        for number in gone {
            if remove(&self.set_folder(number)).is_ok() {
                self.kept.retain(|kept| *kept != number);
            }
        }
    }
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Step { act, path, source }
}

/// Removes a folder or file that may not be there.
fn remove(path: &Path) -> Result<(), FilesError> {
    let removed = if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
