//! Files from objects, swapped as one, as the kubelet's `AtomicWriter` does it.
//!
//! A folder holds `..<time>/` with the files, the link `..data` to it, and a link for each file's
//! first part into `..data`. New content is a new `..<time>/` and one rename of `..data`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::log_lines::now_unix_ms;
use crate::plan::Projection;

/// Files could not be put in their place.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct ProjectError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, ProjectError> {
    result.map_err(|source| ProjectError {
        path: path.to_path_buf(),
        source,
    })
}

/// Puts the files in their place; true when they were others before.
///
/// Blocks for as long as the disk takes.
pub fn project(projection: &Projection) -> Result<bool, ProjectError> {
    let folder = &projection.folder;
    at(folder, fs::create_dir_all(folder))?;
    let data = folder.join("..data");
    let old = fs::read_link(&data).ok();
    if let Some(old) = &old
        && same(&folder.join(old), projection)
    {
        return Ok(false);
    }
    // Of two swaps within one millisecond each needs its own name.
    let fresh = (0_u32..1000)
        .map(|try_| folder.join(format!("..{}_{try_}", now_unix_ms())))
        .find(|path| !path.exists())
        .unwrap_or_else(|| folder.join("..new"));
    at(&fresh, fs::create_dir(&fresh))?;
    at(
        &fresh,
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)),
    )?;
    for (path, content) in &projection.files {
        let file = fresh.join(path);
        if let Some(parent) = file.parent() {
            at(parent, fs::create_dir_all(parent))?;
        }
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut handle| io::Write::write_all(&mut handle, &content.bytes))
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(content.mode)));
        at(&file, written)?;
    }
    let name = fresh.file_name().map(OsString::from).unwrap_or_default();
    let next = folder.join("..data_tmp");
    // One that a crash left behind.
    let _ignored = fs::remove_file(&next);
    at(&next, symlink(&name, &next))?;
    at(&data, fs::rename(&next, &data))?;

    let first_parts: BTreeSet<PathBuf> = projection
        .files
        .keys()
        .filter_map(|path| {
            path.components()
                .next()
                .map(|part| PathBuf::from(part.as_os_str()))
        })
        .collect();
    for part in &first_parts {
        let link = folder.join(part);
        let target = Path::new("..data").join(part);
        if fs::read_link(&link).ok().as_deref() != Some(&target) {
            // Something else in its place would hide the file.
            let _ignored = fs::remove_file(&link);
            at(&link, symlink(&target, &link))?;
        }
    }
    for entry in at(folder, fs::read_dir(folder))?.flatten() {
        let name = entry.file_name();
        let path = entry.path();
        let hidden = name.to_string_lossy().starts_with("..");
        let stale_link = !hidden
            && !first_parts.contains(Path::new(&name))
            && fs::read_link(&path).is_ok_and(|target| target.starts_with("..data"));
        if stale_link {
            at(&path, fs::remove_file(&path))?;
        } else if hidden && path != data && path != fresh && path.is_dir() {
            // What cannot be removed now is removed by the next swap.
            let _ignored = fs::remove_dir_all(&path);
        }
    }
    Ok(true)
}

/// Whether a folder holds exactly these files.
fn same(folder: &Path, projection: &Projection) -> bool {
    let mut count = 0;
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            return false;
        };
        for entry in entries.flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                count += 1;
            }
        }
    }
    count == projection.files.len()
        && projection.files.iter().all(|(path, content)| {
            let file = folder.join(path);
            let mode = fs::metadata(&file).map(|metadata| metadata.permissions().mode() & 0o777);
            mode.is_ok_and(|mode| mode == content.mode)
                && fs::read(&file).is_ok_and(|bytes| bytes == content.bytes)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FileContent;

    fn projection(folder: &Path, files: &[(&str, &str, u32)]) -> Projection {
        Projection {
            folder: folder.to_path_buf(),
            files: files
                .iter()
                .map(|(path, text, mode)| {
                    let content = FileContent {
                        bytes: text.as_bytes().to_vec(),
                        mode: *mode,
                    };
                    (PathBuf::from(path), content)
                })
                .collect(),
        }
    }

    #[test]
    fn content_is_swapped_by_one_link_and_what_is_gone_disappears() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let first = projection(path, &[("a", "1", 0o644), ("b/c", "2", 0o400)]);
        assert!(project(&first).unwrap());
        assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(path.join("b/c")).unwrap(), "2");
        let mode = fs::metadata(path.join("b/c")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
        let before = fs::read_link(path.join("..data")).unwrap();
        assert!(!project(&first).unwrap(), "nothing changed");
        assert_eq!(fs::read_link(path.join("..data")).unwrap(), before);

        assert!(project(&projection(path, &[("a", "3", 0o644)])).unwrap());
        assert_ne!(fs::read_link(path.join("..data")).unwrap(), before);
        assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "3");
        assert!(!path.join("b").exists());
        assert!(!path.join(before).exists());
        let names: Vec<_> = fs::read_dir(path).unwrap().flatten().collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }
}
