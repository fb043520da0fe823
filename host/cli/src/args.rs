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
    /// Restart every replica, one at a time, the leader last; with --cluster in a cluster
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
    /// How long all replicas may take to be ready again; with --cluster, each
    #[arg(long, value_name = "SPAN", default_value = "300s", value_parser = span)]
    pub(crate) timeout: Duration,
    /// Which StatefulSet of the `up`, where there are several
    #[arg(long = "statefulset", value_name = "NAME")]
    pub(crate) stateful_set: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: InCluster,
}

/// A roll in a cluster: nothing of it counts without --cluster, and nothing of an `up` with it.
#[derive(Debug, ClapArgs)]
pub(crate) struct InCluster {
    /// Restart the pods of this StatefulSet in the cluster of the kubeconfig, by evictions that keep its
    /// disruption budget. What is interrupted goes on when it is run again
    #[arg(long = "cluster", requires = "name", conflicts_with_all = ["state", "stateful_set"])]
    pub(crate) is_asked: bool,
    /// With --cluster: which StatefulSet, with or without `statefulset/` before it
    #[arg(value_name = "STATEFULSET", requires = "is_asked", value_parser = Named::parse)]
    pub(crate) name: Option<Named>,
    /// With --cluster: its namespace [default: the kubeconfig's]
    #[arg(long, short, value_name = "NAME", requires = "is_asked")]
    pub(crate) namespace: Option<String>,
    /// With --cluster: the kubeconfig's context [default: its current one]
    #[arg(long, value_name = "NAME", requires = "is_asked")]
    pub(crate) context: Option<String>,
    /// With --cluster: begin anew instead of going on with what was interrupted
    #[arg(long, requires = "is_asked")]
    pub(crate) restart: bool,
}

/// The name of a StatefulSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named(pub(crate) String);

impl Named {
    /// As `kubectl` takes it: `statefulset/NAME`, by its plural and its short name too, or the name alone.
    fn parse(text: &str) -> Result<Self, String> {
        let name = match text.split_once('/') {
            None => text,
            Some((
                "statefulset" | "statefulsets" | "sts" | "statefulset.apps" | "statefulsets.apps",
                name,
            )) => name,
            Some((kind, _)) => {
                return Err(format!("`{kind}` cannot be rolled, only a statefulset"));
            }
        };
        // What it may consist of; it becomes part of a path.
        let inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if name.is_empty() || name.len() > 253 || !name.bytes().all(inner) {
            return Err(format!("`{name}` is no name of a StatefulSet"));
        }
        Ok(Self(name.to_owned()))
    }
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

    use super::{Args, Command, Named};
    use clap::Parser as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_roll_in_a_cluster_is_asked_for_and_never_guessed() {
        let parse = |args: &[&str]| {
            let all = ["outrigger", "roll"].iter().chain(args);
            match Args::try_parse_from(all).map(|args| args.command) {
                Ok(Command::Roll(roll)) => Ok(roll.cluster.name.map(|Named(name)| name)),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.kind()),
            }
        };
        let db = Ok(Some("db".to_owned()));
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&["statefulset/db", "--cluster"]), db);
        assert_eq!(
            parse(&[
                "--cluster",
                "sts/db",
                "-n",
                "x",
                "--context",
                "y",
                "--restart"
            ]),
            db
        );
        assert_eq!(parse(&["db", "--cluster", "--timeout", "10m"]), db);
        for wrong in [
            &["db"][..],
            &["--cluster"],
            &["-n", "x"],
            &["--restart"],
            &["--context", "x"],
        ] {
            assert_eq!(
                parse(wrong),
                Err(clap::error::ErrorKind::MissingRequiredArgument),
                "{wrong:?}"
            );
        }
        for wrong in [
            &["db", "--cluster", "--state", "x"][..],
            &["db", "--cluster", "--statefulset", "x"],
        ] {
            assert_eq!(
                parse(wrong),
                Err(clap::error::ErrorKind::ArgumentConflict),
                "{wrong:?}"
            );
        }
        for wrong in ["deployment/db", "statefulset/", "statefulset/../pods"] {
            let refused = parse(&[wrong, "--cluster"]);
            assert_eq!(
                refused,
                Err(clap::error::ErrorKind::ValueValidation),
                "{wrong}"
            );
        }
    }
}
