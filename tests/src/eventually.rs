//! Waiting for what a distributed system will show sooner or later: with a deadline, and with the
//! last state seen in the report.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Between two looks. Short against everything that tests wait for, long against the cost of a look.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until `look` gives a value.
///
/// `look` answers with what it saw instead when the condition does not hold yet. A look that hangs
/// is given up at the deadline.
///
/// # Panics
/// When the deadline passes: the message names the condition, the place in the test and the last
/// state that was seen.
#[track_caller]
pub fn eventually<T, E: Display>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> impl Future<Output = T> {
    let place = Location::caller();
    async move {
        let end = Instant::now() + deadline;
        let mut last = "nothing: the first look did not come back".to_owned();
        loop {
            match timeout_at(end, look()).await {
                Ok(Ok(value)) => return value,
                Ok(Err(seen)) => last = seen.to_string(),
                Err(_) => break,
            }
            if Instant::now() + PAUSE >= end {
                break;
            }
            sleep(PAUSE).await;
        }
        panic!("{place}: not within {deadline:?}: {what}\n  last seen: {last}")
    }
}

/// Demands that a condition holds at every look for a while.
///
/// # Panics
/// At the first look that fails: the message names the condition, how long it had held and what
/// was seen.
#[track_caller]
pub fn throughout<E: Display>(
    span: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<(), E>,
) -> impl Future<Output = ()> {
    let place = Location::caller();
    async move {
        let start = Instant::now();
        while start.elapsed() < span {
            if let Err(seen) = look().await {
                panic!(
                    "{place}: held only {:?} of {span:?}: {what}\n  seen: {seen}",
                    start.elapsed()
                );
            }
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_comes_true_gives_its_value() {
        let mut looks = 0;
        let value = eventually(Duration::from_secs(1), "three looks", async || {
            looks += 1;
            if looks == 3 {
                Ok(looks)
            } else {
                Err(format!("{looks} looks"))
            }
        })
        .await;
        assert_eq!(value, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "never\n  last seen: still not")]
    async fn the_report_ends_with_the_last_state() {
        eventually(Duration::from_secs(1), "never", async || {
            Err::<(), _>("still not")
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "the first look did not come back")]
    async fn a_look_that_hangs_ends_at_the_deadline() {
        eventually(Duration::from_secs(1), "an answer", async || {
            std::future::pending::<()>().await;
            Ok::<(), &str>(())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "held only")]
    async fn one_failed_look_breaks_what_must_hold_throughout() {
        let mut looks = 0;
        throughout(
            Duration::from_secs(1),
            "fewer than three looks",
            async || {
                looks += 1;
                if looks < 3 { Ok(()) } else { Err("three") }
            },
        )
        .await;
    }
}
