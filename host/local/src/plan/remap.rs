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

    /// A text with each path at or below a mount changed, also within a command for a shell.
    pub(super) fn text(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut before = None;
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let target = (next == '/' && !before.is_some_and(ends_path))
                .then(|| self.target_at(rest))
                .flatten();
            let taken = if let Some(target) = target {
                result.push_str(&self.path(Path::new(target)).to_string_lossy());
                target.len()
            } else {
                result.push(next);
                next.len_utf8()
            };
            before = rest[..taken].chars().next_back();
            rest = &rest[taken..];
        }
        result
    }

    /// The mount with which a text begins.
    fn target_at(&self, text: &str) -> Option<&str> {
        self.targets
            .iter()
            .filter_map(|target| target.to_str())
            .filter(|target| *target != "/")
            .find(|target| {
                text.strip_prefix(target)
                    .is_some_and(|after| !after.starts_with(is_name))
            })
    }
}

/// Whether a character belongs to a file's name.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Whether a slash after this character goes on with a path, a URL or a variable.
fn ends_path(c: char) -> bool {
    is_name(c) || matches!(c, '/' | '}' | ')' | '*' | '~')
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
            (
                "echo x > /data/y; cat '/data'",
                "echo x > /s/rootfs/data/y; cat '/s/rootfs/data'",
            ),
            ("http://db/data", "http://db/data"),
            ("${HOME}/data:/data", "${HOME}/data:/s/rootfs/data"),
            ("./data ü/data", "./data ü/data"),
        ];
        for (text, expected) in table {
            assert_eq!(remap.text(text), expected);
        }
    }
}
