//! The plan of a container's root: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::{Entry, Host, Step};
use crate::entry::{EtcFiles, Mount};

/// As many links in one path as Linux follows.
const MAX_LINKS: usize = 40;

/// A container's mounts cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not an absolute path without `..`.
    #[error("{0} is not an absolute path without `..`")]
    NotAbsolute(PathBuf),
    /// Over the root, or over what every container has of its own.
    #[error("nothing can be mounted at {0}")]
    Reserved(PathBuf),
    /// Two mounts want the same path.
    #[error("two mounts have the same target {0}")]
    Twice(PathBuf),
    /// The source is not there.
    #[error("the source {source_path} of the mount at {target} does not exist")]
    NoSource {
        /// The source.
        source_path: PathBuf,
        /// The target.
        target: PathBuf,
    },
    /// A folder over a file, or a file over a folder.
    #[error("{target} is a {found}, but its mount is a {wanted}")]
    Kind {
        /// The target.
        target: PathBuf,
        /// What is there.
        found: &'static str,
        /// What should be mounted.
        wanted: &'static str,
    },
    /// On the way to the target lies a file.
    #[error("{target} cannot be reached: {at} is not a folder")]
    Blocked {
        /// The target.
        target: PathBuf,
        /// What lies in the way.
        at: PathBuf,
    },
    /// Links that lead in a circle, or a link inside another mount's source.
    #[error("{target} cannot be reached: the link {at} is not followed")]
    Link {
        /// The target.
        target: PathBuf,
        /// The link.
        at: PathBuf,
    },
}

/// What should be at a target.
#[derive(Debug, Clone)]
enum Wanted {
    Bind {
        source: PathBuf,
        directory: bool,
        read_only: bool,
    },
    Text(String),
}

impl Wanted {
    fn is_directory(&self) -> bool {
        matches!(
            self,
            Self::Bind {
                directory: true,
                ..
            }
        )
    }
}

/// Plans the root of a container.
///
/// *Guarantees*: each target is mounted exactly once, after every target that lies above it, and
/// nothing is put over it or above it afterwards. `kept` are paths that must be seen as on this
/// machine: when one of them is under `/tmp`, the container shares `/tmp`; otherwise it has its own.
pub fn plan(
    host: &dyn Host,
    mounts: &[Mount],
    etc: &EtcFiles,
    kept: &[PathBuf],
) -> Result<Vec<Step>, PlanError> {
    let mut planner = Planner {
        host,
        private_tmp: true,
        steps: Vec::new(),
    };
    for path in kept {
        let really = planner.resolve(path, &Targets::new(), false)?;
        if path.starts_with("/tmp") || really.starts_with("/tmp") {
            planner.private_tmp = false;
        }
    }
    let targets = planner.targets(mounts, etc)?;
    planner.root();
    planner.mirrors(&targets)?;
    planner.mount(&targets)?;
    Ok(planner.steps)
}

struct Planner<'a> {
    host: &'a dyn Host,
    private_tmp: bool,
    steps: Vec<Step>,
}

/// By target; a path sorts before the paths below it.
type Targets = BTreeMap<PathBuf, Wanted>;

impl Planner<'_> {
    fn targets(&self, mounts: &[Mount], etc: &EtcFiles) -> Result<Targets, PlanError> {
        // Shallow ones first, so that a deeper one knows what it lies in.
        let mut ordered: Vec<&Mount> = mounts.iter().collect();
        ordered.sort_by_key(|mount| mount.target.components().count());
        let mut targets = Targets::new();
        for mount in ordered {
            let source = self.resolve(&mount.source, &Targets::new(), false)?;
            let directory = match self.host.entry(&source) {
                Some(Entry::Directory) => true,
                Some(_) => false,
                None => {
                    return Err(PlanError::NoSource {
                        source_path: mount.source.clone(),
                        target: mount.target.clone(),
                    });
                }
            };
            let target = self.resolve(&mount.target, &targets, true)?;
            refuse_reserved(&target, &mount.target)?;
            let wanted = Wanted::Bind {
                source,
                directory,
                read_only: mount.read_only,
            };
            if targets.insert(target, wanted).is_some() {
                return Err(PlanError::Twice(mount.target.clone()));
            }
        }
        for (name, text) in [
            ("resolv.conf", &etc.resolv_conf),
            ("hosts", &etc.hosts),
            ("hostname", &etc.hostname),
        ] {
            let target = self.resolve(&Path::new("/etc").join(name), &targets, true)?;
            refuse_reserved(&target, &target)?;
            // A mount of the container's own wins.
            targets
                .entry(target)
                .or_insert_with(|| Wanted::Text(text.clone()));
        }
        Ok(targets)
    }

    /// Follows the links of this machine in an absolute path. Below one of `targets` it is taken as
    /// it is; below a private `/tmp` as well when it is a path of the container.
    fn resolve(
        &self,
        path: &Path,
        targets: &Targets,
        in_container: bool,
    ) -> Result<PathBuf, PlanError> {
        let mut rest: Vec<PathBuf> = parts(path)?;
        rest.reverse();
        let mut done = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = rest.pop() {
            let here = done.join(&part);
            let own = in_container && self.is_own(&here, targets);
            match if own { None } else { self.host.entry(&here) } {
                Some(Entry::Link(to)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(PlanError::Link {
                            target: path.to_path_buf(),
                            at: here,
                        });
                    }
                    let mut base = if to.is_absolute() {
                        PathBuf::from("/")
                    } else {
                        done.clone()
                    };
                    // `..` in a link is relative to where the link really is.
                    for component in to.components() {
                        match component {
                            Component::ParentDir => {
                                base.pop();
                            }
                            Component::Normal(name) => base.push(name),
                            _ => {}
                        }
                    }
                    let followed = parts(&base)?;
                    rest.extend(followed.into_iter().rev());
                    done = PathBuf::from("/");
                }
                _ => done = here,
            }
        }
        Ok(done)
    }

    /// Whether a path of the container has nothing to do with this machine's same path.
    fn is_own(&self, path: &Path, targets: &Targets) -> bool {
        (self.private_tmp && path.starts_with("/tmp"))
            || path.ancestors().any(|above| targets.contains_key(above))
    }

    /// The machine's top-level entries in an empty root.
    fn root(&mut self) {
        let root = Path::new("/");
        let mut names = self.host.names(root);
        names.sort();
        for name in names {
            let at = root.join(name);
            if at == Path::new("/proc") || (at == Path::new("/tmp") && self.private_tmp) {
                continue;
            }
            self.copy(&at);
        }
        self.steps.push(Step::Directory { at: "/proc".into() });
        self.steps.push(Step::Processes { at: "/proc".into() });
        if self.private_tmp {
            self.steps.push(Step::Directory { at: "/tmp".into() });
            self.steps.push(Step::Memory {
                at: "/tmp".into(),
                shared: true,
            });
        }
    }

    /// One entry of this machine at its own path, in a folder in memory.
    fn copy(&mut self, at: &Path) {
        let at = at.to_path_buf();
        match self.host.entry(&at) {
            Some(Entry::Link(to)) => return self.steps.push(Step::Link { at, to }),
            Some(Entry::Directory) => self.steps.push(Step::Directory { at: at.clone() }),
            Some(Entry::File) => self.steps.push(Step::File { at: at.clone() }),
            None => return,
        }
        self.steps.push(Step::Bind {
            source: at.clone(),
            at,
            read_only: false,
            required: false,
        });
    }

    /// Puts a copy in memory over each folder of this machine in which a mount point is missing,
    /// and makes the mount points that belong in memory.
    fn mirrors(&mut self, targets: &Targets) -> Result<(), PlanError> {
        // (the folder that exists, the target that does not)
        let mut missing: Vec<(PathBuf, &Path, bool)> = Vec::new();
        for (target, wanted) in targets {
            let inside_another = target
                .ancestors()
                .skip(1)
                .any(|above| targets.contains_key(above));
            if inside_another {
                continue;
            }
            let directory = wanted.is_directory();
            if self.private_tmp && target.starts_with("/tmp") {
                if target == Path::new("/tmp") {
                    check_kind(target, true, directory)?;
                } else {
                    missing.push((PathBuf::from("/tmp"), target, directory));
                }
                continue;
            }
            match self.deepest(target)? {
                (_, Some(found)) => check_kind(target, found == Entry::Directory, directory)?,
                (deepest, None) => missing.push((deepest, target, directory)),
            }
        }
        // All copies before all mount points, the outer before the inner: a copy hides what was
        // made under it before.
        let copied: BTreeSet<&PathBuf> = missing.iter().map(|(deepest, ..)| deepest).collect();
        for folder in copied {
            let in_memory =
                folder == Path::new("/") || (self.private_tmp && folder == Path::new("/tmp"));
            if !in_memory {
                self.mirror(folder);
            }
        }
        let mut made = BTreeSet::new();
        for (deepest, target, directory) in &missing {
            self.make_missing(deepest, target, *directory, &mut made);
        }
        Ok(())
    }

    /// The deepest folder of this machine on the way to a target, and what the target itself is.
    fn deepest(&self, target: &Path) -> Result<(PathBuf, Option<Entry>), PlanError> {
        let mut deepest = PathBuf::from("/");
        for part in parts(target)? {
            let here = deepest.join(part);
            let entry = self.host.entry(&here);
            if here == target {
                return Ok((deepest, entry));
            }
            match entry {
                Some(Entry::Directory) => deepest = here,
                Some(_) => {
                    return Err(PlanError::Blocked {
                        target: target.to_path_buf(),
                        at: here,
                    });
                }
                None => break,
            }
        }
        Ok((deepest, None))
    }

    fn mirror(&mut self, folder: &Path) {
        self.steps.push(Step::Memory {
            at: folder.to_path_buf(),
            shared: false,
        });
        let mut names = self.host.names(folder);
        names.sort();
        for name in names {
            self.copy(&folder.join(name));
        }
    }

    /// The folders between a folder in memory and a target, and the target itself.
    fn make_missing(
        &mut self,
        from: &Path,
        target: &Path,
        directory: bool,
        made: &mut BTreeSet<PathBuf>,
    ) {
        let mut missing: Vec<&Path> = target
            .ancestors()
            .take_while(|path| *path != from)
            .collect();
        missing.reverse();
        for path in missing {
            if !made.insert(path.to_path_buf()) {
                continue;
            }
            let at = path.to_path_buf();
            self.steps.push(if path != target || directory {
                Step::Directory { at }
            } else {
                Step::File { at }
            });
        }
    }

    /// The mounts themselves, those above before those below.
    fn mount(&mut self, targets: &Targets) -> Result<(), PlanError> {
        for (target, wanted) in targets {
            let above = target
                .ancestors()
                .skip(1)
                .find_map(|above| Some((above, targets.get(above)?)));
            if let Some((above, holder)) = above {
                self.mount_point_inside(target, wanted, above, holder)?;
            }
            self.steps.push(match wanted {
                Wanted::Bind {
                    source, read_only, ..
                } => Step::Bind {
                    source: source.clone(),
                    at: target.clone(),
                    read_only: *read_only,
                    required: true,
                },
                Wanted::Text(text) => Step::Text {
                    at: target.clone(),
                    text: text.clone(),
                },
            });
        }
        Ok(())
    }

    /// Sees to it that a target inside another mount exists in that mount's source.
    fn mount_point_inside(
        &mut self,
        target: &Path,
        wanted: &Wanted,
        above: &Path,
        holder: &Wanted,
    ) -> Result<(), PlanError> {
        let blocked = |at: &Path| PlanError::Blocked {
            target: target.to_path_buf(),
            at: at.to_path_buf(),
        };
        let Wanted::Bind {
            source,
            directory: true,
            ..
        } = holder
        else {
            return Err(blocked(above));
        };
        let inside = target.strip_prefix(above).unwrap_or(target);
        let whole = source.join(inside);
        let mut here = source.clone();
        for part in inside {
            here.push(part);
            let last = here == whole;
            match self.host.entry(&here) {
                Some(Entry::Link(_)) => {
                    return Err(PlanError::Link {
                        target: target.to_path_buf(),
                        at: here,
                    });
                }
                Some(entry) if last => {
                    check_kind(target, entry == Entry::Directory, wanted.is_directory())?;
                }
                Some(Entry::Directory) => {}
                Some(Entry::File) => return Err(blocked(&here)),
                None => {
                    self.steps.push(Step::MountPoint {
                        source: whole,
                        directory: wanted.is_directory(),
                    });
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The names in an absolute path.
fn parts(path: &Path) -> Result<Vec<PathBuf>, PlanError> {
    let refused = || PlanError::NotAbsolute(path.to_path_buf());
    if !path.is_absolute() {
        return Err(refused());
    }
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push(PathBuf::from(name)),
            Component::ParentDir | Component::Prefix(_) => return Err(refused()),
        }
    }
    Ok(names)
}

fn refuse_reserved(target: &Path, named: &Path) -> Result<(), PlanError> {
    if target == Path::new("/") || target.starts_with("/proc") {
        return Err(PlanError::Reserved(named.to_path_buf()));
    }
    Ok(())
}

fn check_kind(target: &Path, found: bool, wanted: bool) -> Result<(), PlanError> {
    let name = |directory| if directory { "folder" } else { "file" };
    if found == wanted {
        return Ok(());
    }
    Err(PlanError::Kind {
        target: target.to_path_buf(),
        found: name(found),
        wanted: name(wanted),
    })
}

#[cfg(test)]
mod tests;
