//! The options of the commands that work on manifests.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// What is injected, apart from the pods.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Injected {
    /// The sidecars' image
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// A YAML file with more settings of the sidecars, as the webhook takes it
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// A folder with the profile, where it is not among the manifests
    #[arg(long, value_name = "DIR")]
    pub(crate) profile_from: Option<PathBuf>,
    /// The namespace of objects that name none
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    pub(crate) namespace: String,
}

/// `outrigger inject`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Inject {
    /// A file, a folder (its kustomization.yaml decides, if there is one), or `-`
    #[arg(long = "file", short, value_name = "FILE|DIR|-", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) injected: Injected,
    /// Tell every field that is put in, and why
    #[arg(long)]
    pub(crate) explain: bool,
    /// Change the files instead of printing what they would be
    #[arg(long)]
    pub(crate) write: bool,
}

/// `outrigger uninject`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Uninject {
    /// A file, a folder (its kustomization.yaml decides, if there is one), or `-`
    #[arg(long = "file", short, value_name = "FILE|DIR|-", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Change the files instead of printing what they would be
    #[arg(long)]
    pub(crate) write: bool,
}

/// `outrigger check`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// Manifests or profiles to check: a file, a folder, or `-` [default: the cluster, or this folder]
    #[arg(long = "file", short, value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) injected: Injected,
    /// Check the installation in the cluster of the kubeconfig, also where manifests are named
    #[arg(long)]
    pub(crate) cluster: bool,
    /// The namespace of the webhook
    #[arg(long, value_name = "NAME", default_value = "outrigger-system")]
    pub(crate) system_namespace: String,
}

/// `outrigger policy`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Policy {
    /// Manifests with StatefulSets and their profiles: a file, a folder, or `-`
    #[arg(long = "file", short, value_name = "FILE|DIR|-", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) injected: Injected,
}
