//! What is wrong with a rendered configuration before AIStore ends over it, or takes it as it stands. Pure.

use outrigger_plugin_sdk::inspect::{self, Inspection};
use outrigger_plugin_sdk::json::{self, Value};
use outrigger_plugin_sdk::{Diagnostic, Membership, Replica};

use crate::disks::{Content, Disk};
use crate::settings::{Role, Settings};

/// The keys of the names under which a node is reached.
const HOSTS: [&str; 3] = ["hostname", "hostname_intra_control", "hostname_intra_data"];

struct Checked<'a> {
    text: &'a str,
    own: &'a Replica,
    now: &'a Membership,
    found: Inspection<'a>,
}

/// Checks the node's own configuration (`-local_config`).
pub fn local(
    path: &str,
    content: &[u8],
    settings: &Settings,
    now: &Membership,
    disks: &[Disk],
) -> Vec<Diagnostic> {
    check(path, content, now, |checked, root| {
        checked.hosts(root);
        checked.fspaths(root, settings, disks);
    })
}

/// Checks the cluster's first configuration (`-config`).
pub fn global(
    path: &str,
    content: &[u8],
    settings: &Settings,
    now: &Membership,
) -> Vec<Diagnostic> {
    check(path, content, now, |checked, root| {
        checked.primary(root, settings.role);
    })
}

fn check(
    path: &str,
    content: &[u8],
    now: &Membership,
    look: impl FnOnce(&mut Checked<'_>, &Value),
) -> Vec<Diagnostic> {
    let text = match inspect::text(path, content) {
        Ok(text) => text,
        Err(found) => return vec![found],
    };
    let root = match json::value(text) {
        Ok(root) => root,
        Err(error) => {
            return vec![
                Diagnostic::error(path, 0, error.to_string())
                    .hint("check quotes, brackets and the comma before this place"),
            ];
        }
    };
    let Some(own) = now.own() else {
        return Vec::new();
    };
    let mut checked = Checked {
        text,
        own,
        now,
        found: Inspection::new(path),
    };
    checked.left_open();
    look(&mut checked, &root);
    checked.found.into_diagnostics()
}

impl Checked<'_> {
    /// The line on which a text stands first; 0 where it does not.
    fn line(&self, needle: &str) -> u32 {
        let found = self.text.lines().position(|line| line.contains(needle));
        found.map_or(0, |place| u32::try_from(place + 1).unwrap_or(u32::MAX))
    }

    fn line_of_key(&self, key: &str) -> u32 {
        self.line(&format!("\"{key}\""))
    }

    fn left_open(&mut self) {
        let open = self.line("${");
        if open > 0 {
            self.found.error(
                open,
                "a variable is left open, and AIStore takes it as it stands",
                "write the value itself, by `{{ … }}`",
            );
        }
    }

    fn hosts(&mut self, root: &Value) {
        const USE_THE_NAME: &str = "write `\"{{ self.host }}\"`";
        let net = root.get("host_net");
        for key in HOSTS {
            let told: String = net.and_then(|net| net.field(key).ok()).unwrap_or_default();
            let line = self.line_of_key(key);
            let of_another = self
                .now
                .peers()
                .find(|peer| peer.host == told || (!told.is_empty() && peer.name == told));
            if let Some(peer) = of_another {
                self.found.error(
                    line,
                    format!(
                        "`host_net.{key}: {told}` is {}'s: requests for this node would go there",
                        peer.name
                    ),
                    USE_THE_NAME,
                );
            } else if told.is_empty() && key == "hostname" {
                self.found.error(
                    line,
                    "`host_net.hostname` is empty: AIStore takes an address of its choice, which is another one after the next start",
                    USE_THE_NAME,
                );
            } else if told.is_empty() {
                self.found.warning(
                    line,
                    format!("`host_net.{key}` is empty: the cluster map keeps the pod's address, and peers dial it after it has changed"),
                    USE_THE_NAME,
                );
            } else if told != self.own.host && self.own.addresses.contains(&told) {
                self.found.warning(
                    line,
                    format!("`host_net.{key}: {told}` is the pod's present address, and another one after the next start"),
                    USE_THE_NAME,
                );
            } else if told != self.own.host
                && told.split('.').next() != Some(self.own.name.as_str())
            {
                self.found.error(
                    line,
                    format!("`host_net.{key}: {told}` is not this pod: AIStore ends within 25 ms where no own address answers to it"),
                    USE_THE_NAME,
                );
            }
        }
    }

    fn fspaths(&mut self, root: &Value, settings: &Settings, disks: &[Disk]) {
        let paths: Vec<&str> = match root.get("fspaths") {
            Some(Value::Object(paths)) => paths.iter().map(|(path, _)| path.as_str()).collect(),
            _ => Vec::new(),
        };
        let line = self.line_of_key("fspaths");
        let test_paths: Option<u64> = root
            .get("test_fspaths")
            .and_then(|test| test.field("count").ok());
        if settings.role == Role::Proxy {
            if !paths.is_empty() {
                self.found.error(
                    line,
                    "`fspaths` are for targets, and this is a proxy (`role`)",
                    "give each StatefulSet its own file, and `role: target` to the targets'",
                );
            }
            return;
        }
        if paths.is_empty() && test_paths.unwrap_or_default() == 0 {
            self.found.error(
                line,
                "`fspaths` is empty, and a target without mountpaths ends at once",
                "name the mounted claims, or set `role: proxy`",
            );
            return;
        }
        if settings.mountpaths.is_empty() || paths.is_empty() {
            return;
        }
        let volume = |path: &str| {
            let ending = path.trim_end_matches('/').replace('/', "-");
            settings
                .mountpaths
                .iter()
                .find(move |volume| volume.ends_with(&ending))
        };
        for path in &paths {
            if volume(path).is_none() {
                self.found.error(
                    self.line_of_key(path),
                    format!("no claim is named by the mountpath `{path}`: objects would be in the container, and gone with it"),
                    "name the claim by its path, such as `ais-data-0` for `/data/0`, in the plugin's `mountpaths` too",
                );
            }
        }
        for name in &settings.mountpaths {
            if !paths.iter().any(|path| volume(path) == Some(name)) {
                self.found.error(
                    line,
                    format!("the volume `{name}` is no mountpath here"),
                    "mount it and name its path in `fspaths`, or leave it out of the plugin's `mountpaths`",
                );
            }
        }
        self.recorded(&paths, disks, line);
    }

    /// What the disks record and the file does not have is missing for AIStore.
    fn recorded(&mut self, paths: &[&str], disks: &[Disk], line: u32) {
        let recorded = disks.iter().find_map(|disk| match &disk.content {
            Content::Of(vmd) => Some(&vmd.mountpaths),
            _ => None,
        });
        let missing = |path: &&String| !paths.contains(&path.as_str());
        for path in recorded.into_iter().flatten().filter(missing) {
            self.found.error(
                line,
                format!("the disks record the mountpath `{path}`, which is not here: AIStore would end with sie#60"),
                "mount it, or detach it first where it is gone for good",
            );
        }
    }

    fn primary(&mut self, root: &Value, role: Role) {
        let proxy = root.get("proxy");
        let url: String = proxy
            .and_then(|proxy| proxy.field("primary_url").ok())
            .unwrap_or_default();
        let line = self.line_of_key("primary_url");
        let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        if host.is_empty() {
            self.found.error(
                line,
                "`proxy.primary_url` names nobody: a node that starts first would find no cluster",
                "write the first proxy's URL",
            );
        } else if role == Role::Target && self.now.replicas.iter().any(|one| one.host == host) {
            self.found.error(
                line,
                format!("`proxy.primary_url` names {host}, which is a target"),
                "write the first proxy's URL",
            );
        }
    }
}

#[cfg(test)]
mod tests;
