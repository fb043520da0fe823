//! Oxia's behaviour: shards and servers as the coordinator sees them, for the coordinator and the data servers.
//!
//! The modules decide; this file asks the host and hands over. See the README beside it for settings,
//! verdict codes and metrics.

pub mod census;
pub mod config;
pub mod coordinator;
pub mod drain;
pub mod elections;
pub mod memory;
pub mod observe;
pub mod series;
pub mod server;
pub mod server_config;
pub mod settings;
pub mod status;

use outrigger_plugin_sdk::batch::Builder;
use outrigger_plugin_sdk::{
    Artifact, Batch, Descriptor, Diagnostic, DrainContext, Failure, Health, Lifecycle, Membership,
    Metrics, Plugin, Probe, Scope, Status, Step, Templating, Verdict, export,
};

use crate::census::{Running, census};
use crate::server::{Look, Told};
use crate::settings::{Role, Settings};

/// The plugin.
#[derive(Debug)]
pub struct Oxia;

export!(Oxia: templating, health, metrics, lifecycle);

impl Plugin for Oxia {
    fn describe() -> Descriptor {
        // Without readable settings the requests are those of the defaults; `configure` says the rest.
        let settings = Settings::load().unwrap_or_default();
        Descriptor::new(
            "oxia",
            env!("CARGO_PKG_VERSION"),
            "Oxia: shards, elections and servers, readiness, drain",
        )
        .settings_schema(settings::SCHEMA)
        .requests(settings.requests())
    }

    fn configure() -> Result<(), Failure> {
        Settings::load().map(|_settings| ())
    }
}

impl Templating for Oxia {
    fn validate(_now: &Membership, items: &[Artifact]) -> Result<Vec<Diagnostic>, Failure> {
        let settings = Settings::load()?;
        let checked = items.iter().filter(|item| settings.is_checked(&item.path));
        Ok(match settings.role {
            Role::Server => checked
                .flat_map(|item| server_config::check(&item.path, &item.content))
                .collect(),
            Role::Coordinator => {
                let status = observe::status(&settings).ok();
                let services = &settings.client_services;
                checked
                    .flat_map(|item| {
                        config::check(&item.path, &item.content, services, status.as_ref())
                    })
                    .collect()
            }
        })
    }
}

impl Health for Oxia {
    fn evaluate(probe: Probe, now: &Membership) -> Result<Verdict, Failure> {
        let settings = Settings::load()?;
        Ok(match (probe, settings.role) {
            // The host asks for gRPC health itself, and nobody is restarted for what others do.
            (Probe::Startup | Probe::Liveness, _) => Verdict::pass(),
            (Probe::Readiness, Role::Coordinator) => beside_the_coordinator(&settings),
            (Probe::Readiness, Role::Server) => beside_a_server(now),
        })
    }
}

fn beside_the_coordinator(settings: &Settings) -> Verdict {
    let running = observe::running();
    let servers = running.clone().unwrap_or_default();
    let counted = observe::status(settings).map(|status| census(&status, &servers));
    coordinator::judge(counted.as_ref(), running.is_some())
}

fn beside_a_server(now: &Membership) -> Verdict {
    if let Some(own) = observe::own() {
        memory::take(own);
    }
    let name = now.own().map(|own| own.name.clone()).unwrap_or_default();
    let look = Look {
        told: observe::told(&name),
        name,
        refused: memory::was_refused(),
        stuck_ms: memory::stuck_ms(),
    };
    let verdict = server::judge(&look);
    if matches!(look.told, Told::Said(_)) {
        let of_its_own = |verdict: &Verdict| {
            let mut reasons = verdict.reasons.iter();
            reasons.any(|reason| reason.scope == Scope::Replica)
        };
        memory::refuse(verdict.status == Status::Fail && of_its_own(&verdict));
    }
    verdict
}

impl Metrics for Oxia {
    fn derive(_now: &Membership, scraped: &Batch) -> Result<Batch, Failure> {
        let settings = Settings::load()?;
        if settings.role == Role::Server {
            return Ok(of_a_server());
        }
        let Ok(status) = observe::status(&settings) else {
            return Ok(Batch::empty());
        };
        let running: Running = series::scraped(scraped);
        let elections = elections::count(&status);
        Ok(series::derive(&census(&status, &running), elections))
    }

    fn wants() -> Vec<String> {
        vec![series::RUNNING.to_owned()]
    }
}

fn of_a_server() -> Batch {
    let (now, last) = memory::not_ready_seconds();
    let mut batch = Builder::new();
    let family = batch.gauge(
        "oxia_derived_not_ready_seconds",
        "For how long this server is not ready; 0 when it is.",
    );
    batch.sample(family, &[], now);
    if let Some(last) = last {
        let family = batch.gauge(
            "oxia_derived_last_not_ready_seconds",
            "For how long it was not ready before it became so: a start, or a fault.",
        );
        batch.sample(family, &[], last);
    }
    batch.build()
}

impl Lifecycle for Oxia {
    fn drain(context: &DrainContext) -> Step {
        match Settings::load() {
            Ok(settings) if settings.role == Role::Coordinator => {
                Step::done("reads and writes go on without the coordinator")
            }
            Ok(_) => drain::drain(context),
            Err(failure) => Step::failed(failure),
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
