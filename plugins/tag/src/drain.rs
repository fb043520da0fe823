//! Waiting until no request is served any more: TAG's own `/health` stays 200 until its listener closes,
//! and then it takes 4 to 6 s, 30 s at most, to leave the ring and to close its store.

use outrigger_plugin_sdk::in_flight::{self, InFlight};
use outrigger_plugin_sdk::{DrainContext, Failure, FailureKind, Step};

use crate::observe;

/// Between two looks: TAG's metrics have a few hundred lines.
const POLL_MS: u32 = 500;

/// What is kept of the deadline.
const RESERVE_MS: u32 = 1_000;

/// One step.
pub fn drain(context: &DrainContext) -> Step {
    let Some(counts) = observe::own_counts() else {
        return Step::done("TAG does not answer; there is nothing to wait for");
    };
    match in_flight::look(context, counts.in_flight, POLL_MS, RESERVE_MS) {
        InFlight::Nothing => Step::done("no request is in flight; TAG leaves the ring at its stop"),
        InFlight::Over(requests) => Step::failed(Failure::new(
            FailureKind::Limit,
            format!(
                "{requests} in flight when the time was over: TAG itself gives them up to 30 s more, \
                 which the grace period must have room for"
            ),
        )),
        InFlight::Wait(step) => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::membership;
    use outrigger_plugin_sdk::endpoint::Target;
    use outrigger_plugin_sdk::fake::FakeHost;
    use outrigger_plugin_sdk::{DrainReason, Next};

    fn at(attempt: u32, remaining: u32) -> DrainContext {
        DrainContext {
            reason: DrainReason::ScaleDown,
            remaining,
            elapsed: 10_000,
            attempt,
            now: membership(2, 3),
        }
    }

    fn serving(counts: &[u32]) -> FakeHost {
        counts.iter().fold(FakeHost::new(), |host, count| {
            let text = format!("tag_inflight_requests {count}\n");
            host.endpoint("http", Target::Local, "GET /metrics", 200, &text)
        })
    }

    #[test]
    fn a_drain_waits_for_requests_and_not_longer() {
        let _host = serving(&[2, 0]);
        let first = drain(&at(0, 10_000));
        assert_eq!(first.note, "waits for 2 requests in flight");
        assert_eq!(first.next, Next::AgainIn(500));
        assert_eq!(drain(&at(1, 9_500)).next, Next::Done);
    }

    #[test]
    fn what_is_in_flight_at_the_end_is_told() {
        let host = serving(&[7]);
        let step = drain(&at(5, 1_000));
        assert!(
            step.note
                .starts_with("7 requests in flight when the time was over")
        );
        assert_eq!(host.state(in_flight::KEY), Some(b"7".to_vec()));
    }

    #[test]
    fn a_server_that_is_gone_is_not_waited_for() {
        let _host = FakeHost::new();
        assert_eq!(drain(&at(0, 10_000)).next, Next::Done);
    }
}
