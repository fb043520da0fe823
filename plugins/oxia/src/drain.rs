//! Letting a data server go: on a scale-down when no ensemble names it any more, otherwise when its shards keep
//! their quorum without it. Leadership moves by itself, within milliseconds of the stop.

use outrigger_plugin_sdk::{
    DrainContext, DrainReason, Failure, FailureKind, PodPhase, Step, state,
};

use crate::coordinator::names;
use crate::observe;
use crate::series::View;
use crate::server::Told;

/// Between two looks: each is a scrape of the coordinator.
const POLL_MS: u32 = 1_000;

/// What is kept of the deadline.
const RESERVE_MS: u32 = 2_000;

/// How long a coordinator that does not answer is waited for: without it nothing moves, and a stopped leader's
/// shards stay without one.
const SILENT_MS: u32 = 15_000;

/// The state's key of what was told last, so that a drain of minutes is not a line for each second.
const SAID: &str = "drain-said";

/// One step.
pub fn drain(context: &DrainContext) -> Step {
    if context.now.desired == 0 {
        return Step::done("every server is stopped: there is nobody to move shards to");
    }
    let Some(own) = context.now.own() else {
        return Step::done("this replica is not known");
    };
    let mut others = context
        .now
        .peers()
        .filter(|other| context.now.is_wanted(other.ordinal))
        .peekable();
    if others.peek().is_some()
        && others.all(|other| matches!(other.phase, PodPhase::Terminating | PodPhase::Gone))
    {
        return Step::done("every other server stops too: there is no quorum to keep");
    }
    let leaves = context.reason == DrainReason::ScaleDown || !context.now.is_wanted(own.ordinal);
    match observe::told(&own.name) {
        Told::NotGranted => {
            Step::done("the coordinator is not asked: the profile does not grant it")
        }
        Told::Silent(why) => silent(context, leaves, &why),
        Told::Said(view) if leaves => leave(context, &view),
        Told::Said(view) => stop(context, &view),
    }
}

fn silent(context: &DrainContext, leaves: bool, why: &str) -> Step {
    let message =
        format!("the coordinator's sidecar does not say which shards this server keeps: {why}");
    if context.elapsed < SILENT_MS && context.remaining > RESERVE_MS {
        return wait(context, message);
    }
    if leaves {
        return failed(format!("{message}; its data stays on its volume"));
    }
    Step::done(format!(
        "{message}; reads and writes of shards that it leads wait for the coordinator"
    ))
}

fn leave(context: &DrainContext, view: &View) -> Step {
    let shards = view.own.shards;
    if shards == 0 {
        return Step::done("no ensemble names this server any more");
    }
    let what = if view.own.running.is_some() {
        "it is still in the coordinator's list of servers, which must lose it first"
    } else {
        "they are being moved"
    };
    let message = format!("the ensembles of {shards} shards name this server: {what}");
    if context.remaining > RESERVE_MS {
        return wait(context, message);
    }
    failed(format!(
        "{message}; each of them is a copy short until it has moved. Its data stays on its volume: with the server \
         back the move ends"
    ))
}

fn stop(context: &DrainContext, view: &View) -> Step {
    if view.own.breaks == 0 {
        return Step::done(match view.own.without_quorum {
            0 => "its shards keep their quorum without it",
            _ => "its shards have no quorum, so that there is none to lose",
        });
    }
    let message = format!(
        "{} shards lose their quorum without this server while the coordinator does not reach {}",
        view.own.breaks,
        match view.down.as_slice() {
            [] => "those that were removed".to_owned(),
            down => names(down),
        }
    );
    if context.remaining > RESERVE_MS {
        return wait(context, message);
    }
    failed(message)
}

/// Comes back soon; says why when that is new.
fn wait(context: &DrainContext, message: String) -> Step {
    let is_new = context.attempt == 0 || state::load::<String>(SAID).as_ref() != Some(&message);
    if is_new && let Err(failure) = state::store(SAID, &message) {
        outrigger_plugin_sdk::debug!("It is not kept that this was said", "error" => failure.message);
    }
    let after = POLL_MS.min(context.remaining - RESERVE_MS).max(1);
    Step::again_in(after, if is_new { message } else { String::new() })
}

fn failed(message: String) -> Step {
    Step::failed(Failure::new(FailureKind::Limit, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::tests::exposition;
    use crate::testing::{NO_QUORUM, STEADY, membership};
    use outrigger_plugin_sdk::Next;
    use outrigger_plugin_sdk::endpoint::Target;
    use outrigger_plugin_sdk::fake::FakeHost;

    fn at(reason: DrainReason, attempt: u32, remaining: u32) -> DrainContext {
        DrainContext {
            reason,
            remaining,
            elapsed: attempt * POLL_MS,
            attempt,
            now: membership(0, 3),
        }
    }

    fn saying(host: FakeHost, status: &str, servers: &[(&str, bool)]) -> FakeHost {
        let text = exposition(status, servers);
        host.endpoint("coordinator", Target::Local, "GET /metrics", 200, &text)
    }

    const ALL: [(&str, bool); 4] = [
        ("oxia-0", true),
        ("oxia-1", true),
        ("oxia-2", true),
        ("oxia-3", true),
    ];

    #[test]
    fn a_restart_with_everybody_there_ends_at_once() {
        let _host = saying(FakeHost::new(), STEADY, &ALL);
        let step = drain(&at(DrainReason::RollingUpdate, 0, 90_000));
        assert_eq!(step.next, Next::Done);
        assert_eq!(step.note, "its shards keep their quorum without it");
    }

    #[test]
    fn a_restart_waits_for_another_member_that_is_down_and_says_it_once() {
        let down = [("oxia-0", true), ("oxia-1", true), ("oxia-2", false)];
        let host = saying(FakeHost::new(), STEADY, &down);
        let first = drain(&at(DrainReason::NodeDrain, 0, 90_000));
        assert_eq!(first.next, Next::AgainIn(1_000));
        assert_eq!(
            first.note,
            "2 shards lose their quorum without this server while the coordinator does not reach oxia-2"
        );
        assert_eq!(drain(&at(DrainReason::NodeDrain, 1, 89_000)).note, "");
        let late = drain(&at(DrainReason::NodeDrain, 80, 2_000));
        assert!(matches!(late.next, Next::Failed(_)), "{late:?}");
        host.forget_answers();
        let _host = saying(host, STEADY, &ALL);
        assert_eq!(
            drain(&at(DrainReason::NodeDrain, 2, 88_000)).next,
            Next::Done
        );
    }

    #[test]
    fn without_a_quorum_nobody_is_waited_for() {
        let dead = [("oxia-0", true), ("oxia-1", false), ("oxia-2", false)];
        let _host = saying(FakeHost::new(), NO_QUORUM, &dead);
        let step = drain(&at(DrainReason::ConfigChange, 0, 90_000));
        assert_eq!(step.next, Next::Done);
        assert!(step.note.contains("none to lose"), "{}", step.note);
    }

    #[test]
    fn a_scale_down_ends_when_no_ensemble_names_the_server() {
        let host = saying(FakeHost::new(), STEADY, &ALL);
        let listed = drain(&at(DrainReason::ScaleDown, 0, 90_000));
        assert_eq!(
            listed.note,
            "the ensembles of 2 shards name this server: it is still in the coordinator's list of servers, \
             which must lose it first"
        );
        host.forget_answers();
        let host = saying(host, STEADY, &ALL[1..]);
        let removed = drain(&at(DrainReason::ScaleDown, 1, 89_000));
        assert!(
            removed.note.ends_with("they are being moved"),
            "{}",
            removed.note
        );
        host.forget_answers();
        let moved = STEADY.replace("oxia-0", "oxia-3");
        let _host = saying(host, &moved, &ALL[1..]);
        assert_eq!(
            drain(&at(DrainReason::ScaleDown, 3, 87_000)).next,
            Next::Done
        );
    }

    #[test]
    fn a_scale_down_that_does_not_end_in_time_says_what_is_left() {
        let _host = saying(FakeHost::new(), STEADY, &ALL[1..]);
        let step = drain(&at(DrainReason::ScaleDown, 60, 1_500));
        assert!(matches!(step.next, Next::Failed(_)), "{step:?}");
        assert!(step.note.contains("a copy short"), "{}", step.note);
    }

    #[test]
    fn a_silent_coordinator_is_waited_for_a_while() {
        let _host = FakeHost::new();
        let first = drain(&at(DrainReason::RollingUpdate, 0, 90_000));
        assert_eq!(first.next, Next::AgainIn(1_000));
        assert_eq!(
            drain(&at(DrainReason::RollingUpdate, 15, 75_000)).next,
            Next::Done
        );
        let leaving = drain(&at(DrainReason::ScaleDown, 15, 75_000));
        assert!(matches!(leaving.next, Next::Failed(_)), "{leaving:?}");
    }

    #[test]
    fn where_everything_stops_or_nothing_is_granted_nobody_is_waited_for() {
        let _host = FakeHost::new().denying("coordinator");
        assert_eq!(drain(&at(DrainReason::Manual, 0, 90_000)).next, Next::Done);
        let mut all = at(DrainReason::ScaleDown, 0, 90_000);
        all.now.desired = 0;
        assert_eq!(drain(&all).next, Next::Done);
    }

    #[test]
    fn where_every_server_stops_nobody_waits_for_the_others() {
        let _host = FakeHost::new();
        let mut deleted = at(DrainReason::Manual, 0, 90_000);
        let others = deleted
            .now
            .replicas
            .iter_mut()
            .filter(|one| one.ordinal != 0);
        others.for_each(|other| other.phase = PodPhase::Terminating);
        assert_eq!(
            drain(&deleted).note,
            "every other server stops too: there is no quorum to keep"
        );
        deleted.now.replicas[2].phase = PodPhase::Ready;
        assert_eq!(drain(&deleted).next, Next::AgainIn(1_000));
    }
}
