//! Waiting until no request is in flight. Piko has no drain of its own: at SIGTERM it closes its agents'
//! connections first, and what is in flight through them fails within 10 ms.

use outrigger_plugin_sdk::in_flight::{self, InFlight};
use outrigger_plugin_sdk::{DrainContext, Failure, FailureKind, Step};

use crate::observe;

/// Between two looks.
const POLL_MS: u32 = 200;

/// What is kept of the deadline for the stop itself, which takes 10 ms.
const RESERVE_MS: u32 = 500;

/// One step.
pub fn drain(context: &DrainContext) -> Step {
    let Some(in_flight) = observe::in_flight() else {
        return Step::done("Piko does not answer; there is nothing to wait for");
    };
    let waited = seconds(context.elapsed);
    match in_flight::look(context, in_flight, POLL_MS, RESERVE_MS) {
        InFlight::Nothing => Step::done(match context.attempt {
            0 => "no request is in flight".to_owned(),
            _ => format!("no request is in flight any more, {waited} after the drain began"),
        }),
        InFlight::Over(requests) => Step::failed(Failure::new(
            FailureKind::Limit,
            format!(
                "{requests} in flight when the time was over, {waited} after the drain began: they fail; \
                 a longer `drain.timeout` and grace period give them more"
            ),
        )),
        InFlight::Wait(step) => step,
    }
}

fn seconds(millis: u32) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::membership;
    use outrigger_plugin_sdk::endpoint::Target;
    use outrigger_plugin_sdk::fake::FakeHost;
    use outrigger_plugin_sdk::{DrainReason, Next};

    fn at(attempt: u32, elapsed: u32) -> DrainContext {
        DrainContext {
            reason: DrainReason::RollingUpdate,
            remaining: 20_000_u32.saturating_sub(elapsed),
            elapsed,
            attempt,
            now: membership(0, 3),
        }
    }

    fn busy(host: FakeHost, counts: &[u32]) -> FakeHost {
        counts.iter().fold(host, |host, count| {
            let text = format!("piko_proxy_requests_in_flight {count}\n");
            host.endpoint("admin", Target::Local, "GET /metrics", 200, &text)
        })
    }

    #[test]
    fn a_drain_ends_as_soon_as_no_request_is_in_flight() {
        let host = busy(FakeHost::new(), &[2, 1, 0]);
        let first = drain(&at(0, 10_000));
        assert_eq!(first.next, Next::AgainIn(200));
        assert_eq!(first.note, "waits for 2 requests in flight");
        assert_eq!(drain(&at(1, 10_200)).note, "", "the same is not said twice");
        let last = drain(&at(2, 10_400));
        assert_eq!(last.next, Next::Done);
        assert_eq!(
            last.note,
            "no request is in flight any more, 10.4 s after the drain began"
        );
        assert_eq!(host.state(in_flight::KEY), Some(b"0".to_vec()));
    }

    #[test]
    fn without_requests_nothing_is_waited_for() {
        let captured = include_str!("../tests/data/metrics.prom");
        let _host = FakeHost::new().endpoint("admin", Target::Local, "GET /metrics", 200, captured);
        let step = drain(&at(0, 1_000));
        assert_eq!(
            (step.next, step.note.as_str()),
            (Next::Done, "no request is in flight")
        );
    }

    #[test]
    fn what_is_in_flight_at_the_end_is_told() {
        let host = busy(FakeHost::new(), &[3]);
        assert_eq!(drain(&at(9, 19_450)).next, Next::AgainIn(50));
        let step = drain(&at(10, 19_500));
        assert!(matches!(step.next, Next::Failed(_)));
        assert!(
            step.note
                .starts_with("3 requests in flight when the time was over, 19.5 s")
        );
        assert_eq!(host.state(in_flight::KEY), Some(b"3".to_vec()));
    }

    #[test]
    fn a_server_that_is_gone_is_not_waited_for() {
        let _host = FakeHost::new();
        assert_eq!(drain(&at(0, 0)).next, Next::Done);
    }
}
