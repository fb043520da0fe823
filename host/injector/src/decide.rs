//! The decision about one pod: inject, skip or deny, each with its reason. Pure: a function of the
//! request, of what is known of its owner, of the settings and of random bytes.

use std::fmt;

use outrigger_profile::Finding;
use serde_json::Value;

use crate::entropy::Entropy;
use crate::facts::Catalog;
use crate::injection::Injection;
use crate::settings::Settings;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The namespace of the pod; that of the review where the pod itself names none.
    pub namespace: &'a str,
    /// The pod, or what a manifest's pod template makes of one: `metadata` and `spec`.
    pub pod: &'a Value,
    /// What is done to it.
    pub operation: Operation,
    /// Whether nothing of this will be kept. The decision is the same; whoever acts on it leaves no
    /// trace elsewhere, such as an Event.
    pub dry_run: bool,
    /// Who controls it; none = nobody, a bare pod.
    pub owner: Option<Owner<'a>>,
}

/// What is done to the object of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// CREATE
    Create,
    /// UPDATE
    Update,
    /// DELETE
    Delete,
    /// CONNECT
    Connect,
}

/// The controller of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Its API version, such as `apps/v1`.
    pub api_version: &'a str,
    /// Its kind, such as `StatefulSet`.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid; none in a manifest.
    pub uid: Option<&'a str>,
}

impl<'a> Owner<'a> {
    /// The owner with `controller: true` among a pod's `ownerReferences`.
    pub fn of(pod: &'a Value) -> Option<Self> {
        let references = pod.get("metadata")?.get("ownerReferences")?.as_array()?;
        let controller = references
            .iter()
            .find(|one| one.get("controller").and_then(Value::as_bool) == Some(true))?;
        let text = |key: &str| controller.get(key).and_then(Value::as_str);
        Some(Self {
            api_version: text("apiVersion")?,
            kind: text("kind")?,
            name: text("name")?,
            uid: text("uid"),
        })
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The decision.
    pub decision: Decision,
    /// What whoever asked should know besides.
    pub warnings: Vec<Warning>,
}

/// What whoever asked should know, and where it is mended. As one text, for the admission response, it
/// is at most 120 bytes as far as possible, since API servers may cut longer ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where in a manifest.
    pub place: Place,
    /// One sentence, lower case, no full stop.
    pub problem: String,
    /// What to do; empty where the problem says it.
    pub hint: String,
}

/// A place that a [`Warning`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the pod or pod template, such as `spec.securityContext`.
    Pod(String),
    /// In the object that controls it, such as `spec.serviceName`.
    Owner(&'static str),
}

impl Warning {
    pub(crate) fn of_pod(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: Place::Pod(path.into()),
            problem: problem.into(),
            hint: String::new(),
        }
    }

    pub(crate) fn of_owner(path: &'static str, problem: impl Into<String>) -> Self {
        Self {
            place: Place::Owner(path),
            problem: problem.into(),
            hint: String::new(),
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        if !self.hint.is_empty() {
            write!(f, ": {}", self.hint)?;
        }
        Ok(())
    }
}

/// Inject, skip or deny.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The pod gets the sidecar: [`crate::patch`] says how.
    Inject(Box<Injection>),
    /// The pod stays as it is.
    Skip(SkipReason),
    /// The pod is refused.
    Deny(Denial),
}

/// Why a pod stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// It is not being created.
    NotCreated,
    /// It has no label `outrigger.dev/inject`.
    NotAsked,
    /// Its label says `false`.
    OptedOut,
    /// Nobody controls it, or somebody other than a StatefulSet.
    Owner {
        /// The controller's kind; none = a bare pod.
        kind: Option<String>,
    },
    /// It has what would deny it, and the annotation `outrigger.dev/required: "false"`.
    NotRequired(Box<Denial>),
}

impl SkipReason {
    /// One word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCreated => "not-created",
            Self::NotAsked => "not-asked",
            Self::OptedOut => "opted-out",
            Self::Owner { .. } => "owner",
            Self::NotRequired(_) => "not-required",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCreated => f.write_str("the sidecar is injected when a pod is created"),
            Self::NotAsked => f.write_str("the pod has no label outrigger.dev/inject: \"true\""),
            Self::OptedOut => f.write_str("the pod has the label outrigger.dev/inject: \"false\""),
            Self::Owner { kind: None } => {
                f.write_str("no StatefulSet controls this pod, so it is no replica of anything")
            }
            Self::Owner { kind: Some(kind) } => write!(
                f,
                "a {kind} controls this pod, and only pods of an apps/v1 StatefulSet are replicas"
            ),
            Self::NotRequired(denial) => {
                write!(
                    f,
                    "outrigger.dev/required is \"false\", and {}",
                    denial.message
                )
            }
        }
    }
}

/// Why a pod is refused, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Which rule, for metrics and tests.
    pub code: DenyCode,
    /// What is wrong: one sentence, lower case, no full stop.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// What is wrong in detail, where it is a document or several annotations.
    pub findings: Vec<Finding>,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        if !self.hint.is_empty() {
            write!(f, "\nhint: {}", self.hint)?;
        }
        Ok(())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)*) => {
        /// Which rule refused a pod.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DenyCode {
            $($(#[$doc])* $variant,)*
        }

        impl DenyCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// One word for metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

codes! {
    /// Something in the pod is not what Kubernetes would take.
    Malformed = "malformed";
    /// A key under our prefix that does not exist, or a value that it cannot have.
    Annotations = "annotations";
    /// No profile is named, or two are.
    NoProfile = "no-profile";
    /// The named profile is not there.
    ProfileMissing = "profile-missing";
    /// The named profile has errors.
    ProfileInvalid = "profile-invalid";
    /// The pod has no container of the name that the profile says.
    ContainerMissing = "container-missing";
    /// The pod is not for Linux.
    NotLinux = "not-linux";
    /// The pod's name or index says no ordinal.
    Ordinal = "ordinal";
    /// Replicas start one after the other, and each waits for those after it.
    OrderedReady = "ordered-ready";
    /// Replicas wait for names that resolve only once they are ready.
    NotReadyAddresses = "not-ready-addresses";
    /// Something of our name is there that is not ours.
    NameTaken = "name-taken";
    /// Our port is taken.
    PortTaken = "port-taken";
    /// A mount stands where rendered files belong.
    MountTaken = "mount-taken";
    /// A variable that the profile renders is set already.
    VariableTaken = "variable-taken";
    /// Rendered variables need a newer Kubernetes.
    EnvFiles = "env-files";
    /// A volume that the profile grants is not there, or cannot be shared.
    Volume = "volume";
    /// The profile needs the pod's processes to be visible, and the pod forbids it.
    ProcessNamespace = "process-namespace";
    /// The container before or after which the sidecar should be is not there.
    Order = "order";
    /// The StatefulSet is not known, or only as it was before.
    OwnerUnknown = "owner-unknown";
}

/// Decides about one pod.
pub fn decide(
    request: &Request<'_>,
    catalog: &dyn Catalog,
    settings: &Settings,
    entropy: &dyn Entropy,
) -> Outcome {
    crate::decision::outcome(request, catalog, settings, entropy)
}
