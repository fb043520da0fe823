//! How a roll fails, and what to do about it.

use std::time::Duration;

use outrigger_api_server::ApiError;

use crate::next::{Obstacle, Refusal};
use crate::note::{ANNOTATION, NoteError};
use crate::run::Target;

/// A roll did not come to its end. Nothing is lost by it: the next run goes on.
#[derive(Debug, thiserror::Error)]
pub enum RollError {
    /// There is no such StatefulSet.
    #[error("there is no StatefulSet {name} in namespace {namespace}")]
    NotFound {
        /// Where it was looked for.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Nothing may begin.
    #[error("nothing is restarted: {}", refused(.0))]
    Refused(Refusal),
    /// It took too long.
    #[error("{} within {} s{}", .last, .timeout.as_secs(), lines(.told))]
    Late {
        /// What was seen last.
        last: String,
        /// What is known besides.
        told: Vec<String>,
        /// The pod that was waited for.
        pod: Option<String>,
        /// How long it was waited.
        timeout: Duration,
    },
    /// An eviction will never be allowed as things are.
    #[error("{pod} cannot be evicted: {why}")]
    Eviction {
        /// Whose.
        pod: String,
        /// Why, as the API server says it.
        why: String,
    },
    /// Something else than a roll wrote our annotation.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Somebody took our annotation away.
    #[error("the annotation {ANNOTATION} is gone, and not all replicas are new")]
    Withdrawn,
    /// The API server refused, or cannot be asked.
    #[error("{what} failed")]
    Api {
        /// What was asked.
        what: &'static str,
        /// What it said.
        #[source]
        source: ApiError,
    },
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Leaving => "the StatefulSet is being deleted".to_owned(),
        Refusal::RollingOut(pods) => format!(
            "the StatefulSet controller replaces pods of an older template itself: {}",
            pods.join(", ")
        ),
        Refusal::NotReady(obstacles) => {
            let told: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
            told.join("; ")
        }
        Refusal::TooMany(limit) => format!("it has more than {limit} replicas"),
    }
}

fn lines(told: &[String]) -> String {
    let mut text = String::new();
    for line in told {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}

impl RollError {
    /// What to do about it.
    pub fn hint(&self, target: &Target) -> String {
        let Target { namespace, name } = target;
        match self {
            Self::NotFound { .. } => {
                "name its namespace with -n, another cluster with --context".to_owned()
            }
            Self::Refused(Refusal::RollingOut(_)) => format!(
                "wait for it: `kubectl rollout status statefulset/{name} -n {namespace}`, then run this again"
            ),
            Self::Refused(Refusal::NotReady(obstacles)) => {
                let pod = obstacles.iter().find_map(Obstacle::pod).unwrap_or(name);
                format!(
                    "mend it first: `kubectl describe pod {pod} -n {namespace}`; what is not whole is not restarted"
                )
            }
            Self::Refused(Refusal::Leaving) => "there is nothing to do".to_owned(),
            Self::Refused(Refusal::TooMany(_)) => "use `kubectl rollout restart`".to_owned(),
            Self::Late { pod: Some(pod), .. } => format!(
                "`kubectl describe pod {pod} -n {namespace}` tells more; nothing else is evicted meanwhile, and running this again goes on from here"
            ),
            Self::Late { pod: None, .. } | Self::Withdrawn => {
                "running this again goes on from here".to_owned()
            }
            Self::Eviction { .. } => format!(
                "`kubectl get poddisruptionbudget -n {namespace}`; running this again goes on from here"
            ),
            Self::Note(_) => "--restart writes a new one".to_owned(),
            Self::Api { source, .. } if source.is(403) => {
                "the rights that it takes are in manifests/README.md, \"Who may roll\"".to_owned()
            }
            Self::Api { source, .. } if source.is(401) => {
                "is the kubeconfig's user still good?".to_owned()
            }
            Self::Api { .. } => "running this again goes on from here".to_owned(),
        }
    }
}
