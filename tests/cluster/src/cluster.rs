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
    node: bool,
}

impl Cluster {
    /// No cluster.
    pub(crate) fn absent() -> Self {
        Self {
            name: String::new(),
            holder: None,
            programs: PathBuf::new(),
            kubeconfig: PathBuf::new(),
            node: false,
        }
    }

    /// Starts etcd, the API server and the controllers, and a node where one is wanted, and waits until
    /// they are ready.
    pub(crate) fn start(node: bool) -> Result<Self, String> {
        let name = format!("tests-{}", std::process::id());
        let mut holder = script(&name)
            .arg("hold")
            .args((!node).then_some("--control-plane"))
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
            node,
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

    /// Whether it has a node, which the webhook's own pods run on.
    pub(crate) fn has_node(&self) -> bool {
        self.node
    }

    /// Gives the node images from archives.
    pub(crate) fn load(&self, archives: &[PathBuf]) -> Result<(), String> {
        self.script(|script| script.args(["image", "load"]).args(archives))
            .map(drop)
    }

    /// What a command inside the node says, as root.
    pub(crate) fn run(&self, command: &[&str]) -> Result<String, String> {
        self.script(|script| script.arg("run").args(command))
    }

    /// What the node's container runtime says to its own command line.
    pub(crate) fn containerd(&self, command: &[&str]) -> Result<String, String> {
        let socket = self.kubeconfig.with_file_name("run/containerd.sock");
        let socket = socket.to_string_lossy();
        let runtime = ["ctr", "--address", &*socket, "--namespace", "k8s.io"];
        self.run(&[&runtime[..], command].concat())
    }

    /// Ends one of its programs, and keeps it from starting again.
    pub(crate) fn stop(&self, program: &str) -> Result<(), String> {
        self.script(|script| script.args(["stop", program]))
            .map(drop)
    }

    /// Lets one of its programs run again.
    pub(crate) fn start_again(&self, program: &str) -> Result<(), String> {
        self.script(|script| script.args(["start", program]))
            .map(drop)
    }

    fn script(&self, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<String, String> {
        let mut script = script(&self.name);
        let output = with(&mut script).output();
        let output = output.map_err(|error| format!("its script does not run: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
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
