//! agdb's behaviour: templating, health, metrics and drain of a Raft cluster of agdb servers.
//!
//! The modules decide; this file asks the host and hands over. See the README beside it for settings,
//! verdict codes, metrics, and what the real server does when the number of replicas changes.

pub mod admin;
pub mod config;
pub mod drain;
pub mod health;
pub mod identity;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod say_once;
pub mod settings;
pub mod start;
pub mod status;
pub mod stop;
pub mod sync;
pub mod template;

use outrigger_plugin_sdk::{
    Artifact, Batch, Descriptor, Diagnostic, Discovery, DrainContext, Failure, FailureKind, Health,
    Lifecycle, Membership, Metrics, Plan, Plugin, Probe, Status, Step, Templating, Verdict, export,
    files, state,
};

use crate::identity::{Identity, Recorded};
use crate::say_once::say_once;
use crate::settings::Settings;
use crate::status::{Look, leader};

/// The plugin.
#[derive(Debug)]
pub struct Agdb;

export!(Agdb: discovery, templating, health, metrics, lifecycle);

/// The state's key that says that the marker of identity is known to say `joined`.
pub(crate) const JOINED: &str = "joined";

/// The state's key of the last leader's URL.
const LEADER: &str = "leader";

/// The state's key of how often it changed.
const LEADER_CHANGES: &str = "leader-changes";

/// How long the own server may take before a start is taken to be ahead.
const ALIVE_TIMEOUT_MS: u32 = 300;

/// The state's key of when this replica began to wait for others to catch up, in Unix milliseconds.
const QUEUED_SINCE: &str = "queued-since";

/// How long it does: a small snapshot takes two seconds.
const QUEUE_MS: u64 = 30_000;

/// More than any pepper: what is longer has not 16 bytes.
const PEPPER_BYTES_MAX: u32 = 4096;

impl Plugin for Agdb {
    fn describe() -> Descriptor {
        // Without readable settings the requests are those of the defaults; `configure` says the rest.
        let settings = Settings::load().unwrap_or_default();
        Descriptor::new(
            "agdb",
            env!("CARGO_PKG_VERSION"),
            "agdb_server as a Raft cluster: configuration, health, metrics and drain",
        )
        .settings_schema(settings::SCHEMA)
        .requests(settings.requests())
    }

    fn configure() -> Result<(), Failure> {
        Settings::load().map(|_settings| ())
    }
}

impl Discovery for Agdb {
    fn resolve(now: &Membership) -> Result<Plan, Failure> {
        let settings = Settings::load()?;
        let plan = plan::plan(&settings, now);
        let recorded = identity::read(&settings);
        if let Some(mismatch) = identity::mismatch(&recorded, now) {
            return Ok(plan.hold(mismatch));
        }
        // A server that runs is past its start, and a lone one has nobody to wait for.
        let lone = now.peers().next().is_none();
        if lone || observe::is_alive(&settings, ALIVE_TIMEOUT_MS) {
            return Ok(plan);
        }
        let wanted = settings.cluster(now);
        let own = now.own().map(|own| settings.url(own)).unwrap_or_default();
        let peers = observe::before_start(&settings, now);
        let newcomer = identity::is_newcomer(&recorded);
        let reason = start::hold(&own, now.self_ordinal, newcomer, &wanted, &peers)
            .or_else(|| newcomer.then(|| queue(now.self_ordinal, &peers)).flatten());
        Ok(match reason {
            Some(reason) => plan.hold(reason),
            None => plan,
        })
    }
}

/// Lets newcomers with lower ordinals go first, for a while: one that never comes must not keep this one
/// out, and what could go wrong then is a resync that has to be repeated.
fn queue(ordinal: u32, peers: &[status::Seen]) -> Option<String> {
    let reason = start::queue(ordinal, peers)?;
    let now = admin::unix_ms();
    let since: u64 = state::load(QUEUED_SINCE).unwrap_or(now);
    if let Err(failure) = state::store(QUEUED_SINCE, &since) {
        outrigger_plugin_sdk::warn!("This replica does not wait for others to catch up", "error" => failure.message);
        return None;
    }
    // A clock that was set back does not lock it out.
    now.checked_sub(since)
        .is_some_and(|waited| waited < QUEUE_MS)
        .then_some(reason)
}

impl Templating for Agdb {
    fn render(now: &Membership, wanted: &[String]) -> Result<Vec<Artifact>, Failure> {
        let settings = Settings::load()?;
        wanted
            .iter()
            .map(|path| {
                if !template::is_config(path) {
                    return Err(Failure::unsupported(format!(
                        "`{path}`: the plugin renders `{}` alone, the one name that agdb reads",
                        template::FILE_NAME
                    )));
                }
                template::render(path, &settings, now)
                    .ok_or_else(|| Failure::internal("this replica is not among the replicas"))
            })
            .collect()
    }

    fn validate(now: &Membership, items: &[Artifact]) -> Result<Vec<Diagnostic>, Failure> {
        let settings = Settings::load()?;
        let mut found = Vec::new();
        for item in items.iter().filter(|item| template::is_config(&item.path)) {
            found.extend(template::check(&item.path, &item.content, &settings, now));
            found.extend(pepper(item, &settings));
            found.extend(recorded_identity(item, &settings, now));
        }
        Ok(found)
    }
}

/// The pepper of a configuration, where its file can be read.
fn pepper(item: &Artifact, settings: &Settings) -> Option<Diagnostic> {
    let config = config::parse(&String::from_utf8_lossy(&item.content));
    let line = config.entry("pepper_path")?.line;
    let path = config.pepper_path()?;
    let Some(pepper) = &settings.pepper else {
        say_once(
            "pepper",
            "The pepper is not checked",
            &format!("the setting `pepper` does not say in which volume {path} lies"),
        );
        return None;
    };
    let hint =
        "put exactly 16 bytes into the file; losing or changing it makes all passwords invalid";
    match files::read(&pepper.volume, &pepper.path, PEPPER_BYTES_MAX) {
        Ok(bytes) => template::pepper_problem(&bytes)
            .map(|problem| Diagnostic::error(&item.path, line, problem).hint(hint)),
        Err(failure) if failure.kind == FailureKind::Denied => {
            say_once("pepper", "The pepper is not checked", &failure.message);
            None
        }
        Err(failure) => Some(
            Diagnostic::error(
                &item.path,
                line,
                format!("the pepper cannot be read: {}", failure.message),
            )
            .hint(hint),
        ),
    }
}

/// Refuses another's data, and marks data that nobody marked.
fn recorded_identity(item: &Artifact, settings: &Settings, now: &Membership) -> Option<Diagnostic> {
    let recorded = identity::read(settings);
    if let Some(mismatch) = identity::mismatch(&recorded, now) {
        let hint = format!(
            "give this replica its own volume; if the data shall be its own, remove `{}` from the volume `{}`",
            identity::FILE,
            settings.data_volume
        );
        return Some(Diagnostic::error(&item.path, 0, mismatch).hint(hint));
    }
    match recorded {
        Recorded::Nothing { data } if now.is_wanted(now.self_ordinal) => {
            // A new volume under an old sidecar's state: it has to join again.
            state::delete(JOINED);
            identity::write(settings, &Identity::own(now, data));
        }
        Recorded::Broken => {
            let message = format!(
                "`{}` in the volume `{}` is not understood",
                identity::FILE,
                settings.data_volume
            );
            return Some(
                Diagnostic::warning(&item.path, 0, message).hint("remove it; it is written again"),
            );
        }
        Recorded::Nothing { .. } | Recorded::Identity(_) => {}
        Recorded::Unknown(reason) => {
            say_once(
                "identity",
                "The data folder's identity is not checked",
                &reason,
            );
        }
    }
    None
}

impl Health for Agdb {
    fn evaluate(probe: Probe, now: &Membership) -> Result<Verdict, Failure> {
        let settings = Settings::load()?;
        let look = match probe {
            Probe::Readiness => observe::look(&settings, now, true)?,
            Probe::Startup | Probe::Liveness => observe::own_only(&settings, now)?,
        };
        let verdict = health::judge(probe, &look, sync::note(&look), settings.lag_limit);
        if probe == Probe::Readiness {
            note_leader(&look);
            if verdict.status == Status::Pass && state::get(JOINED).is_none() {
                note_joined(&settings, now);
            }
        }
        Ok(verdict)
    }
}

/// The replica takes part: its data are those of a member from now on.
fn note_joined(settings: &Settings, now: &Membership) {
    if state::set(JOINED, b"1").is_ok() {
        identity::write(settings, &Identity::own(now, true));
    }
}

/// Counts a change of the leader. Gives how many there were.
fn note_leader(look: &Look) -> u32 {
    let changes: u32 = state::load(LEADER_CHANGES).unwrap_or_default();
    let Some(leader) = look.own.table.as_deref().and_then(leader) else {
        return changes;
    };
    let before: Option<String> = state::load(LEADER);
    if before.as_deref() == Some(leader) {
        return changes;
    }
    let changes = changes.saturating_add(u32::from(before.is_some()));
    let kept = state::store(LEADER, leader).and_then(|()| state::store(LEADER_CHANGES, &changes));
    if let Err(failure) = kept {
        outrigger_plugin_sdk::warn!("A change of the leader is not counted", "error" => failure.message);
    }
    changes
}

impl Metrics for Agdb {
    fn derive(now: &Membership, _scraped: &Batch) -> Result<Batch, Failure> {
        let settings = Settings::load()?;
        let look = observe::look(&settings, now, false)?;
        let changes = note_leader(&look);
        let admin = (look.own.answers && admin::is_granted(&settings))
            .then(|| admin::status(&settings))
            .and_then(|status| match status {
                Ok(status) => Some(status),
                Err(failure) => {
                    outrigger_plugin_sdk::debug!("No admin status", "reason" => failure.message);
                    None
                }
            });
        Ok(metrics::derive(&look, changes, admin.as_ref()))
    }
}

impl Lifecycle for Agdb {
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
