//! TAG's behaviour: membership beside the ring, the disk and its cap, a start that joins, drain of requests
//! in flight.
//!
//! The modules decide; this file asks the host and hands over. See the README beside it for settings,
//! verdict codes and metrics.

pub mod config;
pub mod counts;
pub mod disk;
pub mod drain;
pub mod faults;
pub mod health;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod settings;
pub mod variables;

use outrigger_plugin_sdk::env::{self, Variable};
use outrigger_plugin_sdk::{
    Artifact, Batch, Descriptor, Diagnostic, Discovery, DrainContext, Failure, Health, Lifecycle,
    Membership, Metrics, Plan, Plugin, Probe, Reason, Status, Step, Templating, Verdict, export,
    first_start, state, stopwatch,
};

use crate::health::{Look, Memory};
use crate::metrics::Known;
use crate::settings::Settings;

/// The plugin.
#[derive(Debug)]
pub struct Tag;

export!(Tag: discovery, templating, health, metrics, lifecycle);

/// The state's key of when the process was started that was a ready member.
const JOINED: &str = "joined";

/// The key of how long members have been missing.
const SHORT: &str = "short";

/// The key of how long ago the upstream was asked.
const UPSTREAM_ASKED: &str = "upstream-asked";

/// The state's key of why it did not answer then; empty when it did.
const UPSTREAM_WHY: &str = "upstream-why";

/// How long an answer of the upstream, which may be far and may cost money, is good, in milliseconds.
const UPSTREAM_MS: u64 = 10_000;

impl Plugin for Tag {
    fn describe() -> Descriptor {
        // Without readable settings the requests are those of the defaults; `configure` says the rest.
        let settings = Settings::load().unwrap_or_default();
        Descriptor::new(
            "tag",
            env!("CARGO_PKG_VERSION"),
            "TAG (Tigris Acceleration Gateway): membership, ring, disk cap and drain",
        )
        .settings_schema(settings::SCHEMA)
        .requests(settings.requests())
    }

    fn configure() -> Result<(), Failure> {
        Settings::load().map(|_settings| ())
    }
}

impl Discovery for Tag {
    fn resolve(now: &Membership) -> Result<Plan, Failure> {
        let settings = Settings::load()?;
        let plan = plan::plan(&settings, now, observe::disk(&settings))?;
        // A server that runs is past its start, and a lone one has nobody to wait for.
        if !settings.cluster || now.wanted().count() < 2 || observe::is_alive() {
            first_start::started();
            return Ok(plan);
        }
        Ok(match first_start::hold(now, &observe::running(now)) {
            Some(reason) => plan.hold(reason),
            None => plan,
        })
    }
}

impl Templating for Tag {
    fn validate(now: &Membership, items: &[Artifact]) -> Result<Vec<Diagnostic>, Failure> {
        let settings = Settings::load()?;
        let total = observe::disk(&settings).map(|disk| disk.total);
        let env: Vec<Variable> = items.iter().flat_map(env::variables).collect();
        let mut found = variables::check(&env, &settings, now, total);
        for item in items.iter().filter(|item| settings.is_config(&item.path)) {
            let of_file = config::check(&item.path, &item.content, &settings, now, &env, total);
            found.extend(of_file);
        }
        Ok(found)
    }
}

impl Health for Tag {
    fn evaluate(probe: Probe, now: &Membership) -> Result<Verdict, Failure> {
        let settings = Settings::load()?;
        Ok(match probe {
            Probe::Readiness => readiness(&settings, now),
            // Nobody is restarted for what others do.
            Probe::Startup | Probe::Liveness if observe::is_alive() => Verdict::pass(),
            Probe::Startup | Probe::Liveness => {
                let message = "TAG's /health does not answer";
                Verdict::fail(vec![Reason::own("not-answering", message)])
            }
        })
    }
}

fn readiness(settings: &Settings, now: &Membership) -> Verdict {
    let look = observe::look(now, settings.cluster);
    if look.is_short() {
        stopwatch::start(SHORT);
    } else {
        stopwatch::stop(SHORT);
    }
    let process = process(&look);
    let memory = Memory {
        joined: process.is_some() && state::load(JOINED) == process,
        short_ms: stopwatch::elapsed(SHORT).unwrap_or_default(),
    };
    let mut notes = Vec::new();
    if let Some(full) = observe::disk(settings).and_then(disk::headroom) {
        notes.push(Reason::own("disk-low", full));
    }
    if look.healthy
        && let Some(why) = upstream(settings).filter(|why| !why.is_empty())
    {
        notes.push(Reason::cluster(
            "upstream-unreachable",
            format!("the upstream does not answer: {why}; what is in the cache is served"),
        ));
    }
    let verdict = health::judge(&look, memory, settings.cluster, notes);
    let is_member = matches!(verdict.status, Status::Pass | Status::Degraded);
    if is_member
        && !memory.joined
        && let Some(process) = &process
    {
        keep(JOINED, process);
    }
    verdict
}

/// What tells this process of TAG from the next.
fn process(look: &Look) -> Option<String> {
    look.counts.as_ref()?.process.clone()
}

/// Why the upstream did not answer when it was last asked, empty when it did; none where it is not granted.
/// Asks again where that is too long ago.
fn upstream(settings: &Settings) -> Option<String> {
    if stopwatch::elapsed(UPSTREAM_ASKED).is_some_and(|elapsed| elapsed < UPSTREAM_MS) {
        return state::load(UPSTREAM_WHY);
    }
    let why = match observe::upstream(settings)? {
        Ok(()) => String::new(),
        Err(why) => why,
    };
    stopwatch::restart(UPSTREAM_ASKED);
    keep(UPSTREAM_WHY, &why);
    Some(why)
}

fn keep(key: &str, value: &str) {
    if let Err(failure) = state::store(key, value) {
        outrigger_plugin_sdk::warn!("Something is not kept", "key" => key, "error" => failure.message);
    }
}

impl Metrics for Tag {
    fn derive(now: &Membership, _scraped: &Batch) -> Result<Batch, Failure> {
        let settings = Settings::load()?;
        let disk = observe::disk(&settings);
        let upstream: Option<String> = state::load(UPSTREAM_WHY);
        Ok(metrics::derive(&Known {
            wanted: now.desired,
            counts: observe::own_counts(),
            disk,
            cap: plan::cap(&settings, disk).ok().flatten(),
            upstream: upstream.map(|why| why.is_empty()),
            drained: outrigger_plugin_sdk::in_flight::last(),
        }))
    }
}

impl Lifecycle for Tag {
    fn drain(context: &DrainContext) -> Step {
        drain::drain(context)
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
