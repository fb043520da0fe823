//! Plain mode: paths of the container into paths of this machine.

use std::path::{Path, PathBuf};

/// The folder that stands for `/`, and the mounts below it.
#[derive(Debug, Clone, Default)]
pub(super) struct Remap {
    root: PathBuf,
    /// Longest first.
    targets: Vec<PathBuf>,
}

impl Remap {
    pub(super) fn new(root: PathBuf, mut targets: Vec<PathBuf>) -> Self {
        targets.sort_by_key(|target| std::cmp::Reverse(target.as_os_str().len()));
        Self { root, targets }
    }

    /// Where a path of the container is.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A text, changed where it is a path at or below a mount. In `--option=/path` the part after
    /// the sign is looked at too.
    pub(super) fn text(&self, text: &str) -> String {
        if let Some(changed) = self.if_mounted(text) {
            return changed;
        }
        if let Some((option, value)) = text.split_once('=')
            && let Some(changed) = self.if_mounted(value)
        {
            return format!("{option}={changed}");
        }
        text.to_owned()
    }

    fn if_mounted(&self, text: &str) -> Option<String> {
        let path = Path::new(text);
        self.targets
            .iter()
            .any(|target| target != Path::new("/") && path.starts_with(target))
            .then(|| self.path(path).to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_at_or_below_a_mount_are_changed() {
        let remap = Remap::new("/s/rootfs".into(), vec!["/data".into(), "/etc/db".into()]);
        let table = [
            ("/data", "/s/rootfs/data"),
            ("/data/x", "/s/rootfs/data/x"),
            ("/database", "/database"),
            (
                "--config=/etc/db/a.yaml",
                "--config=/s/rootfs/etc/db/a.yaml",
            ),
            ("/etc/hosts", "/etc/hosts"),
            ("plain", "plain"),
        ];
        for (text, expected) in table {
            assert_eq!(remap.text(text), expected);
        }
    }
}
