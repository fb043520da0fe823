//! Notices when the manifests, or the files behind a generator, have changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

/// Editors write in several steps.
const SETTLE: Duration = Duration::from_millis(150);
/// Where the kernel tells nothing (network folders, too many watches), this finds it.
const POLL: Duration = Duration::from_secs(5);

/// Watches files by their folders, since editors replace files.
pub(super) struct Watch {
    files: BTreeSet<PathBuf>,
    digest: [u8; 32],
    told: mpsc::Receiver<()>,
    watcher: Option<notify::RecommendedWatcher>,
}

impl Watch {
    /// Begins with the files as they are.
    pub(super) fn new(files: BTreeSet<PathBuf>) -> Self {
        let (sender, told) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // One that waits already is enough.
                let _ignored = sender.try_send(());
            }
        });
        let mut watch = Self {
            digest: digest(&files),
            files: BTreeSet::new(),
            told,
            watcher: watcher.ok(),
        };
        watch.follow(files);
        watch
    }

    /// Looks at these files from now on.
    pub(super) fn follow(&mut self, files: BTreeSet<PathBuf>) {
        let folders = |files: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
            files
                .iter()
                .filter_map(|file| file.parent().map(Path::to_path_buf))
                .collect()
        };
        let (old, new) = (folders(&self.files), folders(&files));
        if let Some(watcher) = &mut self.watcher {
            for folder in old.difference(&new) {
                // A folder that is gone is not watched any more.
                let _ignored = watcher.unwatch(folder);
            }
            for folder in new.difference(&old) {
                // The slow look finds what is not told.
                let _ignored = watcher.watch(folder, RecursiveMode::NonRecursive);
            }
        }
        self.files = files;
        self.digest = digest(&self.files);
    }

    /// Waits for other content.
    ///
    /// # Cancel safety
    /// Safe: a change that was not told yet is found again.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::select! {
                told = self.told.recv() => {
                    if told.is_none() {
                        tokio::time::sleep(POLL).await;
                    }
                    tokio::time::sleep(SETTLE).await;
                }
                () = tokio::time::sleep(POLL) => {}
            }
            let now = digest(&self.files);
            if now != self.digest {
                self.digest = now;
                return;
            }
        }
    }
}

fn digest(files: &BTreeSet<PathBuf>) -> [u8; 32] {
    let mut all = Sha256::new();
    for file in files {
        all.update(file.as_os_str().as_encoded_bytes());
        match std::fs::read(file) {
            Ok(bytes) => all.update(Sha256::digest(bytes)),
            Err(_) => all.update([0]),
        }
    }
    all.finalize().into()
}
