//! What is answered to a review, and how it is written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::PatchOperation;
use outrigger_profile::{Finding, Severity};
use serde::Serialize;
use serde_json::Value;

use super::{API_VERSION, KIND};
use crate::decide::{Decision, Denial, Outcome, SkipReason};
use crate::patch::patch;

/// API servers cut a warning here.
const WARNING_BYTES_MAX: usize = 256;
/// API servers drop warnings beyond this many bytes in all.
const WARNINGS_BYTES_MAX: usize = 4096;
/// A message of a denial ends up in Events, whose limit is 1024 bytes, and on terminals.
const MESSAGE_BYTES_MAX: usize = 8192;
/// How many findings are told one by one.
const CAUSES_MAX: usize = 32;

/// The answer to one review.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    body: Vec<u8>,
    /// What was decided, for logs, metrics and Events.
    pub told: Told,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The pod gets the sidecar.
    Injected {
        /// How many operations the patch has; 0 where everything is in place already.
        operations: usize,
        /// The profile.
        profile: String,
        /// The hash of what is put in.
        hash: String,
    },
    /// The pod stays as it is.
    Skipped(SkipReason),
    /// The pod is refused.
    Denied(Denial),
    /// What was asked about is no pod; it stays as it is.
    PassedBy {
        /// One word for metrics.
        code: &'static str,
        /// Why.
        message: String,
    },
    /// The review is not what an API server sends; its object is refused.
    Refused {
        /// One word for metrics.
        code: &'static str,
        /// Why.
        message: String,
    },
}

impl Told {
    /// The decision in one word.
    pub fn decision(&self) -> &'static str {
        match self {
            Self::Injected { .. } => "inject",
            Self::Skipped(_) | Self::PassedBy { .. } => "skip",
            Self::Denied(_) | Self::Refused { .. } => "deny",
        }
    }

    /// Its reason in one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Injected { operations: 0, .. } => "already-injected",
            Self::Injected { .. } => "injected",
            Self::Skipped(reason) => reason.code(),
            Self::Denied(denial) => denial.code.as_str(),
            Self::PassedBy { code, .. } | Self::Refused { code, .. } => code,
        }
    }
}

impl Answer {
    /// The body: a whole `AdmissionReview`.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, to be sent.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    pub(super) fn of(uid: &str, pod: &Value, outcome: Outcome) -> Self {
        let mut response = Response::new(uid);
        response.warnings =
            bounded_warnings(outcome.warnings.iter().map(ToString::to_string).collect());
        let told = match outcome.decision {
            Decision::Inject(injection) => {
                let operations = patch(pod, &injection);
                response.patch = encoded(&operations);
                response.patch_type = response.patch.as_ref().map(|_| "JSONPatch");
                Told::Injected {
                    operations: operations.len(),
                    profile: injection.profile,
                    hash: injection.hash,
                }
            }
            Decision::Skip(reason) => Told::Skipped(reason),
            Decision::Deny(denial) => Told::Denied(denial),
        };
        response.finish(told)
    }

    pub(super) fn passed_by(uid: &str, code: &'static str, message: String) -> Self {
        let mut response = Response::new(uid);
        response.warnings = bounded_warnings(vec![message.clone()]);
        response.finish(Told::PassedBy { code, message })
    }

    pub(super) fn refused(uid: &str, code: &'static str, message: String) -> Self {
        Response::new(uid).finish(Told::Refused { code, message })
    }
}

/// The patch as the answer holds it; none without operations.
fn encoded(operations: &[PatchOperation]) -> Option<String> {
    if operations.is_empty() {
        return None;
    }
    // Texts, numbers, lists and maps with text keys: all of it can be written as JSON.
    let json = serde_json::to_vec(operations).expect("operations are JSON");
    Some(STANDARD.encode(json))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: &'a Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<Audit<'a>>,
}

/// As `meta/v1 Status`.
#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    causes: Vec<Cause<'a>>,
}

#[derive(Serialize)]
struct Cause<'a> {
    reason: &'static str,
    field: &'a str,
    message: &'a str,
}

/// What the API server's audit log keeps of it; the server puts the webhook's name before each key.
#[derive(Serialize)]
struct Audit<'a> {
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'a str>,
}

impl<'a> Response<'a> {
    fn new(uid: &'a str) -> Self {
        Self {
            uid,
            allowed: true,
            status: None,
            patch_type: None,
            patch: None,
            warnings: Vec::new(),
            audit_annotations: None,
        }
    }

    fn finish(self, told: Told) -> Answer {
        let body = self.written(&told);
        Answer { body, told }
    }

    fn written(mut self, told: &'a Told) -> Vec<u8> {
        let (profile, hash) = match told {
            Told::Injected { profile, hash, .. } => (Some(&**profile), Some(&**hash)),
            _ => (None, None),
        };
        match told {
            Told::Denied(denial) => {
                self.allowed = false;
                self.status = Some(Status::denied(denial));
            }
            Told::Refused { message, .. } => {
                self.allowed = false;
                self.status = Some(Status {
                    code: 400,
                    reason: "BadRequest",
                    message: message.clone(),
                    details: None,
                });
            }
            Told::Injected { .. } | Told::Skipped(_) | Told::PassedBy { .. } => {}
        }
        self.audit_annotations = Some(Audit {
            decision: told.decision(),
            reason: told.reason(),
            profile,
            hash,
        });
        let envelope = Envelope {
            api_version: API_VERSION,
            kind: KIND,
            response: &self,
        };
        let patch_bytes = self.patch.as_ref().map_or(0, String::len);
        let mut body = Vec::with_capacity(512 + patch_bytes);
        serde_json::to_writer(&mut body, &envelope).expect("an answer is JSON");
        body
    }
}

impl<'a> Status<'a> {
    fn denied(denial: &'a Denial) -> Self {
        let causes: Vec<Cause<'a>> = denial
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .take(CAUSES_MAX)
            .map(cause)
            .collect();
        let mut message = denial.to_string();
        cut(&mut message, MESSAGE_BYTES_MAX);
        Self {
            code: 403,
            reason: "Forbidden",
            message,
            details: (!causes.is_empty()).then_some(Details { causes }),
        }
    }
}

fn cause(finding: &Finding) -> Cause<'_> {
    Cause {
        reason: "FieldValueInvalid",
        field: &finding.path,
        message: &finding.problem,
    }
}

/// As many warnings as API servers pass on, each as long as they show; how many are left out is the
/// last one.
fn bounded_warnings(warnings: Vec<String>) -> Vec<String> {
    const REST: usize = 40; // bytes for "and 123 more warnings"
    let all = warnings.len();
    let mut total = 0;
    let mut kept = Vec::with_capacity(all);
    for mut warning in warnings {
        cut(&mut warning, WARNING_BYTES_MAX);
        total += warning.len();
        if total > WARNINGS_BYTES_MAX - REST {
            kept.push(format!("and {} more warnings", all - kept.len()));
            break;
        }
        kept.push(warning);
    }
    kept
}

/// Shortens a text to so many bytes, at a character's border.
fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes - '…'.len_utf8()));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{DenyCode, Warning};

    fn json(answer: &Answer) -> Value {
        serde_json::from_slice(answer.body()).unwrap()
    }

    #[test]
    fn a_denial_says_why_in_a_status_with_its_findings_as_causes() {
        let denial = Denial {
            code: DenyCode::Annotations,
            message: "the pod's annotations are not understood".into(),
            hint: "see the reference".into(),
            findings: vec![
                Finding::error("metadata.annotations", "unknown key").hint("did you mean that?"),
                Finding::warning("metadata", "only a warning"),
            ],
        };
        let outcome = Outcome {
            decision: Decision::Deny(denial),
            warnings: vec![],
        };
        let answer = json(&Answer::of("u-1", &Value::Null, outcome));
        let response = &answer["response"];
        assert_eq!(response["uid"], "u-1");
        assert_eq!(response["allowed"], false);
        assert_eq!(response["status"]["code"], 403);
        assert_eq!(response["status"]["reason"], "Forbidden");
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.ends_with("hint: see the reference"), "{message}");
        let causes = response["status"]["details"]["causes"].as_array().unwrap();
        assert_eq!(causes.len(), 1);
        assert_eq!(causes[0]["field"], "metadata.annotations");
        assert_eq!(response["auditAnnotations"]["reason"], "annotations");
        assert!(response.get("patch").is_none());
    }

    #[test]
    fn warnings_are_as_long_and_as_many_as_api_servers_pass_on() {
        let outcome = Outcome {
            decision: Decision::Skip(SkipReason::NotAsked),
            warnings: vec![Warning::of_pod("", "ü".repeat(500)); 100],
        };
        let answer = json(&Answer::of("u-1", &Value::Null, outcome));
        let warnings = answer["response"]["warnings"].as_array().unwrap();
        let texts: Vec<&str> = warnings.iter().map(|one| one.as_str().unwrap()).collect();
        assert!(texts.iter().all(|text| text.len() <= WARNING_BYTES_MAX));
        let total: usize = texts.iter().map(|text| text.len()).sum();
        assert!(total <= WARNINGS_BYTES_MAX, "{total}");
        assert_eq!(texts.len(), 16);
        assert_eq!(texts[15], "and 85 more warnings");
        assert_eq!(answer["response"]["allowed"], true);
    }
}
