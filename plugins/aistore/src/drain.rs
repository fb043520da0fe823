//! Stops of targets that lose nothing without saying so: not while objects move, not the second one at
//! once, and a scale-down only after its decommission. AIStore's own stop moves no data.

use outrigger_plugin_sdk::{DrainContext, Failure, FailureKind, Membership, Step, files, state};

use crate::observe::{self, Change};
use crate::settings::{Role, Settings};
use crate::smap::Map;
use crate::status::NodeStatus;

/// The file that says that this target was put into maintenance for a stop.
pub const MARKER: &str = ".outrigger-maintenance";

/// The state's key of what was told last.
const SAID: &str = "drain-said";

/// The state's key of when the primary was last asked, in milliseconds since the drain's beginning.
const ASKED: &str = "drain-asked-at";

/// Between two looks.
const WAIT_MS: u32 = 1_000;

/// Between two requests: the primary is busy for a while after each change.
const ASK_AGAIN_MS: u32 = 5_000;

/// What is kept of the deadline: AIStore's own stop takes half a second.
const RESERVE_MS: u32 = 2_000;

/// One step.
pub fn drain(settings: &Settings, context: &DrainContext) -> Step {
    if context.attempt == 0 {
        state::delete(SAID);
        state::delete(ASKED);
    }
    let now = &context.now;
    let own = match now.require_own() {
        Ok(own) => own,
        Err(failure) => return Step::failed(failure),
    };
    if settings.role == Role::Proxy {
        return Step::done("the proxy unregisters at its stop");
    }
    let step = if now.is_wanted(now.self_ordinal) {
        pause(settings, context, &own.name)
    } else {
        leave(settings, context, &own.name)
    };
    once(step)
}

/// A note that was told already is not told again.
fn once(mut step: Step) -> Step {
    if step.note.is_empty() {
        return step;
    }
    if state::get(SAID).as_deref() == Some(step.note.as_bytes()) {
        step.note.clear();
    } else if let Err(failure) = state::set(SAID, step.note.as_bytes()) {
        outrigger_plugin_sdk::debug!("It is not kept that this was said", "error" => failure.message);
    }
    step
}

/// A look again, as long as there is time.
fn again(context: &DrainContext, note: String) -> Step {
    let left = context.remaining.saturating_sub(RESERVE_MS).max(1);
    Step::again_in(WAIT_MS.min(left), note)
}

const fn is_over(context: &DrainContext) -> bool {
    context.remaining <= RESERVE_MS
}

/// Why another stop should wait: objects move, or another target is away already.
fn in_the_way(now: &Membership, status: Option<&NodeStatus>, map: Option<&Map>) -> Option<String> {
    if let Some(id) = status.and_then(|status| status.rebalance.as_ref()) {
        return Some(format!("the rebalance {id} runs"));
    }
    let map = map?;
    let own = now.self_ordinal;
    for peer in now.wanted().filter(|replica| replica.ordinal != own) {
        match map.target(&peer.name) {
            None => return Some(format!("{} is not in the cluster map", peer.name)),
            Some(node) if node.decommission => {
                return Some(format!("{} is being decommissioned", peer.name));
            }
            Some(node) if node.maintenance => {
                return Some(format!("{} is in maintenance", peer.name));
            }
            Some(_) => {}
        }
    }
    None
}

/// A stop of a target that comes back.
fn pause(settings: &Settings, context: &DrainContext, id: &str) -> Step {
    let (status, map) = observe::own();
    if status.is_none() && map.is_none() {
        return Step::done("AIStore does not answer; there is nothing to wait for");
    }
    let node = map.as_ref().and_then(|map| map.target(id));
    if map.is_some() && node.is_none() {
        return Step::done("the target is not in the cluster map; there is nothing to wait for");
    }
    let resting = node.is_some_and(|node| node.maintenance);
    if resting && settings.maintenance && state::get(ASKED).is_some() {
        return Step::done("the target is in maintenance; it unregisters at its stop");
    }
    if let Some(why) = in_the_way(&context.now, status.as_ref(), map.as_ref()) {
        if is_over(context) {
            return Step::done(format!(
                "stops although {why}: with two targets away, objects with a single copy on either answer 404"
            ));
        }
        return again(context, format!("waits: {why}"));
    }
    if settings.maintenance && !resting && node.is_some() {
        return rest(settings, context, id);
    }
    Step::done(
        "the target unregisters at its stop; what it holds in a single copy answers 404 until it is back",
    )
}

/// Asks for maintenance, which the return ends.
fn rest(settings: &Settings, context: &DrainContext, id: &str) -> Step {
    if is_over(context) {
        return Step::done("stops without maintenance, which was not entered in time");
    }
    if !may_ask(context) {
        return again(context, String::new());
    }
    // Without this nobody would end it.
    if let Err(failure) = files::write(&settings.state_volume, MARKER, id.as_bytes()) {
        return Step::done(format!(
            "stops without maintenance, whose end could not be remembered on the volume `{}`: {}",
            settings.state_volume, failure.message
        ));
    }
    match observe::change(Change::StartMaintenance, id) {
        Ok(()) => again(context, "asked for maintenance".to_owned()),
        Err(failure) if failure.kind == FailureKind::Denied => Step::done(format!(
            "stops without maintenance: {}; grant the endpoint `proxies`",
            failure.message
        )),
        // It is a courtesy: without proxies nobody sends requests either.
        Err(failure) if failure.kind == FailureKind::Unavailable => Step::done(format!(
            "stops without maintenance, since no proxy answers: {}",
            failure.message
        )),
        Err(failure) => again(context, failure.message),
    }
}

/// Whether it is time to ask the primary, and remembers that it was asked.
fn may_ask(context: &DrainContext) -> bool {
    let asked: Option<u32> = state::load(ASKED);
    let is_due = asked.is_none_or(|at| context.elapsed.saturating_sub(at) >= ASK_AGAIN_MS);
    is_due && state::store(ASKED, &context.elapsed).is_ok()
}

/// A stop of a target that does not come back.
fn leave(settings: &Settings, context: &DrainContext, id: &str) -> Step {
    if context.now.desired == 0 {
        // Nobody would be left to take objects; they come back with the claims.
        return Step::done("all targets are turned off: their objects stay on their claims");
    }
    let (status, own_map) = observe::own();
    let is_up = status.is_some();
    // A node that was removed may hold on to its last map: the newest counts.
    let others = observe::any_map(&context.now);
    let map = own_map
        .into_iter()
        .chain(others)
        .max_by_key(|map| map.version);
    let Some(map) = map else {
        return Step::done("nobody has a cluster map: there is no cluster to leave");
    };
    let Some(node) = map.target(id) else {
        return Step::done(format!(
            "the cluster map v{} does not have {id} any more: nothing is lost with it",
            map.version
        ));
    };
    if map.targets.len() == 1 {
        return Step::done(lost(
            "it is the last target, with nobody to take its objects",
            id,
            status.as_ref(),
        ));
    }
    if is_over(context) {
        let why = if node.decommission {
            "its decommission has not ended"
        } else {
            "it was not decommissioned"
        };
        let message = lost(why, id, status.as_ref());
        outrigger_plugin_sdk::error!("A target is stopped with its objects", "target" => id, "why" => why);
        return Step::failed(Failure::new(FailureKind::Conflict, message));
    }
    if node.decommission {
        return again(
            context,
            "waits: it is being decommissioned, its objects move".to_owned(),
        );
    }
    if let Some(rebalance) = status.as_ref().and_then(|status| status.rebalance.as_ref()) {
        return again(
            context,
            format!(
                "waits: the rebalance {rebalance} runs, and no decommission begins before its end"
            ),
        );
    }
    if settings.decommission && is_up {
        if !may_ask(context) {
            return again(context, String::new());
        }
        return match observe::change(Change::Decommission, id) {
            Ok(()) => again(context, "asked for its decommission".to_owned()),
            Err(failure) => again(context, format!("waits: {}", failure.message)),
        };
    }
    again(
        context,
        format!("waits for its decommission: `ais cluster add-remove-nodes decommission {id}`"),
    )
}

/// What is lost, and how it comes back.
fn lost(why: &str, id: &str, status: Option<&NodeStatus>) -> String {
    let mountpaths = status.and_then(|status| status.mountpaths);
    let on = mountpaths.map_or_else(String::new, |count| format!(" on {count} mountpaths"));
    format!(
        "{id} is stopped with its objects{on}: {why}; what has no copy elsewhere answers 404 as if it did not exist. \
         Keep its claims, scale up again, decommission it, and then scale down"
    )
}

#[cfg(test)]
mod tests;
