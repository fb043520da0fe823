//! The command line.

#[expect(clippy::doc_markdown, reason = "these are help texts, for a terminal")]
mod manifests;
#[expect(clippy::doc_markdown, reason = "these are help texts, for a terminal")]
mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

pub(crate) use self::manifests::{Check, Inject, Injected, Policy, Uninject};
pub(crate) use self::webhook::{Certificates, Webhook};

/// A WebAssembly-extensible sidecar for the pods of a `StatefulSet`.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, about, propagate_version = true)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run beside a workload, in its pod; configured by the environment
    Sidecar,
    /// Answer the API server's admission reviews: put the sidecar into pods that ask for it
    Webhook(Box<Webhook>),
    /// Put the sidecar into manifests, as the webhook does into pods
    Inject(Inject),
    /// Take the sidecar out of manifests: what is left is what was there before
    Uninject(Uninject),
    /// Tell what is wrong with profiles and manifests, or with the installation in a cluster
    Check(Check),
    /// Print policies that inject the sidecar without a webhook (Kubernetes 1.36 or later)
    Policy(Policy),
    /// Run a StatefulSet's manifests as processes on this machine, each with its sidecar
    Up(Up),
    /// List the replicas of a running `up`
    Ps(Ps),
    /// Show what the replicas wrote
    Logs(Logs),
    /// Change the number of replicas
    Scale(Scale),
    /// Stop one replica in order and start it again
    Restart(Restart),
    /// Restart every replica, one at a time, the leader last
    Roll(Roll),
    /// Kill a replica's workload, as a crash would
    Kill(Kill),
    /// Stop everything
    Down(Down),
    /// Print the JSON schema of the profile
    Schema,
}

/// `outrigger up`.
#[derive(Debug, ClapArgs)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, on or off"
)]
pub(crate) struct Up {
    /// A folder with manifests (its kustomization.yaml decides, if there is one), or files
    #[arg(default_value = ".")]
    pub(crate) inputs: Vec<PathBuf>,
    /// How many replicas, instead of the manifest's number
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u32>,
    /// Run this with /bin/sh when all are ready, then take everything down and return its status
    #[arg(long, value_name = "CMD")]
    pub(crate) exec: Option<String>,
    /// With --exec: leave everything running until Ctrl-C or `outrigger down`
    #[arg(long, requires = "exec")]
    pub(crate) keep: bool,
    /// Events as JSON lines on standard output instead of logs for people
    #[arg(long)]
    pub(crate) json: bool,
    /// How long all replicas may take to become ready
    #[arg(long, value_name = "SPAN", default_value = "120s", value_parser = span)]
    pub(crate) timeout: Duration,
    /// Where volumes and logs are kept [default: a folder of its own for these inputs]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Share this machine's network and files instead of using namespaces
    #[arg(long)]
    pub(crate) plain: bool,
    /// Do not install missing programs; name the command instead
    #[arg(long)]
    pub(crate) no_install: bool,
}

/// Which running `up` is meant.
#[derive(Debug, ClapArgs)]
pub(crate) struct Target {
    /// The state folder of the `up` that is meant, where several run
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

/// How long a command waits for what it has begun.
#[derive(Debug, ClapArgs)]
pub(crate) struct Wait {
    /// How long all replicas may take to be ready again
    #[arg(long, value_name = "SPAN", default_value = "300s", value_parser = span)]
    pub(crate) timeout: Duration,
}

/// `outrigger ps`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Ps {
    #[command(flatten)]
    pub(crate) target: Target,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `outrigger logs`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// One replica only
    pub(crate) pod: Option<String>,
    /// Go on with what is written from now on
    #[arg(long, short)]
    pub(crate) follow: bool,
}

/// `outrigger scale`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Scale {
    #[command(flatten)]
    pub(crate) target: Target,
    /// How many
    pub(crate) replicas: u32,
    /// Which StatefulSet, where there are several
    #[arg(long = "statefulset", value_name = "NAME")]
    pub(crate) stateful_set: Option<String>,
}

/// `outrigger restart`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// The replica's pod
    pub(crate) pod: String,
}

/// `outrigger roll`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Roll {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// Which StatefulSet, where there are several
    #[arg(long = "statefulset", value_name = "NAME")]
    pub(crate) stateful_set: Option<String>,
}

/// `outrigger kill`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Kill {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The replica's pod
    pub(crate) pod: String,
    /// The signal
    #[arg(long, default_value = "KILL")]
    pub(crate) signal: String,
}

/// `outrigger down`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A span of time with its unit.
fn span(text: &str) -> Result<Duration, String> {
    outrigger_profile::parse_span(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Args;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
