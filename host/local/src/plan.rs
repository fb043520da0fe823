//! A StatefulSet and an ordinal into a pod, complete to the last argument and file: pure.
//!
//! Nothing here looks at the machine. Whatever a pod needs from it comes in with [`PodInput`].

mod container;
mod env;
mod expand;
mod fields;
mod pod;
mod quantity;
mod remap;
mod sidecar;
#[cfg(test)]
mod tests;
mod volume;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use outrigger_profile::Profile;

use crate::entry::EtcFiles;
use crate::manifest::Manifests;

pub(crate) use pod::DOMAIN;
pub use pod::pod;
pub use volume::{FileContent, Projection};

/// The port of the sidecar.
pub const SIDECAR_PORT: u16 = 7070;
/// The path of the sidecar's pre-stop hook.
pub const PRE_STOP: &str = "/pre-stop";
/// The name of the sidecar's container.
pub const SIDECAR: &str = "outrigger";

/// How far pods are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Own addresses, mounts and names.
    Namespaces,
    /// Processes side by side; paths are changed instead of mounted.
    Plain,
}

/// A program that stands for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What the image's entry point is: an absolute path and its first arguments.
    pub entry_point: Vec<String>,
}

/// What this machine has, for `resourceFieldRef` without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
}

/// Everything that a pod is made from.
#[derive(Debug, Clone)]
pub struct PodInput<'a> {
    /// All objects.
    pub manifests: &'a Manifests,
    /// The pod's owner.
    pub set: &'a StatefulSet,
    /// The profile, where the template asks for the sidecar.
    pub profile: Option<&'a Profile>,
    /// The pod's index.
    pub ordinal: u32,
    /// New with each pod.
    pub uid: &'a str,
    /// The pod's address.
    pub ip: Ipv4Addr,
    /// Where the names of the cluster are looked up; none in plain mode.
    pub name_server: Option<Ipv4Addr>,
    /// How many replicas there should be.
    pub desired: u32,
    /// How far pods are kept apart.
    pub mode: Mode,
    /// The pod's own folder: everything in it but logs is new with each pod.
    pub folder: PathBuf,
    /// The folder of the StatefulSet's claims, which outlive pods and runs.
    pub claims: PathBuf,
    /// The folder with `cluster.json` and `hub.sock`.
    pub local: PathBuf,
    /// Which program stands for which image.
    pub programs: &'a BTreeMap<String, Program>,
    /// `PATH` for the containers.
    pub path: &'a str,
    /// This very program, which is the sidecar too.
    pub outrigger: PathBuf,
    /// What the preStop hook must present to the sidecar.
    pub token: &'a str,
    /// Variables for the sidecar from the user: log filter and where telemetry goes.
    pub sidecar_env: &'a BTreeMap<String, String>,
    /// This machine.
    pub machine: Machine,
}

/// A pod.
#[derive(Debug, Clone)]
pub struct PodPlan {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its index.
    pub ordinal: u32,
    /// New with each pod.
    pub uid: String,
    /// Its absolute DNS name without the trailing dot; its address in plain mode.
    pub host: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// With those that the controller adds.
    pub labels: BTreeMap<String, String>,
    /// From TERM to KILL, preStop included.
    pub grace: Duration,
    /// The files of `/etc`.
    pub etc: EtcFiles,
    /// Folders to make before the first container, in order.
    pub folders: Vec<PathBuf>,
    /// Links to make after that: where, and to what.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Volumes whose files come from objects.
    pub projections: Vec<Projection>,
    /// In the order of their start: init containers and sidecars, then the others.
    pub containers: Vec<ContainerPlan>,
    /// The container whose program the StatefulSet is about: what `kill` and `restart` mean.
    pub workload: String,
    /// The folder of this pod; what is in it is new with each pod.
    pub folder: PathBuf,
}

/// What a container is to its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// Starts before the next one and runs beside it.
    Sidecar,
    /// One of the pod's purposes.
    Main,
}

/// A container.
#[derive(Debug, Clone)]
pub struct ContainerPlan {
    /// Its name in the pod.
    pub name: String,
    /// What it is to its pod.
    pub role: Role,
    /// The program, an absolute path or a name to be found in `PATH`, and its arguments.
    pub argv: Vec<String>,
    /// The whole environment, in order.
    pub env: Vec<(String, String)>,
    /// A file with more variables, `NAME=value` lines, that exists once the sidecar has started.
    pub env_file: Option<PathBuf>,
    /// The working folder.
    pub cwd: PathBuf,
    /// What it sees besides the machine's files.
    pub mounts: Vec<MountPlan>,
    /// Its ports.
    pub ports: Vec<PortPlan>,
    /// Its probes.
    pub probes: Probes,
    /// What happens before SIGTERM.
    pub pre_stop: Option<Hook>,
    /// The user and group as which it sees itself.
    pub run_as: (u32, u32),
}

/// A folder or file inside of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPlan {
    /// On this machine; links in it are resolved when the container starts.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// A port that a container listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortPlan {
    /// Its name.
    pub name: Option<String>,
    /// TCP, unless the manifest says otherwise.
    pub protocol: String,
    /// Its number.
    pub port: u16,
}

/// The probes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probes {
    /// Holds the others back until it passes once; its failure restarts the container.
    pub startup: Option<ProbePlan>,
    /// In service while it passes.
    pub readiness: Option<ProbePlan>,
    /// Its failure restarts the container.
    pub liveness: Option<ProbePlan>,
}

/// A probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbePlan {
    /// What is done.
    pub check: Check,
    /// Before the first.
    pub initial_delay: Duration,
    /// From one to the next.
    pub period: Duration,
    /// For one.
    pub timeout: Duration,
    /// So many in a row fail it.
    pub failures: u32,
    /// So many in a row pass it.
    pub successes: u32,
}

/// What a probe or a hook does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A GET whose answer is 200 to 399.
    Http(HttpGet),
    /// A connection.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A program that ends with 0, in the container's place.
    Exec(Vec<String>),
}

/// A GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGet {
    /// The host that is connected to.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path with its query.
    pub path: String,
    /// Headers besides Host.
    pub headers: Vec<(String, String)>,
}

/// What happens before SIGTERM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// A GET, whose answer is waited for.
    Http(HttpGet),
    /// A program.
    Exec(Vec<String>),
    /// A wait.
    Sleep(Duration),
}

/// A pod cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pod {pod} cannot be made: {problem}")]
pub struct PlanError {
    /// Its name.
    pub pod: String,
    /// Why.
    pub problem: String,
}
