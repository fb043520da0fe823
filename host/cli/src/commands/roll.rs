//! `outrigger roll`: every replica restarted, one at a time; in a cluster, through evictions, where one is
//! asked for.

use std::io::Write as _;

use outrigger_api_server::{ApiServer, ConnectError, connect, connect_by_context};
use outrigger_local::hub_client::ClientError;
use outrigger_rollout::{Options, Progress, Target, run as roll};
use outrigger_shutdown::signals;
use tokio::time::Instant;

use super::second_terminal;
use crate::args::{Named, Roll};
use crate::error_report::{Advised, Failure};
use crate::exit_code::Exit;

/// `128 + SIGINT`, as shells have it.
const INTERRUPTED: u8 = 130;

/// In the cluster with `--cluster`, else in the running `up`: never what happens to be there.
pub(crate) fn run(args: &Roll) -> Result<Exit, Failure> {
    match &args.cluster.name {
        Some(Named(name)) => rolled(args, name),
        None => second_terminal::roll(args).map_err(|failure| {
            let is_none = matches!(failure.downcast_ref(), Some(ClientError::NoneRuns));
            if is_none {
                Advised::new(
                    failure,
                    "in a cluster: `outrigger roll STATEFULSET --cluster`",
                )
                .into()
            } else {
                failure
            }
        }),
    }
}

fn rolled(args: &Roll, name: &str) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = signals()?;
        tokio::select! {
            ended = in_cluster(args, name) => ended,
            signal = signals.next() => {
                let text = format!(
                    "{signal}: nothing else is evicted, and who was evicted comes back by itself\n  \
                     hint: running this again goes on from here\n"
                );
                std::io::stderr().lock().write_all(text.as_bytes())?;
                Ok(Exit::Status(INTERRUPTED))
            }
        }
    })
}

async fn in_cluster(args: &Roll, name: &str) -> Result<Exit, Failure> {
    let began = Instant::now();
    let api = api(args).await.map_err(|error| {
        Advised::new(
            error,
            "set KUBECONFIG, or name one of its contexts with --context",
        )
    })?;
    let namespace = args.cluster.namespace.as_deref();
    let target = Target {
        namespace: namespace.unwrap_or(api.namespace()).to_owned(),
        name: name.to_owned(),
    };
    let options = Options {
        timeout: args.timeout,
        anew: args.cluster.restart,
    };
    // Nobody who reads: the roll goes on, as its exit code tells how it went.
    let mut tell = |progress: Progress| drop(line(began, &progress));
    match roll(&api, &target, &options, &mut tell).await {
        Ok(summary) => {
            writeln!(std::io::stdout().lock(), "{summary}")?;
            Ok(Exit::Done)
        }
        Err(error) => {
            let hint = error.hint(&target);
            Err(Advised::new(error, hint).into())
        }
    }
}

async fn api(args: &Roll) -> Result<ApiServer, ConnectError> {
    match &args.cluster.context {
        Some(context) => connect_by_context(context).await,
        None => connect().await,
    }
}

fn line(began: Instant, progress: &Progress) -> std::io::Result<()> {
    let seconds = began.elapsed().as_secs_f64();
    writeln!(std::io::stdout().lock(), "{seconds:7.1} s  {progress}")
}
