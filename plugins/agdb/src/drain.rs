//! Stopping a replica without harm: not when that breaks the quorum without saying so, and by agdb's own
//! API, because agdb as PID 1 ignores SIGTERM.

use outrigger_plugin_sdk::{DrainContext, DrainReason, FailureKind, Membership, Step, state};

use crate::identity::{self, Identity};
use crate::settings::Settings;
use crate::stop::{Effect, effect};
use crate::{admin, observe, sync};

/// The state's key of when in this drain the server was asked to stop, in milliseconds since its
/// beginning.
const ASKED: &str = "drain-asked-at";

/// What is kept of the deadline for the stop itself, which takes under two seconds.
const RESERVE_MS: u32 = 5_000;

/// Between two looks for enough others.
const WAIT_MS: u32 = 1_000;

/// Between two looks whether the server is gone.
const POLL_MS: u32 = 150;

const POLL_TIMEOUT_MS: u32 = 400;

/// Whether it can wait: somebody asked for it, and nothing is lost if it comes later.
fn can_wait(reason: DrainReason) -> bool {
    matches!(
        reason,
        DrainReason::RollingUpdate | DrainReason::ConfigChange | DrainReason::Manual
    )
}

/// One step.
pub fn drain(settings: &Settings, context: &DrainContext) -> Step {
    let asked: Option<u32> = state::load(ASKED);
    match asked.filter(|_| context.attempt > 0) {
        Some(at) => watch(settings, context, at),
        None => begin(settings, context),
    }
}

fn begin(settings: &Settings, context: &DrainContext) -> Step {
    let now = &context.now;
    state::delete(ASKED);
    if !observe::is_alive(settings, POLL_TIMEOUT_MS) {
        return Step::done("agdb does not answer; there is nothing to stop");
    }
    let leaving = !now.is_wanted(now.self_ordinal);
    let look = match observe::before_stop(settings, now) {
        Ok(look) => look,
        Err(failure) => return Step::failed(failure),
    };
    let note = match effect(&look) {
        Effect::None => String::new(),
        Effect::NothingToLose(message) => format!("{message}; "),
        Effect::Breaks(message) if can_wait(context.reason) && context.remaining > RESERVE_MS => {
            let wait = WAIT_MS.min(context.remaining - RESERVE_MS);
            return Step::again_in(wait, format!("waits: {message}"));
        }
        Effect::Breaks(message) | Effect::Inevitable(message) => {
            format!("stops although {message}; ")
        }
    };
    if leaving {
        remember_leaving(settings, now);
    }
    stop(settings, context, &note)
}

/// What comes back after a scale-down comes back with old data: it waits for a leader then.
fn remember_leaving(settings: &Settings, now: &Membership) {
    state::delete(crate::JOINED);
    identity::write(settings, &Identity::own(now, false));
}

fn stop(settings: &Settings, context: &DrainContext, note: &str) -> Step {
    if !admin::is_granted(settings) {
        return Step::done(format!(
            "{note}without admin credentials the runtime's signal has to stop agdb, which as PID 1 ignores \
             SIGTERM: grant the Secret `{}` or set `drain.signal: INT`",
            settings.admin_secret
        ));
    }
    match admin::shutdown(settings) {
        Ok(()) => {
            sync::forget();
            if let Err(failure) = state::store(ASKED, &context.elapsed) {
                return Step::done(format!(
                    "{note}agdb was asked to stop; not watched: {}",
                    failure.message
                ));
            }
            Step::again_in(POLL_MS, format!("{note}agdb was asked to stop"))
        }
        Err(mut failure) => {
            if failure.kind == FailureKind::Denied {
                failure
                    .message
                    .push_str("; the runtime's signal has to stop agdb");
            }
            failure.message.insert_str(0, note);
            Step::failed(failure)
        }
    }
}

fn watch(settings: &Settings, context: &DrainContext, asked: u32) -> Step {
    if observe::is_alive(settings, POLL_TIMEOUT_MS) {
        return Step::again_in(POLL_MS, "");
    }
    state::delete(ASKED);
    let took = context.elapsed.saturating_sub(asked);
    Step::done(format!("agdb has stopped, {took} ms after it was asked to"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::membership;
    use outrigger_plugin_sdk::Next;
    use outrigger_plugin_sdk::endpoint::Target;
    use outrigger_plugin_sdk::fake::FakeHost;

    const STATUS: &str = "GET /api/v1/status";

    fn context(attempt: u32, reason: DrainReason, now: Membership) -> DrainContext {
        DrainContext {
            reason,
            remaining: 20_000,
            elapsed: attempt * 100,
            attempt,
            now,
        }
    }

    fn peers(host: FakeHost, up: &[u32]) -> FakeHost {
        up.iter().fold(host, |host, peer| {
            host.endpoint("api", Target::Peer(*peer), STATUS, 200, "")
        })
    }

    fn with_admin() -> FakeHost {
        FakeHost::new()
            .secret("agdb-admin")
            .endpoint(
                "api",
                Target::Local,
                "POST /api/v1/user/login",
                200,
                r#""t""#,
            )
            .endpoint("api", Target::Local, "POST /api/v1/admin/shutdown", 202, "")
    }

    #[test]
    fn a_replica_is_asked_to_stop_and_watched_until_it_is_gone() {
        let host = peers(with_admin(), &[0, 2])
            .endpoint("api", Target::Local, STATUS, 200, "")
            .endpoint("api", Target::Local, STATUS, 200, "")
            .refusing("api", Target::Local, STATUS);
        let settings = Settings::default();
        let step = |n| {
            drain(
                &settings,
                &context(n, DrainReason::RollingUpdate, membership(1, 3)),
            )
        };
        assert_eq!(step(0), Step::again_in(POLL_MS, "agdb was asked to stop"));
        assert_eq!(step(1), Step::again_in(POLL_MS, ""));
        assert_eq!(
            step(2),
            Step::done("agdb has stopped, 200 ms after it was asked to")
        );
        assert_eq!(host.state(ASKED), None);
    }

    #[test]
    fn a_rolling_update_waits_for_the_others_and_goes_on_near_the_deadline_saying_so() {
        let host = peers(with_admin(), &[0]).endpoint("api", Target::Local, STATUS, 200, "");
        let settings = Settings::default();
        let mut first = context(0, DrainReason::RollingUpdate, membership(1, 3));
        let step = drain(&settings, &first);
        assert_eq!(step.next, Next::AgainIn(WAIT_MS));
        assert!(
            step.note
                .starts_with("waits: 1 of 3 replicas stay up and 2 make a quorum")
        );
        first.attempt = 7;
        first.remaining = RESERVE_MS;
        let step = drain(&settings, &first);
        assert!(
            step.note.starts_with("stops although 1 of 3"),
            "{}",
            step.note
        );
        assert!(
            host.request_lines()
                .contains(&"POST local /api/v1/admin/shutdown".to_owned())
        );
    }

    #[test]
    fn a_node_drain_does_not_wait_but_says_what_it_breaks() {
        let _host = peers(with_admin(), &[]).endpoint("api", Target::Local, STATUS, 200, "");
        let step = drain(
            &Settings::default(),
            &context(0, DrainReason::NodeDrain, membership(1, 3)),
        );
        assert!(
            step.note.starts_with("stops although 0 of 3"),
            "{}",
            step.note
        );
    }

    #[test]
    fn a_change_of_the_members_goes_on_at_once_and_says_what_it_breaks() {
        const TABLE: &str = "GET /api/v1/cluster/status";
        let table = |members: &[u32]| {
            let rows: Vec<String> = members
                .iter()
                .map(|member| {
                    format!(
                        r#"{{"address":"http://agdb-{member}.agdb.default.svc.cluster.local:3000","status":true,"leader":{},"executed_index":5,"resync":false}}"#,
                        *member == 0
                    )
                })
                .collect();
            format!("[{}]", rows.join(","))
        };
        let (old, new) = (table(&[0, 1, 2]), table(&[0, 1, 2, 3, 4]));
        let host = peers(with_admin(), &[0, 2])
            .endpoint("api", Target::Local, STATUS, 200, "")
            .endpoint("api", Target::Local, TABLE, 200, &old)
            .endpoint("api", Target::Peer(0), TABLE, 200, &old)
            .endpoint("api", Target::Peer(2), TABLE, 200, &new);
        let step = drain(
            &Settings::default(),
            &context(0, DrainReason::ConfigChange, membership(1, 5)),
        );
        assert_eq!(step.next, Next::AgainIn(POLL_MS));
        assert!(
            step.note
                .starts_with("stops although the 3 members that agdb still runs with change to 5"),
            "{}",
            step.note
        );
        assert!(
            host.request_lines()
                .contains(&"POST local /api/v1/admin/shutdown".to_owned())
        );
    }

    #[test]
    fn without_credentials_it_is_done_at_once_with_the_remedy() {
        let _host = peers(FakeHost::new(), &[0, 2]).endpoint("api", Target::Local, STATUS, 200, "");
        let step = drain(
            &Settings::default(),
            &context(0, DrainReason::Manual, membership(1, 3)),
        );
        assert_eq!(step.next, Next::Done);
        assert!(step.note.contains("drain.signal: INT") && step.note.contains("`agdb-admin`"));
    }

    #[test]
    fn refused_credentials_end_the_drain_with_the_reason() {
        let _host = peers(FakeHost::new().secret("agdb-admin"), &[0, 2])
            .endpoint("api", Target::Local, STATUS, 200, "")
            .endpoint(
                "api",
                Target::Local,
                "POST /api/v1/user/login",
                401,
                "unauthorized",
            );
        let step = drain(
            &Settings::default(),
            &context(0, DrainReason::Manual, membership(1, 3)),
        );
        let Next::Failed(failure) = step.next else {
            panic!("{step:?}")
        };
        assert_eq!(failure.kind, FailureKind::Denied);
        assert!(
            failure
                .message
                .ends_with("the runtime's signal has to stop agdb")
        );
    }

    #[test]
    fn a_server_that_is_gone_already_needs_no_stop() {
        let _host = with_admin();
        let step = drain(
            &Settings::default(),
            &context(0, DrainReason::ScaleDown, membership(1, 3)),
        );
        assert_eq!(step.next, Next::Done);
    }

    #[test]
    fn a_replica_that_leaves_marks_its_data_as_old() {
        let host = peers(with_admin(), &[0, 1, 2])
            .volume("data", true)
            .endpoint("api", Target::Local, STATUS, 200, "");
        drain(
            &Settings::default(),
            &context(0, DrainReason::ScaleDown, membership(4, 3)),
        );
        let marker = host.content("data", identity::FILE).unwrap();
        let marker: Identity =
            outrigger_plugin_sdk::json::parse(std::str::from_utf8(&marker).unwrap()).unwrap();
        assert!(!marker.joined);
        assert_eq!(marker.ordinal, 4);
    }
}
