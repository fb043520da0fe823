//! The cluster under test: it lives as long as this program does.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A started cluster, or none where tests are only listed.
pub(crate) struct Cluster {
    name: String,
    /// The process that holds it: it ends the cluster when its standard input does, so the cluster
    /// ends with this program however that ends.
    holder: Option<(Child, ChildStdin)>,
    /// The folder with `kubectl`, `helm` and the rest.
    programs: PathBuf,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// No cluster.
    pub(crate) fn absent() -> Self {
        Self {
            name: String::new(),
            holder: None,
            programs: PathBuf::new(),
            kubeconfig: PathBuf::new(),
        }
    }

    /// Starts etcd, the API server and the controllers, and waits until they are ready.
    pub(crate) fn start() -> Result<Self, String> {
        let name = format!("tests-{}", std::process::id());
        let mut holder = script(&name)
            .args(["hold", "--control-plane"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("its script does not run: {error}"))?;
        let input = holder.stdin.take().ok_or("its script has no input")?;
        let output = holder.stdout.take().ok_or("its script has no output")?;
        let mut variables = BufReader::new(output).lines();
        let mut variable = |prefix: &str| {
            variables
                .next()
                .and_then(Result::ok)
                .and_then(|line| line.strip_prefix(prefix).map(PathBuf::from))
                .ok_or_else(|| "its script ended before it was ready".to_owned())
        };
        let kubeconfig = variable("KUBECONFIG=")?;
        let programs = variable("PROGRAMS=")?;
        Ok(Self {
            name,
            holder: Some((holder, input)),
            programs,
            kubeconfig,
        })
    }

    /// One of the programs that came with it, or any by its whole path, as a user would run it.
    pub(crate) fn program(&self, name: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.programs.join(name));
        command
            .current_dir(root())
            .env("KUBECONFIG", &self.kubeconfig)
            .kill_on_drop(true);
        command
    }

    /// What its own programs wrote, by their names.
    pub(crate) fn logs(&self) -> Vec<(String, Vec<u8>)> {
        let ask = |args: &[&str]| script(&self.name).args(args).output();
        let Ok(names) = ask(&["logs"]) else {
            return Vec::new();
        };
        String::from_utf8_lossy(&names.stdout)
            .lines()
            .filter_map(|name| Some((name.to_owned(), ask(&["logs", name]).ok()?.stdout)))
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((mut holder, input)) = self.holder.take() {
            drop(input);
            if let Err(error) = holder.wait() {
                eprintln!("the cluster did not end: {error}");
            }
        }
    }
}

fn script(name: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cluster"));
    command.env("CLUSTER_NAME", name);
    command
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
