//! From a profile's text to a [`Profile`] and everything that is wrong with it.

use serde::Deserialize as _;

use crate::document::{Document, Value};
use crate::{
    Finding, Findings, Profile, Severity, convert, did_you_mean, limits, raw, schema, structure,
};

/// Reads a profile. `file` is how the user named the file, for the findings.
///
/// The profile comes exactly when no finding is an error; warnings come beside it. Findings are in
/// the order of their lines.
pub fn parse(text: &str, file: &str) -> (Option<Profile>, Findings) {
    let mut findings = Vec::new();
    let profile = read(text, file, &mut findings);
    findings.sort_by_key(|finding| finding.line);
    let findings = Findings(findings);
    (profile.filter(|_| !findings.has_errors()), findings)
}

fn read(text: &str, file: &str, findings: &mut Vec<Finding>) -> Option<Profile> {
    if text.len() > limits::PROFILE_BYTES {
        let problem = format!("the profile has more than {} bytes", limits::PROFILE_BYTES);
        let hint = "a ConfigMap holds no more: put what is large into templates";
        findings.push(Finding::error("", problem).hint(hint).in_file(file));
        return None;
    }
    let (documents, unreadable) = Document::read_all(text, file);
    findings.extend(unreadable.0);
    let mut documents = documents.into_iter();
    let Some(document) = documents.next() else {
        if findings.is_empty() {
            let finding = Finding::error("", "there is no document").hint(BEGINNING);
            findings.push(finding.in_file(file));
        }
        return None;
    };
    if let Some(finding) = foreign(&document) {
        findings.push(document.locate(finding));
        return None;
    }
    for (index, more) in documents.enumerate() {
        let problem = format!(
            "a profile is one document, and this is number {}",
            index + 2
        );
        findings.push(
            Finding::error("", problem)
                .hint("give each profile a file of its own")
                .at_line(more.line())
                .in_file(file),
        );
    }
    let (json, shape) = structure::check(&document, &schema());
    let shape_is_right = shape.is_empty();
    findings.extend(shape.into_iter().map(|finding| document.locate(finding)));
    match raw::Root::deserialize(json?) {
        Ok(root) => {
            let (profile, meaning) = convert::convert(root, declared(&document));
            let meaning = meaning.into_iter().filter(|new| {
                // What is wrong in its shape is told once.
                !findings
                    .iter()
                    .any(|old| old.path == new.path && old.severity == Severity::Error)
            });
            let meaning: Vec<Finding> = meaning.collect();
            findings.extend(meaning.into_iter().map(|finding| document.locate(finding)));
            Some(profile)
        }
        Err(error) => {
            if shape_is_right {
                findings
                    .push(document.locate(Finding::error("", format!("cannot be read: {error}"))));
            }
            None
        }
    }
}

/// The names of ports and secrets that the document declares.
fn declared(document: &Document) -> convert::Declared {
    let names = |steps: &[&str]| {
        let node = steps
            .iter()
            .try_fold(document.root(), |node, key| node.get(key));
        match node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
            Some(Value::List(items)) => items
                .iter()
                .filter_map(|item| item.as_text().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        }
    };
    convert::Declared {
        ports: names(&["spec", "workload", "ports"]),
        secrets: names(&["spec", "secrets"]),
    }
}

const BEGINNING: &str =
    "a profile begins with `apiVersion: outrigger.dev/v1alpha1` and `kind: Profile`";

/// What to say of a document that is no attempt at a profile.
fn foreign(document: &Document) -> Option<Finding> {
    let root = document.root();
    if !matches!(root.value, Value::Map(_)) {
        return Some(Finding::error("", "the document is not a mapping").hint(BEGINNING));
    }
    let kind = root.get("kind")?.as_text()?;
    if did_you_mean(kind, ["Profile"]).is_some() {
        return None;
    }
    let hint = match kind {
        "ConfigMap" => "give the text that the ConfigMap has under the key outrigger.yaml",
        _ => BEGINNING,
    };
    let problem = format!("this is a `{}`, not a profile", structure::cut(kind));
    Some(Finding::error("kind", problem).hint(hint))
}
