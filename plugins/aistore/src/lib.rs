//! AIStore's behaviour: the cluster map beside the replicas, state flags by their names, the identity on
//! the disks, stops that wait for a rebalance.
//!
//! The modules decide; this file asks the host and hands over. See the README beside it for settings,
//! verdict codes and metrics.

pub mod config;
pub mod disks;
pub mod drain;
pub mod flags;
pub mod health;
pub mod lz4;
pub mod metrics;
pub mod observe;
pub mod settings;
pub mod smap;
pub mod status;
pub mod vmd;

use outrigger_plugin_sdk::{
    Artifact, Batch, Descriptor, Diagnostic, Discovery, DrainContext, Failure, Health, Lifecycle,
    Membership, Metrics, Plan, Plugin, Probe, Reason, Replica, Step, Templating, Verdict, clock,
    export, files, info, state, warn,
};

use crate::health::Look;
use crate::metrics::Known;
use crate::observe::Change;
use crate::settings::{Role, Settings};

/// The plugin.
#[derive(Debug)]
pub struct Aistore;

export!(Aistore: discovery, templating, health, metrics, lifecycle);

/// The state's key of when the end of a maintenance was last asked for, in Unix milliseconds.
const ENDED_AT: &str = "maintenance-ended-at";

/// Between two requests to end a maintenance: the primary is busy for a while after each change.
const END_AGAIN_MS: f64 = 5_000.0;

/// The marker of a maintenance is a pod's name.
const MARKER_MAX: u32 = 1024;

impl Plugin for Aistore {
    fn describe() -> Descriptor {
        // Without readable settings the requests are those of the defaults; `configure` says the rest.
        let settings = Settings::load().unwrap_or_else(|_| Settings::of(Role::Proxy));
        Descriptor::new(
            "aistore",
            env!("CARGO_PKG_VERSION"),
            "AIStore's proxies and targets: cluster map, state, disks, rebalance and decommission",
        )
        .settings_schema(settings::SCHEMA)
        .requests(settings.requests())
    }

    fn configure() -> Result<(), Failure> {
        Settings::load().map(|_settings| ())
    }
}

impl Discovery for Aistore {
    fn resolve(now: &Membership) -> Result<Plan, Failure> {
        let settings = Settings::load()?;
        // A node that runs has accepted its disks.
        if settings.role == Role::Proxy || observe::is_alive() {
            return Ok(Plan::ready());
        }
        let own = now.require_own()?;
        let disks = observe::disks(&settings);
        if let Some(why) = disks::problem(&disks, &own.name, settings.accept_leftovers) {
            return Ok(Plan::ready().hold(why));
        }
        // With a map from before it joins by that; without one it ends after 20 s.
        if disks::is_first_start(&disks) && observe::proxy_answers() == Some(false) {
            let why = "the first start of a target waits for a proxy that answers: without one AIStore ends after 20 s";
            return Ok(Plan::ready().hold(why));
        }
        Ok(Plan::ready())
    }
}

impl Templating for Aistore {
    fn validate(now: &Membership, items: &[Artifact]) -> Result<Vec<Diagnostic>, Failure> {
        let settings = Settings::load()?;
        let mut found = Vec::new();
        for item in items {
            if settings.is_local(&item.path) {
                let disks = observe::disks(&settings);
                found.extend(config::local(
                    &item.path,
                    &item.content,
                    &settings,
                    now,
                    &disks,
                ));
            } else if settings.is_global(&item.path) {
                found.extend(config::global(&item.path, &item.content, &settings, now));
            }
        }
        Ok(found)
    }
}

impl Health for Aistore {
    fn evaluate(probe: Probe, now: &Membership) -> Result<Verdict, Failure> {
        let settings = Settings::load()?;
        Ok(match probe {
            Probe::Readiness => {
                let look = observe::look(&settings, now)?;
                end_maintenance(&settings, &look);
                let others: Vec<&Replica> = now.peers().collect();
                health::judge(&look, &others)
            }
            // Nobody is restarted for what others do.
            Probe::Startup | Probe::Liveness if observe::is_alive() => Verdict::pass(),
            Probe::Startup | Probe::Liveness => {
                let message = "AIStore's /v1/health does not answer with 200";
                Verdict::fail(vec![Reason::own("not-answering", message)])
            }
        })
    }
}

/// Ends the maintenance that this plugin began for a stop. Another's is left alone.
fn end_maintenance(settings: &Settings, look: &Look) {
    let Some(node) = look.node().filter(|_| settings.maintenance && look.alive) else {
        return;
    };
    let volume = &settings.state_volume;
    let is_ours = files::read(volume, drain::MARKER, MARKER_MAX)
        .is_ok_and(|marker| marker == node.id.as_bytes());
    if !is_ours {
        return;
    }
    if node.maintenance {
        let at = clock::wall();
        let asked: Option<f64> = state::load(ENDED_AT);
        let is_due = asked.is_none_or(|then| !(0.0..END_AGAIN_MS).contains(&(at - then)));
        if !is_due {
            return;
        }
        if let Err(failure) = state::store(ENDED_AT, &at) {
            warn!("It is not kept when the maintenance was ended", "error" => failure.message);
        }
        match observe::change(Change::StopMaintenance, &node.id) {
            Ok(()) => info!("The maintenance of the stop is ended", "target" => node.id),
            Err(failure) => {
                warn!("The maintenance of the stop cannot be ended yet", "error" => failure.message);
            }
        }
    } else if look.ready
        && let Err(failure) = files::write(volume, drain::MARKER, b"")
    {
        warn!("It is not kept that the maintenance has ended", "error" => failure.message);
    }
}

impl Metrics for Aistore {
    fn derive(now: &Membership, _scraped: &Batch) -> Result<Batch, Failure> {
        let settings = Settings::load()?;
        let (status, map) = observe::own();
        let expected = u32::try_from(settings.mountpaths.len()).ok();
        Ok(metrics::derive(&Known {
            role: settings.role,
            id: now.require_own()?.name.clone(),
            wanted: now.wanted().map(|replica| replica.name.clone()).collect(),
            status,
            map,
            mountpaths: expected.filter(|count| *count > 0),
        }))
    }
}

impl Lifecycle for Aistore {
    fn drain(context: &DrainContext) -> Step {
        match Settings::load() {
            Ok(settings) => drain::drain(&settings, context),
            Err(failure) => Step::failed(failure),
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
