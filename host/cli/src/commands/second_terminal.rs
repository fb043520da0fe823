//! The commands that speak to a running `up` from a second terminal.

use std::io::Write as _;
use std::time::Duration;

use outrigger_local::hub_client::{self, HubClient};
use outrigger_local::up;

use super::up::places;
use crate::args::{Down, Kill, Logs, Ps, Restart, Roll, Scale, Target};
use crate::error_report::Failure;
use crate::exit_code::Exit;

/// `ps`
pub(crate) fn ps(args: &Ps) -> Result<Exit, Failure> {
    ask(&args.target, async |hub| {
        let answer = hub.ps().await?;
        let text = if args.json {
            serde_json::to_string_pretty(&answer)? + "\n"
        } else {
            up::table(&answer)
        };
        write(&text)?;
        Ok(Exit::Done)
    })
}

/// `logs`
pub(crate) fn logs(args: &Logs) -> Result<Exit, Failure> {
    ask(&args.target, async |hub| {
        let mut lines = hub.logs(args.pod.as_deref(), args.follow).await?;
        while let Some(line) = lines.next().await? {
            write(&format!(
                "{} {} │ {}\n",
                line.pod, line.container, line.line
            ))?;
        }
        Ok(Exit::Done)
    })
}

/// `scale`
pub(crate) fn scale(args: &Scale) -> Result<Exit, Failure> {
    ask(&args.target, async |hub| {
        hub.scale(args.stateful_set.as_deref(), args.replicas)
            .await?;
        Ok(Exit::Done)
    })
}

/// `restart`: returns when the replica is ready again.
pub(crate) fn restart(args: &Restart) -> Result<Exit, Failure> {
    ask(&args.target, async |hub| {
        let uid = |answer: &outrigger_local::hub_api::PsAnswer| {
            let mut pods = answer.stateful_sets.iter().flat_map(|set| &set.pods);
            pods.find(|pod| pod.name == args.pod)
                .map(|pod| pod.uid.clone())
        };
        let before = uid(&hub.ps().await?);
        hub.restart(&args.pod).await?;
        let settled = hub.wait_until(|answer| {
            let now = uid(answer);
            now.is_some() && now != before && answer.stateful_sets.iter().all(|set| set.settled)
        });
        within(args.wait.timeout, settled).await
    })
}

/// `roll` of an `up`: returns when every replica has been restarted.
pub(crate) fn roll(args: &Roll) -> Result<Exit, Failure> {
    ask(&args.target, async |hub| {
        hub.roll(args.stateful_set.as_deref()).await?;
        let done = hub.wait_until(|answer| {
            answer
                .stateful_sets
                .iter()
                .all(|set| !set.rolling && set.settled)
        });
        within(args.timeout, done).await
    })
}

/// `kill`
pub(crate) fn kill(args: &Kill) -> Result<Exit, Failure> {
    ask(&args.target, async |hub| {
        hub.kill(&args.pod, &args.signal).await?;
        Ok(Exit::Done)
    })
}

/// `down`: returns when everything has ended.
pub(crate) fn down(args: &Down) -> Result<Exit, Failure> {
    ask(&args.target, async |hub| {
        hub.down().await?;
        hub.gone().await;
        Ok(Exit::Done)
    })
}

/// Waits for a state; being late is a failure that says what was waited for.
async fn within<T, E>(
    span: Duration,
    state: impl Future<Output = Result<T, E>>,
) -> Result<Exit, Failure>
where
    E: Into<Failure>,
{
    match tokio::time::timeout(span, state).await {
        Ok(Ok(_)) => Ok(Exit::Done),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(format!(
            "not all replicas were ready within {} s\n  hint: `outrigger ps` shows why; it goes on",
            span.as_secs()
        )
        .into()),
    }
}

/// Finds the `up` that is meant and asks it.
fn ask(
    target: &Target,
    question: impl AsyncFnOnce(HubClient) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let root = places()?.state;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let hub = hub_client::find(&root, target.state.as_deref()).await?;
        question(hub).await
    })
}

fn write(text: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())
}
