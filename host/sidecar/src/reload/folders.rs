//! Tells that something moved in some folders. What moved is for the reader of the files to find out:
//! contents decide, events only save waiting for the next look.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Watches folders, not files: the kubelet swaps the link `..data`, editors rename a new file over the
/// old one, and neither touches the file that was there.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    /// None where the kernel gives no more watches; the caller's slow look is the net for that.
    watcher: Option<RecommendedWatcher>,
    moved: Arc<Notify>,
    folders: BTreeSet<PathBuf>,
}

impl FolderWatch {
    /// Watches nothing yet.
    pub(crate) fn new() -> Self {
        let moved = Arc::new(Notify::new());
        let signal = Arc::clone(&moved);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A fault (an overflow of the queue) may hide a change, so it counts as one.
            if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
                signal.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(%error, "File changes are only seen by looking now and then");
            })
            .ok();
        Self {
            watcher,
            moved,
            folders: BTreeSet::new(),
        }
    }

    /// Watches exactly these. A folder that does not exist (yet) is tried again with the next call.
    /// True when a watch began: what moved before that is not told, so the caller looks again.
    pub(crate) fn set<'a>(&mut self, folders: impl IntoIterator<Item = &'a Path>) -> bool {
        let wanted: BTreeSet<PathBuf> = folders.into_iter().map(Path::to_owned).collect();
        let mut began = false;
        let Some(watcher) = &mut self.watcher else {
            return began;
        };
        for gone in self.folders.difference(&wanted) {
            // It may have vanished already, which ends the watch just as well.
            drop(watcher.unwatch(gone));
        }
        self.folders.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if !self.folders.contains(&folder)
                && watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                began |= self.folders.insert(folder);
            }
        }
        began
    }

    /// Waits until something moved since the last time.
    ///
    /// # Cancel safety
    /// Safe: a movement that was not waited for is told to the next caller.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_told(watch: &FolderWatch) -> bool {
        tokio::time::timeout(Duration::from_secs(5), watch.moved())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn a_kubelets_swap_and_an_editors_rename_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("..1")).unwrap();
        std::os::unix::fs::symlink("..1", root.join("..data")).unwrap();
        let mut watch = FolderWatch::new();
        watch.set([root]);
        std::os::unix::fs::symlink("..1", root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert!(is_told(&watch).await);
        std::fs::write(root.join(".file.swp"), "new").unwrap();
        std::fs::rename(root.join(".file.swp"), root.join("file")).unwrap();
        assert!(is_told(&watch).await);
    }

    #[tokio::test]
    async fn a_folder_that_comes_later_is_watched_from_the_next_call_on() {
        let folder = tempfile::tempdir().unwrap();
        let later = folder.path().join("later");
        let mut watch = FolderWatch::new();
        assert!(!watch.set([later.as_path()]));
        std::fs::create_dir(&later).unwrap();
        assert!(watch.set([later.as_path()]));
        std::fs::write(later.join("file"), "x").unwrap();
        assert!(is_told(&watch).await);
    }
}
