//! `spec.files`: templates, paths, modes, what happens on a change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Convert, method, signal};
use crate::document::path;
use crate::structure::cut;
use crate::{File, FileFrom, Format, Method, OnChange, Owner, Syntax, defaults, raw};

/// Folders that hold much besides one file. A rendered file's folder becomes a mount that hides what
/// the image has there, so these are refused.
const SHARED_FOLDERS: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/run",
];

/// Folders within which nothing may be put: the kernel's, and the sidecar's own.
const FOREIGN_TREES: &[&str] = &["/proc", "/sys", "/dev", "/run/outrigger"];

impl Convert {
    pub(super) fn files(&mut self, files: Vec<raw::File>, has_plugin: bool) -> Vec<File> {
        let mut places: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut converted: Vec<File> = Vec::new();
        for (index, file) in files.into_iter().enumerate() {
            let at = path::item("spec.files", index);
            let file = self.file(&at, file, has_plugin);
            if file.path.as_os_str().is_empty() {
                converted.push(file);
                continue;
            }
            if let Some(first) = places.get(&file.path) {
                self.error(
                    path::key(&at, "path"),
                    format!("spec.files[{first}] has this path too"),
                    "give each file a path of its own",
                );
            }
            for (other, first) in &places {
                if file.path != *other
                    && (file.path.starts_with(other) || other.starts_with(&file.path))
                {
                    self.error(
                        path::key(&at, "path"),
                        format!(
                            "one of this and spec.files[{first}] is a file and a folder at once"
                        ),
                        "choose another path for one of the two",
                    );
                }
            }
            places.entry(file.path.clone()).or_insert(index);
            converted.push(file);
        }
        converted
    }

    fn file(&mut self, at: &str, file: raw::File, has_plugin: bool) -> File {
        let key = |key: &str| path::key(at, key);
        let from = match (file.template, file.from) {
            (Some(template), None) => {
                self.template(&key("template"), &template);
                FileFrom::Template(template)
            }
            (None, Some(raw::From::Plugin)) => {
                if !has_plugin {
                    self.error(
                        key("from"),
                        "there is no plugin that could render it",
                        "add spec.plugin, or name a template",
                    );
                }
                if file.syntax.is_some() {
                    self.warning(
                        key("syntax"),
                        "what the plugin renders is no template",
                        "remove the key",
                    );
                }
                FileFrom::Plugin
            }
            (Some(_), Some(_)) => {
                self.error(
                    key("from"),
                    "a file comes from a template or from the plugin, not from both",
                    "remove one of the two",
                );
                FileFrom::Plugin
            }
            (None, None) => {
                self.error(
                    at,
                    "nothing says where its content comes from",
                    "add `template:` with the template's name, or `from: plugin`",
                );
                FileFrom::Plugin
            }
        };
        let syntax = match file.syntax {
            Some(raw::Syntax::Jinja) | None => Syntax::Jinja,
            Some(raw::Syntax::Placeholders) => Syntax::Placeholders,
            Some(raw::Syntax::Env) => Syntax::Env,
            Some(raw::Syntax::Verbatim) => Syntax::Verbatim,
        };
        File {
            values: self.values(&key("values"), file.values, &from, syntax),
            from,
            path: self.file_path(&key("path"), file.path),
            syntax,
            format: match file.format {
                Some(raw::Format::Text) | None => Format::Text,
                Some(raw::Format::Yaml) => Format::Yaml,
                Some(raw::Format::Json) => Format::Json,
                Some(raw::Format::Toml) => Format::Toml,
                Some(raw::Format::Properties) => Format::Properties,
            },
            mode: self.mode(&key("mode"), file.mode),
            owner: file.owner.map(|owner| Owner {
                uid: owner.uid.unwrap_or_default(),
                gid: owner.gid.unwrap_or_default(),
            }),
            on_change: self.on_change(&key("on-change"), file.on_change),
        }
    }

    /// The file's own names, where its syntax has names.
    fn values(
        &mut self,
        at: &str,
        values: Option<BTreeMap<String, String>>,
        from: &FileFrom,
        syntax: Syntax,
    ) -> BTreeMap<String, String> {
        let Some(values) = values else {
            return BTreeMap::new();
        };
        let dashes = match (from, syntax) {
            (FileFrom::Plugin, _) => {
                self.error(
                    at,
                    "what the plugin renders is no template",
                    "remove the key, or name a template",
                );
                return BTreeMap::new();
            }
            (FileFrom::Template(_), Syntax::Jinja) => {
                self.error(
                    at,
                    "a Jinja template computes its own values",
                    "write them in the template, such as `{{ self.ordinal }}`; or add `syntax: env` for `${NAME}`, \
                     `syntax: placeholders` for `{NAME}`",
                );
                return BTreeMap::new();
            }
            (FileFrom::Template(_), Syntax::Verbatim) => {
                self.error(
                    at,
                    "a file that stays as it stands has no names",
                    "remove the key; or write `syntax: env` for `${NAME}`, `syntax: placeholders` for `{NAME}`",
                );
                return BTreeMap::new();
            }
            (FileFrom::Template(_), Syntax::Env) => false,
            (FileFrom::Template(_), Syntax::Placeholders) => true,
        };
        for name in values.keys() {
            let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            let goes_on = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || dashes && b == b'-');
            if !begins || !goes_on {
                let (what, dashes) = if dashes {
                    ("placeholder", ", dashes")
                } else {
                    ("variable", "")
                };
                self.error(
                    path::key(at, name),
                    format!("`{}` is not a {what}'s name", cut(name)),
                    format!(
                        "use letters, digits{dashes} and underscores, with a letter or an underscore at the start"
                    ),
                );
            }
        }
        values
    }

    /// A template's name is a key of a ConfigMap.
    fn template(&mut self, at: &str, name: &str) {
        let shown = cut(name);
        if name.contains('/') || name.starts_with("..") || name == "." {
            self.error(
                at,
                format!("`{shown}` is not the name of a template"),
                "templates are keys of one ConfigMap: they lie beside the profile and are named without a folder",
            );
        } else if name.is_empty()
            || name.len() > 253
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            self.error(
                at,
                format!("`{shown}` cannot be a key of a ConfigMap"),
                "use letters, digits, dashes, underscores and dots",
            );
        }
    }

    fn file_path(&mut self, at: &str, written: Option<String>) -> PathBuf {
        let Some(written) = written else {
            return PathBuf::new();
        };
        let shown = cut(&written);
        let before = self.findings.len();
        let segments = || written.split('/').skip(1);
        if !written.starts_with('/') {
            self.error(
                at,
                format!("the path `{shown}` is relative"),
                format!("write the whole path as the workload sees it, such as /etc/app/{shown}"),
            );
        } else if segments().any(|segment| segment == "..") {
            self.error(
                at,
                format!("the path `{shown}` goes up"),
                "write it without `..`",
            );
        } else if segments().any(|segment| segment.is_empty() || segment == ".") {
            let hint = if written.ends_with('/') {
                "add the file's name"
            } else {
                "write it without `.` and double slashes"
            };
            self.error(at, format!("the path `{shown}` has an empty part"), hint);
        } else if written.len() > 1024
            || segments().any(|segment| segment.len() > 255)
            || written.contains(|c: char| c.is_control() || c == ':')
        {
            self.error(
                at,
                format!("the path `{shown}` is not one that can be mounted"),
                "shorten it, without colons and control characters",
            );
        } else {
            let path = Path::new(&written);
            let folder = path.parent().unwrap_or(Path::new("/"));
            if let Some(tree) = FOREIGN_TREES.iter().find(|tree| path.starts_with(tree)) {
                self.error(
                    at,
                    format!("nothing can be put into {tree}"),
                    "choose another folder",
                );
            } else if SHARED_FOLDERS
                .iter()
                .any(|shared| Path::new(shared) == folder)
            {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.error(
                    at,
                    format!("its folder {} would be hidden: a rendered file's folder holds rendered files alone", folder.display()),
                    format!("choose a folder of its own, such as /etc/outrigger-files/{name}"),
                );
            }
        }
        if self.findings.len() > before {
            PathBuf::new()
        } else {
            PathBuf::from(written)
        }
    }

    fn mode(&mut self, at: &str, mode: Option<raw::Mode>) -> u32 {
        let Some(raw::Mode(text)) = mode else {
            return defaults::MODE;
        };
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        let octal =
            (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = u32::from_str_radix(digits, 8).ok().filter(|_| octal);
        let Some(bits) = bits else {
            self.error(
                at,
                format!("`{}` is not permission bits", cut(&text)),
                "write three octal digits with a zero before them, such as \"0640\"",
            );
            return defaults::MODE;
        };
        if bits > 0o777 {
            self.error(
                at,
                format!("{text} has special bits"),
                "write permission bits alone, such as \"0640\"",
            );
        } else if bits & 0o444 == 0 {
            self.warning(
                at,
                format!("with {text} nobody may read the file"),
                "write \"0640\" or \"0644\"",
            );
        } else if bits & 0o002 != 0 {
            self.warning(
                at,
                format!("with {text} everyone may write the file"),
                "write \"0644\", or \"0664\" for the group",
            );
        }
        bits
    }

    fn on_change(&mut self, at: &str, change: Option<raw::OnChange>) -> OnChange {
        let Some(change) = change else {
            return OnChange::None;
        };
        let key = |key: &str| path::key(at, key);
        // Without an action, which has been told, nothing can be said of the rest.
        let Some(action) = change.action else {
            return OnChange::None;
        };
        let given = [
            ("port", change.port.is_some(), raw::Action::Http),
            ("method", change.method.is_some(), raw::Action::Http),
            ("path", change.path.is_some(), raw::Action::Http),
            ("signal", change.signal.is_some(), raw::Action::Signal),
        ];
        for (name, is_given, its_action) in given {
            if is_given && action != its_action {
                let word = if its_action == raw::Action::Http {
                    "http"
                } else {
                    "signal"
                };
                self.error(
                    key(name),
                    format!("has a meaning for `action: {word}` alone"),
                    format!("remove it, or write action: {word}"),
                );
            }
        }
        match action {
            raw::Action::None => OnChange::None,
            raw::Action::Restart => OnChange::Restart,
            raw::Action::Signal => {
                let Some(which) = change.signal else {
                    self.error(key("signal"), "is missing", "add `signal: HUP` or another");
                    return OnChange::None;
                };
                OnChange::Signal(signal(which))
            }
            raw::Action::Http => {
                for (name, is_missing, hint) in [
                    (
                        "port",
                        change.port.is_none(),
                        "add `port:` with a port's name or number",
                    ),
                    (
                        "path",
                        change.path.is_none(),
                        "add `path:`, such as /-/reload",
                    ),
                ] {
                    if is_missing {
                        self.error(key(name), "is missing", hint);
                    }
                }
                OnChange::Http {
                    port: self.port(&key("port"), change.port),
                    method: change.method.map_or(Method::Post, method),
                    path: self.request_path(&key("path"), change.path, ""),
                }
            }
        }
    }
}
