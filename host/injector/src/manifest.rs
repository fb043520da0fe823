//! Pod templates in manifests: the same decision and the same patch as the webhook's, put into the text
//! that a user wrote and taken out of it again.

use std::fmt;

use json_patch::PatchOperation;
use outrigger_profile::document::{Document, path};
use outrigger_profile::{Finding, Findings};
use serde_json::{Value, json};

use crate::annotation::{PREFIX, PROFILE};
use crate::decide::{
    Decision, Denial, DenyCode, Operation, Outcome, Owner, Place, Request, Warning, decide,
};
use crate::entropy::Entropy;
use crate::explain::{Explained, explain};
use crate::facts::Catalog;
use crate::patch::operations;
use crate::settings::Settings;
use crate::uninject::{UninjectError, taking_out};
use crate::yaml::{EditError, Editor};

/// A workload of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Such as `StatefulSet`.
    pub kind: String,
    /// Where it will be.
    pub namespace: String,
    /// `metadata.name`; empty where there is none.
    pub name: String,
    /// The line where its document begins, from 1.
    pub line: usize,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A text with sidecars, and what was decided about each workload in it, in the text's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Injected {
    /// The text, changed only where something was put in.
    pub text: String,
    /// Each pod template.
    pub workloads: Vec<Decided>,
}

/// What was decided about a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Which.
    pub workload: Workload,
    /// The decision.
    pub outcome: Outcome,
    /// What a denial is about, or else the warnings, each with its file, line and place.
    pub findings: Vec<Finding>,
    /// Each field that is put in, and why; empty unless it was injected.
    pub explained: Vec<Explained>,
    /// Whether it was so already.
    pub unchanged: bool,
}

/// A text without sidecars, and the workloads that had one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uninjected {
    /// The text as it was before.
    pub text: String,
    /// Those that had one.
    pub workloads: Vec<Workload>,
}

/// Why a manifest stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(Findings),
    /// Its text is written in a way that is not edited.
    #[error("{file}: {workload}: {problem}")]
    Text {
        /// As the user named it.
        file: String,
        /// Which workload.
        workload: Box<Workload>,
        /// Where and why.
        problem: EditError,
    },
    /// What was injected is not as it was put in.
    #[error("{file}:{}: {workload}: {problem}", workload.line)]
    Uninject {
        /// As the user named it.
        file: String,
        /// Which workload.
        workload: Box<Workload>,
        /// Why.
        problem: UninjectError,
    },
}

/// Tells where an object will be by its kind, its name and the namespace that it says itself.
pub type Namespaces<'a> = &'a dyn Fn(&str, &str, Option<&str>) -> String;

/// The namespace that an object says, or `default`.
pub fn as_written(_: &str, _: &str, written: Option<&str>) -> String {
    written.unwrap_or("default").to_owned()
}

/// Where pod templates are, by kind: a JSON pointer to what holds `metadata` and `spec`.
const TEMPLATES: &[(&str, &str)] = &[
    ("Pod", ""),
    ("PodTemplate", "/template"),
    ("StatefulSet", "/spec/template"),
    ("Deployment", "/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("ReplicaSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("Job", "/spec/template"),
    ("CronJob", "/spec/jobTemplate/spec/template"),
];

/// A pod template in a document.
struct Found<'d> {
    document: &'d Document,
    workload: Workload,
    api_version: String,
    /// A JSON pointer within the document, to the template.
    prefix: String,
    /// The same, to the object that has it.
    object: String,
    pod: Value,
}

impl Found<'_> {
    /// Who controls the pods. A Pod is its own.
    fn owner(&self) -> Option<Owner<'_>> {
        (self.workload.kind != "Pod").then_some(Owner {
            api_version: &self.api_version,
            kind: &self.workload.kind,
            name: &self.workload.name,
            uid: None,
        })
    }

    /// A finding at a place of the pod, such as `spec.containers`.
    fn locate(&self, finding: Finding) -> Finding {
        self.locate_below(&self.prefix, finding)
    }

    /// What a warning is about, where the user can mend it.
    fn warned(&self, warning: &Warning) -> Finding {
        let (below, place) = match &warning.place {
            Place::Pod(place) => (&self.prefix, place.as_str()),
            Place::Owner(place) => (&self.object, *place),
        };
        let finding = Finding::warning(place, warning.problem.as_str());
        let finding = if warning.hint.is_empty() {
            finding
        } else {
            finding.hint(warning.hint.as_str())
        };
        self.locate_below(below, finding)
    }

    fn locate_below(&self, pointer: &str, mut finding: Finding) -> Finding {
        let mut whole = String::new();
        for step in pointer.split('/').skip(1) {
            whole = match step.parse() {
                Ok(index) => path::item(&whole, index),
                Err(_) => path::key(&whole, step),
            };
        }
        finding.path = match (whole.is_empty(), finding.path.as_str()) {
            (true, _) => finding.path,
            (false, "") => whole,
            (false, inner) => format!("{whole}.{inner}"),
        };
        self.document.locate(finding)
    }

    /// What a denial is about, where the user can mend it.
    fn denied(&self, denial: &Denial) -> Vec<Finding> {
        let annotations = path::key("metadata", "annotations");
        let profile = path::key(&annotations, &format!("{PREFIX}{}", PROFILE.name));
        let head = |place: &str| {
            let finding = Finding::error(place, denial.message.as_str());
            let finding = if denial.hint.is_empty() {
                finding
            } else {
                finding.hint(denial.hint.as_str())
            };
            self.locate(finding)
        };
        match denial.code {
            // Each says for itself what is wrong.
            DenyCode::Annotations if !denial.findings.is_empty() => {
                let own = denial.findings.iter().cloned();
                own.map(|finding| self.locate(finding)).collect()
            }
            DenyCode::ProfileInvalid => {
                let own = denial.findings.iter().cloned().map(|finding| {
                    if finding.file.is_empty() {
                        let problem = format!("{}: {}", finding.path, finding.problem);
                        let (path, problem) = (profile.clone(), problem);
                        self.locate(Finding {
                            path,
                            problem,
                            ..finding
                        })
                    } else {
                        finding
                    }
                });
                own.collect()
            }
            DenyCode::ProfileMissing => vec![
                head(&profile)
                    .hint("name the manifests that have it too, with -f or --profile-from"),
            ],
            DenyCode::NoProfile => vec![head(&annotations)],
            DenyCode::ContainerMissing => vec![head("spec.containers")],
            DenyCode::Order => vec![head("spec.initContainers")],
            _ => {
                let own = denial.findings.iter().cloned();
                let own = own.map(|finding| self.locate(finding));
                std::iter::once(head("spec")).chain(own).collect()
            }
        }
    }
}

/// Puts sidecars into every pod template that asks for one.
///
/// # Errors
/// When the text is no YAML, or is written in a way that cannot be edited in place; a denial is no
/// error but an outcome, and its workload stays as it is.
pub fn inject(
    text: &str,
    file: &str,
    namespaces: Namespaces<'_>,
    catalog: &dyn Catalog,
    settings: &Settings,
    entropy: &dyn Entropy,
) -> Result<Injected, ManifestError> {
    let mut editor = Editor::new(text);
    let mut workloads = Vec::new();
    let documents = documents(text, file)?;
    for found in found(&documents, namespaces) {
        let outcome = decide(
            &Request {
                namespace: &found.workload.namespace,
                pod: &found.pod,
                operation: Operation::Create,
                dry_run: false,
                owner: found.owner(),
            },
            catalog,
            settings,
            entropy,
        );
        let (mut explained, mut unchanged) = (Vec::new(), false);
        if let Decision::Inject(injection) = &outcome.decision {
            // A text is edited place by place: others' lines stay as they are, however many are ours.
            let operations = operations(&found.pod, injection).all();
            explained = explain(&found.pod, injection);
            unchanged = operations.is_empty();
            edit(&mut editor, file, &found, &operations)?;
        }
        let findings = match &outcome.decision {
            Decision::Deny(denial) => found.denied(denial),
            Decision::Inject(_) | Decision::Skip(_) => {
                let warnings = outcome.warnings.iter();
                warnings.map(|warning| found.warned(warning)).collect()
            }
        };
        workloads.push(Decided {
            workload: found.workload,
            findings,
            outcome,
            explained,
            unchanged,
        });
    }
    workloads.reverse();
    Ok(Injected {
        text: editor.into_text(),
        workloads,
    })
}

/// Takes the sidecars out of every pod template that has one.
///
/// # Errors
/// When the text is no YAML, is written in a way that cannot be edited in place, or holds an injection
/// that is not as it was put in.
pub fn uninject(text: &str, file: &str) -> Result<Uninjected, ManifestError> {
    let mut editor = Editor::new(text);
    let mut workloads = Vec::new();
    let documents = documents(text, file)?;
    for found in found(&documents, &as_written) {
        let operations = match taking_out(&found.pod) {
            Ok(operations) => operations.all(),
            Err(UninjectError::NotInjected) => continue,
            Err(problem) => {
                return Err(ManifestError::Uninject {
                    file: file.to_owned(),
                    workload: Box::new(found.workload),
                    problem,
                });
            }
        };
        edit(&mut editor, file, &found, &operations)?;
        workloads.push(found.workload);
    }
    workloads.reverse();
    Ok(Uninjected {
        text: editor.into_text(),
        workloads,
    })
}

fn edit(
    editor: &mut Editor,
    file: &str,
    found: &Found<'_>,
    operations: &[PatchOperation],
) -> Result<(), ManifestError> {
    for operation in operations {
        editor
            .apply(found.workload.line, &found.prefix, operation)
            .map_err(|problem| ManifestError::Text {
                file: file.to_owned(),
                workload: Box::new(found.workload.clone()),
                problem,
            })?;
    }
    Ok(())
}

fn documents(text: &str, file: &str) -> Result<Vec<Document>, ManifestError> {
    let (documents, findings) = Document::read_all(text, file);
    if findings.has_errors() {
        return Err(ManifestError::Unreadable(findings));
    }
    Ok(documents)
}

/// The pod templates, the last first: an edit moves the lines of what comes after it.
fn found<'d>(documents: &'d [Document], namespaces: Namespaces<'_>) -> Vec<Found<'d>> {
    let mut all = Vec::new();
    for document in documents {
        collect(document, &document.to_json(), "", namespaces, &mut all);
    }
    all.reverse();
    all
}

fn collect<'d>(
    document: &'d Document,
    object: &Value,
    prefix: &str,
    namespaces: Namespaces<'_>,
    all: &mut Vec<Found<'d>>,
) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let Some(kind) = text("/kind") else { return };
    let items = object.get("items").and_then(Value::as_array);
    if let Some(items) = items.filter(|_| kind.ends_with("List")) {
        for (index, item) in items.iter().enumerate() {
            let inner = format!("{prefix}/items/{index}");
            collect(document, item, &inner, namespaces, all);
        }
    }
    let Some((_, place)) = TEMPLATES.iter().find(|(known, _)| *known == kind) else {
        return;
    };
    let Some(template) = object.pointer(place) else {
        return;
    };
    let part = |key: &str| template.get(key).cloned().unwrap_or_else(|| json!({}));
    let name = text("/metadata/name").unwrap_or_default();
    let written = text("/metadata/namespace").filter(|text| !text.is_empty());
    all.push(Found {
        document,
        workload: Workload {
            kind: kind.to_owned(),
            namespace: namespaces(kind, name, written),
            name: name.to_owned(),
            line: document.line(),
        },
        api_version: text("/apiVersion").unwrap_or_default().to_owned(),
        prefix: format!("{prefix}{place}"),
        object: prefix.to_owned(),
        pod: json!({"metadata": part("metadata"), "spec": part("spec")}),
    });
}

#[cfg(test)]
mod tests;
