//! What a plugin implements: one trait for each interface, with defaults where a default makes sense.
//!
//! The functions have no receiver: every call runs in a fresh instance, so there is nothing to keep
//! between two of them. What must live on goes into [`state`](crate::state).

use crate::{
    Artifact, Batch, Descriptor, Diagnostic, DrainContext, Failure, Membership, Plan, Probe, Step,
    Verdict,
};

/// Who the plugin is. Mandatory.
pub trait Plugin {
    /// Describes the plugin. Called once at loading, without any grant.
    fn describe() -> Descriptor;

    /// Checks the settings beyond what their schema says. Called at loading and after each change.
    fn configure() -> Result<(), Failure> {
        Ok(())
    }
}

/// What the workload's configuration should say about its peers.
pub trait Discovery {
    /// Values for templates, hosts to join, and whether a start now would be safe. Called whenever the
    /// membership changes and before each render.
    fn resolve(now: &Membership) -> Result<Plan, Failure>;
}

/// Configuration files.
pub trait Templating {
    /// Renders the files that the profile takes from the plugin; `wanted` are their paths.
    ///
    /// The default refuses: this plugin renders nothing.
    fn render(_now: &Membership, wanted: &[String]) -> Result<Vec<Artifact>, Failure> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        Err(Failure::unsupported(format!(
            "this plugin renders no files, and `{}` is taken `from: plugin`",
            wanted.join("`, `")
        )))
    }

    /// Checks the whole set before any of it is put in place: the files, and the rendered variables, which
    /// [`env`](crate::env) reads. The default finds nothing.
    fn validate(_now: &Membership, _items: &[Artifact]) -> Result<Vec<Diagnostic>, Failure> {
        Ok(Vec::new())
    }
}

/// Whether the workload is really healthy.
pub trait Health {
    /// The verdict for one probe.
    fn evaluate(probe: Probe, now: &Membership) -> Result<Verdict, Failure>;
}

/// Series derived from what the workload says.
pub trait Metrics {
    /// The series of this moment. `scraped` holds what [`Metrics::wants`] matched.
    fn derive(now: &Membership, scraped: &Batch) -> Result<Batch, Failure>;

    /// The names of the workload's families that [`Metrics::derive`] needs; a `*` at the end matches
    /// any rest. The default needs none.
    fn wants() -> Vec<String> {
        Vec::new()
    }
}

/// Taking a replica out of service without harm.
pub trait Lifecycle {
    /// One step of a drain. Called until its `next` is done or failed, or the deadline comes.
    fn drain(context: &DrainContext) -> Step;
}

/// Handing over between two generations of the same plugin.
pub trait Handover {
    /// What the new generation should know, at most 64 KiB. The default has nothing to say.
    fn save() -> Vec<u8> {
        Vec::new()
    }

    /// Takes over; a failure refuses the swap. The default takes over without looking.
    fn restore(_from_version: &str, _data: &[u8]) -> Result<(), Failure> {
        Ok(())
    }
}
