//! Reads as much of a `Cargo.toml` as the rules need: its sections and their keys, line by line.

use std::fs;
use std::path::{Path, PathBuf};

use super::Violation;
use crate::Failure;

/// A `Cargo.toml`, as far as the rules look at it.
#[derive(Debug, Clone, Default)]
pub(super) struct Manifest {
    /// Relative to the workspace's root.
    pub(super) file: PathBuf,
    /// Every `key = value` line.
    pub(super) entries: Vec<Entry>,
}

/// One `key = value` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The section's name without brackets; empty before the first.
    pub(super) section: String,
    /// The key up to the first dot: `outrigger-peers` of `outrigger-peers.workspace = true`.
    pub(super) key: String,
    /// The rest of the key: `workspace` of `outrigger-peers.workspace = true`.
    pub(super) subkey: String,
    /// The value without its comment.
    pub(super) value: String,
    /// The comment behind the value; empty where there is none.
    pub(super) comment: String,
    /// From 1.
    pub(super) line: usize,
}

/// When a dependency is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Manifest {
    /// Reads a manifest; `file` is relative to the root.
    pub(super) fn read(root: &Path, file: &Path) -> Result<Self, Failure> {
        let path = root.join(file);
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
        Ok(Self::parse(file, &text))
    }

    /// Takes a manifest apart. Values over several lines are kept by their first line, which is all
    /// that the rules look at.
    pub(super) fn parse(file: &Path, text: &str) -> Self {
        let mut section = String::new();
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                name.trim_matches(['[', ']']).clone_into(&mut section);
                continue;
            }
            let Some((key, rest)) = line
                .split_once('=')
                .filter(|_| !line.starts_with(['#', '"']))
            else {
                continue;
            };
            let (value, comment) = split_comment(rest);
            let (key, subkey) = key.trim().split_once('.').unwrap_or((key.trim(), ""));
            entries.push(Entry {
                section: section.clone(),
                key: key.trim_matches('"').to_owned(),
                subkey: subkey.to_owned(),
                value: value.trim().to_owned(),
                comment: comment.trim().to_owned(),
                line: index + 1,
            });
        }
        Self {
            file: file.to_owned(),
            entries,
        }
    }

    /// The package's name; empty for a virtual workspace.
    pub(super) fn package(&self) -> &str {
        self.value("package", "name")
            .map_or("", |value| value.trim_matches('"'))
    }

    /// What the package depends on by itself.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = (Kind, &Entry)> {
        self.entries
            .iter()
            .filter_map(|entry| kind(&entry.section).map(|kind| (kind, entry)))
    }

    fn value(&self, section: &str, key: &str) -> Option<&str> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.section == section && entry.key == key)?;
        Some(&entry.value)
    }
}

/// Which dependencies a section lists, target-specific ones included.
fn kind(section: &str) -> Option<Kind> {
    let last = section.rsplit('.').next().unwrap_or(section);
    match last {
        "dependencies" if !section.starts_with("workspace") => Some(Kind::Normal),
        "build-dependencies" => Some(Kind::Build),
        "dev-dependencies" => Some(Kind::Dev),
        _ => None,
    }
}

/// The value and the comment behind it; a `#` within quotes is part of the value.
fn split_comment(rest: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, character) in rest.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '#' if !quoted => return (&rest[..at], rest[at + 1..].trim_start_matches('#')),
            _ => {}
        }
    }
    (rest, "")
}

/// The manifests of all members, as the root manifest lists them.
pub(super) fn members(root: &Path) -> Result<Vec<Manifest>, Failure> {
    let path = root.join("Cargo.toml");
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    member_folders(&text)
        .iter()
        .map(|folder| Manifest::read(root, &Path::new(folder).join("Cargo.toml")))
        .collect()
}

/// The folders of `members = [ … ]`, one a line.
fn member_folders(text: &str) -> Vec<String> {
    text.lines()
        .skip_while(|line| !line.starts_with("members = ["))
        .skip(1)
        .take_while(|line| !line.starts_with(']'))
        .filter_map(|line| line.split('"').nth(1).map(str::to_owned))
        .collect()
}

/// Every dependency of the workspace says why it is there.
pub(super) fn check_workspace(manifest: &Manifest) -> Vec<Violation> {
    manifest
        .entries
        .iter()
        .filter(|entry| entry.section == "workspace.dependencies")
        .filter(|entry| !entry.key.starts_with("outrigger-") && entry.comment.is_empty())
        .map(|entry| {
            Violation::new(
                &manifest.file,
                entry.line,
                format!(
                    "`{}` does not say why it is here: add a comment behind it",
                    entry.key
                ),
            )
        })
        .collect()
}

/// Every member takes its lints and its dependencies' versions from the workspace.
pub(super) fn check_member(manifest: &Manifest) -> Vec<Violation> {
    let mut found = Vec::new();
    if manifest.value("lints", "workspace") != Some("true") {
        found.push(Violation::new(
            &manifest.file,
            0,
            "add `[lints]` with `workspace = true`: the lints are the same everywhere",
        ));
    }
    for (_, entry) in manifest.dependencies() {
        if entry.subkey != "workspace" && !entry.value.contains("workspace = true") {
            let message = format!(
                "take `{}` from the workspace: `{}.workspace = true`",
                entry.key, entry.key
            );
            found.push(Violation::new(&manifest.file, entry.line, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "host/x/Cargo.toml";

    fn messages(found: &[Violation]) -> Vec<&str> {
        found
            .iter()
            .map(|violation| violation.message.as_str())
            .collect()
    }

    #[test]
    fn dependencies_are_found_with_their_kind() {
        let text = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\n[target.'cfg(unix)'.dependencies]\nb.workspace = true\n\
                    [dev-dependencies]\nc = { workspace = true, features = [\"d\"] }\n[build-dependencies]\ne.workspace = true\n";
        let manifest = Manifest::parse(Path::new(FILE), text);
        let found: Vec<_> = manifest
            .dependencies()
            .map(|(kind, entry)| (kind, entry.key.as_str()))
            .collect();
        assert_eq!(manifest.package(), "x");
        assert_eq!(
            found,
            [
                (Kind::Normal, "a"),
                (Kind::Normal, "b"),
                (Kind::Dev, "c"),
                (Kind::Build, "e")
            ]
        );
    }

    #[test]
    fn a_member_with_a_version_of_its_own_is_found() {
        let text = "[dependencies]\na = \"1\"\n[lints]\nworkspace = true\n";
        let found = check_member(&Manifest::parse(Path::new(FILE), text));
        assert_eq!(
            messages(&found),
            ["take `a` from the workspace: `a.workspace = true`"]
        );
        assert_eq!(found[0].line, 2);
    }

    #[test]
    fn a_member_with_lints_of_its_own_is_found() {
        let found = check_member(&Manifest::parse(
            Path::new(FILE),
            "[lints.clippy]\ndbg_macro = \"warn\"\n",
        ));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found_and_a_hash_in_quotes_is_no_reason() {
        let text = "[workspace.dependencies]\noutrigger-x = { path = \"host/x\" }\na = \"1\" # why\nb = { git = \"c#d\" }\n";
        let found = check_workspace(&Manifest::parse(Path::new("Cargo.toml"), text));
        assert_eq!(
            messages(&found),
            ["`b` does not say why it is here: add a comment behind it"]
        );
    }

    #[test]
    fn members_are_read_in_their_order() {
        let text = "[workspace]\nmembers = [\n    \"host/a\", # one\n    \"host/b\",\n]\ndefault-members = [\"host/a\"]\n";
        assert_eq!(member_folders(text), ["host/a", "host/b"]);
    }
}
