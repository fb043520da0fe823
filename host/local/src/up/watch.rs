//! Notices when the manifests, or the files behind a generator, have changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::manifest::{Manifests, in_folder};

/// Editors write in several steps.
const SETTLE: Duration = Duration::from_millis(150);
/// Where the kernel tells nothing (network folders, too many watches), this finds it.
const POLL: Duration = Duration::from_secs(5);

/// Watches files by their folders, since editors replace files, and folders whose manifests all count.
pub(super) struct Watch {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    digest: [u8; 32],
    told: mpsc::Receiver<()>,
    watcher: Option<notify::RecommendedWatcher>,
}

impl Watch {
    /// Begins with the files as they are.
    pub(super) fn new(manifests: &Manifests) -> Self {
        let (sender, told) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // One that waits already is enough.
                let _ignored = sender.try_send(());
            }
        });
        let mut watch = Self {
            files: BTreeSet::new(),
            folders: BTreeSet::new(),
            digest: [0; 32],
            told,
            watcher: watcher.ok(),
        };
        watch.follow(manifests);
        watch
    }

    /// Looks at the files of these manifests from now on.
    pub(super) fn follow(&mut self, manifests: &Manifests) {
        let old = self.watched();
        self.files.clone_from(&manifests.files);
        self.folders.clone_from(&manifests.folders);
        let new = self.watched();
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
        self.digest = self.digest();
    }

    fn watched(&self) -> BTreeSet<PathBuf> {
        let parents = self.files.iter().filter_map(|file| file.parent());
        parents
            .map(Path::to_path_buf)
            .chain(self.folders.iter().cloned())
            .collect()
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
            let now = self.digest();
            if now != self.digest {
                self.digest = now;
                return;
            }
        }
    }

    fn digest(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        let listed = self
            .folders
            .iter()
            .filter_map(|folder| in_folder(folder).ok());
        for file in self.files.iter().cloned().chain(listed.flatten()) {
            all.update(file.as_os_str().as_encoded_bytes());
            match std::fs::read(file) {
                Ok(bytes) => all.update(Sha256::digest(bytes)),
                Err(_) => all.update([0]),
            }
        }
        all.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::manifest;

    /// A file that comes, not one that changes: nothing but its folder can tell.
    async fn notices(existing: &[(&str, &str)], comes: (&str, &str)) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in existing {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut watch = Watch::new(&manifest::read(&[folder.path().to_path_buf()]));
        fs::write(folder.path().join(comes.0), comes.1).unwrap();
        tokio::time::timeout(POLL * 4, watch.changed())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_manifest_that_comes_into_a_folder_is_noticed() {
        notices(
            &[("a.yaml", "kind: Service")],
            ("b.yaml", "kind: ConfigMap"),
        )
        .await;
    }

    #[tokio::test]
    async fn a_file_that_a_generator_names_before_it_is_there_is_noticed_when_it_comes() {
        let generator = "configMapGenerator: [{name: conf, files: [new.conf]}]\n";
        notices(&[("kustomization.yaml", generator)], ("new.conf", "a")).await;
    }

    #[tokio::test]
    async fn a_local_yaml_that_comes_beside_a_kustomization_is_noticed() {
        let text = "resources: []\n";
        notices(
            &[("kustomization.yaml", text)],
            ("local.yaml", "kind: Local"),
        )
        .await;
    }
}
