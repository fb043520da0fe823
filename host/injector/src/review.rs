//! An admission review as the API server sends it, and the answer to it. Pure: bytes in, bytes out.
//!
//! The format is `admission.k8s.io/v1`. The body is read once; texts are borrowed from it, the pod
//! becomes one JSON value, everything else (who asks, the old object, the options) is passed over.

mod answer;
mod pod;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::annotation::{PREFIX, PROFILE};
use crate::decide::{Operation, Owner, Request, decide};
use crate::entropy::Entropy;
use crate::facts::Catalog;
use crate::settings::Settings;

pub use answer::{Answer, Told};
pub use pod::NODES_MAX;

/// The format that is spoken.
pub const API_VERSION: &str = "admission.k8s.io/v1";
/// The kind of what is sent and answered.
pub const KIND: &str = "AdmissionReview";
/// A uid is 36 characters; whoever sends a longer one is no API server.
pub const UID_BYTES_MAX: usize = 128;

/// Why a review has no answer: whoever sent it cannot be told in its own format, because what makes a
/// review is missing.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not JSON, cut off, nested too deeply, or a field is not what it should be.
    #[error("the body cannot be read as an admission review: {0}")]
    NotReview(serde_json::Error),
    /// Another kind of object.
    #[error("the body is a {found} and not an AdmissionReview")]
    Kind {
        /// What it says to be, shortened; `thing without a kind` where it says nothing.
        found: String,
    },
    /// Another version of the format.
    #[error("the review is of version {found}, and this webhook speaks admission.k8s.io/v1")]
    Version {
        /// What it says, shortened.
        found: String,
    },
    /// An answer, or an empty review.
    #[error("the review has no request")]
    NoRequest,
    /// The request has none, or an empty one.
    #[error("the review's request has no uid, so that no answer can be matched with it")]
    NoUid,
    /// The uid is no uid.
    #[error("the review's uid is {bytes} bytes long or has unprintable characters")]
    Uid {
        /// Its length.
        bytes: usize,
    },
}

impl ReviewError {
    /// One word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotReview(_) => "not-a-review",
            Self::Kind { .. } => "wrong-kind-of-body",
            Self::Version { .. } => "wrong-version",
            Self::NoRequest => "no-request",
            Self::NoUid | Self::Uid { .. } => "wrong-uid",
        }
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Version { .. } => {
                "set admissionReviewVersions: [\"v1\"] in the MutatingWebhookConfiguration"
            }
            _ => "only an API server sends what this webhook reads",
        }
    }
}

/// A request that can be answered.
#[derive(Debug)]
pub struct Review<'a> {
    uid: Cow<'a, str>,
    namespace: Cow<'a, str>,
    name: Cow<'a, str>,
    operation: Cow<'a, str>,
    kind: GroupKind<'a>,
    sub_resource: bool,
    dry_run: bool,
    object: Object,
}

/// What is reviewed.
#[derive(Debug)]
enum Object {
    Missing,
    Pod(Value),
    NotAMap,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "apiVersion", default)]
    api_version: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    request: Option<RawRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRequest<'a> {
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    kind: Option<RawKind<'a>>,
    #[serde(borrow, default)]
    sub_resource: Text<'a>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    operation: Text<'a>,
    #[serde(default)]
    object: Option<pod::Bounded>,
    #[serde(default)]
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
struct RawKind<'a> {
    #[serde(borrow, default)]
    group: Text<'a>,
    #[serde(borrow, default)]
    version: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
}

/// A text that may be null, borrowed where it has no escapes.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Debug, Default)]
struct GroupKind<'a> {
    group: Cow<'a, str>,
    version: Cow<'a, str>,
    kind: Cow<'a, str>,
}

impl GroupKind<'_> {
    fn is_pod(&self) -> bool {
        self.group.is_empty() && self.version == "v1" && self.kind == "Pod"
    }
}

impl fmt::Display for GroupKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.is_empty() {
            write!(f, "{}/", excerpt(&self.group))?;
        }
        write!(f, "{} {}", excerpt(&self.version), excerpt(&self.kind))
    }
}

impl<'a> Review<'a> {
    /// Reads a review.
    pub fn read(body: &'a [u8]) -> Result<Self, ReviewError> {
        let envelope: Envelope<'a> =
            serde_json::from_slice(body).map_err(ReviewError::NotReview)?;
        let kind = envelope.kind.0;
        if kind != KIND {
            let found = match excerpt(&kind) {
                none if none.is_empty() => "thing without a kind".to_owned(),
                found => found,
            };
            return Err(ReviewError::Kind { found });
        }
        let version = envelope.api_version.0;
        if version != API_VERSION {
            let found = match excerpt(&version) {
                none if none.is_empty() => "(none)".to_owned(),
                found => found,
            };
            return Err(ReviewError::Version { found });
        }
        let request = envelope.request.ok_or(ReviewError::NoRequest)?;
        let uid = request.uid.0;
        if uid.is_empty() {
            return Err(ReviewError::NoUid);
        }
        if uid.len() > UID_BYTES_MAX || !uid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ReviewError::Uid { bytes: uid.len() });
        }
        let kind = request
            .kind
            .map_or_else(GroupKind::default, |kind| GroupKind {
                group: kind.group.0,
                version: kind.version.0,
                kind: kind.kind.0,
            });
        let object = match request.object {
            None => Object::Missing,
            Some(pod::Bounded(pod @ Value::Object(_))) => Object::Pod(pod),
            Some(_) => Object::NotAMap,
        };
        Ok(Self {
            uid,
            namespace: request.namespace.0,
            name: request.name.0,
            operation: request.operation.0,
            kind,
            sub_resource: !request.sub_resource.0.is_empty(),
            dry_run: request.dry_run.unwrap_or(false),
            object,
        })
    }

    /// The request's uid, which the answer repeats.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The namespace of the pod.
    pub fn namespace(&self) -> &str {
        if !self.namespace.is_empty() {
            return &self.namespace;
        }
        self.metadata("namespace").unwrap_or("default")
    }

    /// The pod's name, or the beginning of one that is still to be made.
    pub fn name(&self) -> &str {
        if !self.name.is_empty() {
            return &self.name;
        }
        self.metadata("name")
            .or_else(|| self.metadata("generateName"))
            .unwrap_or("")
    }

    /// Whether nothing of it will be kept.
    pub fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// The pod's controller, where the pod is about to be created and has one.
    pub fn owner(&self) -> Option<Owner<'_>> {
        match &self.object {
            Object::Pod(pod) if self.operation == "CREATE" => Owner::of(pod),
            _ => None,
        }
    }

    /// The ConfigMap with the profile that the pod asks for.
    pub fn profile(&self) -> Option<&str> {
        let Object::Pod(pod) = &self.object else {
            return None;
        };
        let annotations = pod.get("metadata")?.get("annotations")?.as_object()?;
        annotations
            .iter()
            .find(|(key, _)| key.strip_prefix(PREFIX) == Some(PROFILE.name))?
            .1
            .as_str()
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        match &self.object {
            Object::Pod(pod) => pod.get("metadata")?.get(key)?.as_str(),
            _ => None,
        }
    }

    /// Answers it.
    ///
    /// # Guarantees
    /// What is no pod is let pass as it is, with a warning: a webhook that is called for too much must
    /// not stand in anybody's way.
    pub fn answer(
        &self,
        catalog: &dyn Catalog,
        settings: &Settings,
        entropy: &dyn Entropy,
    ) -> Answer {
        if !self.kind.is_pod() || self.sub_resource {
            let what = if self.kind.is_pod() {
                "a subresource of pods".to_owned()
            } else {
                self.kind.to_string()
            };
            return Answer::passed_by(
                &self.uid,
                "not-a-pod",
                format!("outrigger was asked about {what}, and its rules should name pods alone"),
            );
        }
        let operation = match &*self.operation {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            "CONNECT" => Operation::Connect,
            other => {
                return Answer::refused(
                    &self.uid,
                    "operation",
                    format!("the review's operation `{}` is none", excerpt(other)),
                );
            }
        };
        let pod = match &self.object {
            Object::Pod(pod) => pod,
            // A deletion has only an old object.
            Object::Missing if operation != Operation::Create => &Value::Null,
            Object::Missing => {
                return Answer::refused(
                    &self.uid,
                    "no-object",
                    "the review creates a pod and has no object".to_owned(),
                );
            }
            Object::NotAMap => {
                return Answer::refused(
                    &self.uid,
                    "no-object",
                    "the review's object is no pod: it is not a map".to_owned(),
                );
            }
        };
        let request = Request {
            namespace: self.namespace(),
            pod,
            operation,
            dry_run: self.dry_run,
            owner: Owner::of(pod),
        };
        Answer::of(&self.uid, pod, decide(&request, catalog, settings, entropy))
    }
}

/// Reads a review and answers it.
pub fn answer(
    body: &[u8],
    catalog: &dyn Catalog,
    settings: &Settings,
    entropy: &dyn Entropy,
) -> Result<Answer, ReviewError> {
    Ok(Review::read(body)?.answer(catalog, settings, entropy))
}

/// The beginning of a text of unknown origin, printable.
fn excerpt(text: &str) -> String {
    const CHARS: usize = 60;
    let mut short: String = text
        .chars()
        .take(CHARS)
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect();
    if text.chars().nth(CHARS).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
