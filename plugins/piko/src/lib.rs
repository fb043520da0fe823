//! Piko's behaviour: joining once and together, split brain, drain of requests in flight.
//!
//! The modules decide; this file asks the host and hands over. See the README beside it for settings,
//! verdict codes and metrics.

pub mod cluster;
pub mod config;
pub mod drain;
pub mod health;
pub mod metrics;
pub mod nodes;
pub mod observe;
pub mod plan;
pub mod settings;

use outrigger_plugin_sdk::{
    Artifact, Batch, Descriptor, Diagnostic, Discovery, DrainContext, Failure, Health, Lifecycle,
    Membership, Metrics, Plan, Plugin, Probe, Reason, Status, Step, Templating, Verdict, export,
    first_start, state, stopwatch,
};

use crate::cluster::Look;
use crate::health::Memory;
use crate::settings::Settings;

/// The plugin.
#[derive(Debug)]
pub struct Piko;

export!(Piko: discovery, templating, health, metrics, lifecycle);

/// The state's key of the node ID that was a ready member: another one is another process.
const JOINED: &str = "joined";

/// The key of how long there have been strangers.
const SPLIT: &str = "split";

/// The key of how long ago all replicas were asked and agreed.
const AGREED: &str = "agreed";

/// How long the own list is enough after all agreed, in milliseconds: each replica asking each other one
/// every second would be a hundred requests a second among ten.
const AGREED_MS: u64 = 10_000;

impl Plugin for Piko {
    fn describe() -> Descriptor {
        Descriptor::new(
            "piko",
            env!("CARGO_PKG_VERSION"),
            "Piko servers: joining, split brain, node IDs, drain of requests in flight",
        )
        .settings_schema(settings::SCHEMA)
        .requests(settings::REQUESTS)
    }

    fn configure() -> Result<(), Failure> {
        Settings::load().map(|_settings| ())
    }
}

impl Discovery for Piko {
    fn resolve(now: &Membership) -> Result<Plan, Failure> {
        let plan = plan::plan(&Settings::load()?, now)?;
        // A server that runs is past its start, and a lone one has nobody to wait for.
        if now.wanted().count() < 2 || observe::is_alive() {
            first_start::started();
            return Ok(plan);
        }
        Ok(match first_start::hold(now, &observe::running(now)) {
            Some(reason) => plan.hold(reason),
            None => plan,
        })
    }
}

impl Templating for Piko {
    fn validate(now: &Membership, items: &[Artifact]) -> Result<Vec<Diagnostic>, Failure> {
        let settings = Settings::load()?;
        Ok(items
            .iter()
            .filter(|item| settings.is_config(&item.path))
            .flat_map(|item| config::check(&item.path, &item.content, &settings, now))
            .collect())
    }
}

impl Health for Piko {
    fn evaluate(probe: Probe, now: &Membership) -> Result<Verdict, Failure> {
        Ok(match probe {
            Probe::Readiness => readiness(now),
            // Nobody is restarted for what others do.
            Probe::Startup | Probe::Liveness if observe::is_alive() => Verdict::pass(),
            Probe::Startup | Probe::Liveness => {
                let message = "Piko's /health does not answer";
                Verdict::fail(vec![Reason::own("not-answering", message)])
            }
        })
    }
}

fn readiness(now: &Membership) -> Verdict {
    let mut look = observe::own(now);
    let memory = Memory {
        joined: look.id.is_some() && state::load(JOINED) == look.id,
        split_ms: stopwatch::elapsed(SPLIT).unwrap_or_default(),
    };
    // While all agreed lately and the own list is whole, the others need not be asked.
    let sees_all = look
        .members
        .iter()
        .all(|member| !member.wanted || look.is_active(member));
    let agreed = stopwatch::elapsed(AGREED).is_some_and(|elapsed| elapsed < AGREED_MS);
    let asked = !(sees_all && agreed && memory.joined);
    if asked {
        observe::ask_peers(&mut look);
    }
    let judged = health::judge(&look, memory);
    if judged.split {
        stopwatch::start(SPLIT);
    } else {
        stopwatch::stop(SPLIT);
    }
    if judged.verdict.status != Status::Pass {
        stopwatch::stop(AGREED);
    } else if asked {
        stopwatch::restart(AGREED);
    }
    let is_member = matches!(judged.verdict.status, Status::Pass | Status::Degraded);
    if is_member
        && !memory.joined
        && let Some(id) = &look.id
        && let Err(failure) = state::store(JOINED, id)
    {
        outrigger_plugin_sdk::warn!("It is not kept that this server joined", "error" => failure.message);
    }
    judged.verdict
}

impl Metrics for Piko {
    fn derive(now: &Membership, _scraped: &Batch) -> Result<Batch, Failure> {
        let mut look: Look = observe::own(now);
        observe::ask_peers(&mut look);
        let changes = metrics::note_ids(&look);
        Ok(metrics::derive(
            &look,
            changes,
            outrigger_plugin_sdk::in_flight::last(),
        ))
    }
}

impl Lifecycle for Piko {
    fn drain(context: &DrainContext) -> Step {
        drain::drain(context)
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
