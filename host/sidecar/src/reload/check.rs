//! From a profile's folder to a profile with its templates, or everything that is wrong with it.

use std::path::Path;
use std::sync::Arc;

use outrigger_profile::document::Document;
use outrigger_profile::{FileFrom, Finding, Findings, Profile, did_you_mean};

use super::{Loaded, read};

impl Loaded {
    /// Findings about the profile's document, each with its file and the line of its place.
    pub fn locate(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let text = self.templates.get(read::DOCUMENT);
        located(text.map_or("", String::as_str), findings)
    }
}

/// Reads and checks a profile's folder: the document, and that every template it names is there.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(folder: &Path, revision: u32) -> Result<Loaded, Findings> {
    let folder = read::folder(folder).map_err(|finding| Findings(vec![finding]))?;
    check(folder, revision)
}

pub(super) fn check(folder: read::Folder, revision: u32) -> Result<Loaded, Findings> {
    let Some(text) = folder.files.get(read::DOCUMENT) else {
        return Err(Findings(vec![no_document(&folder)]));
    };
    let (profile, mut findings) = outrigger_profile::parse(text, read::DOCUMENT);
    if let Some(profile) = &profile {
        let missing = missing_templates(profile, &folder);
        findings.0.extend(located(text, missing));
    }
    match profile {
        Some(profile) if !findings.has_errors() => Ok(Loaded {
            profile: Arc::new(profile),
            templates: folder.files,
            revision,
            digest: folder.digest,
            warnings: findings,
        }),
        _ => Err(findings),
    }
}

fn no_document(folder: &read::Folder) -> Finding {
    let finding = match folder.skipped.get(read::DOCUMENT) {
        Some(reason) => Finding::error("", format!("cannot be taken: {reason}")),
        None => Finding::error("", "is not in the profile's folder"),
    };
    let others: Vec<&str> = folder.files.keys().map(String::as_str).collect();
    let hint = match did_you_mean(read::DOCUMENT, others.iter().copied()) {
        Some(near) => format!("there is `{near}`: name it `{}`", read::DOCUMENT),
        None => format!(
            "the ConfigMap that `outrigger.dev/profile` names must have the key `{}`",
            read::DOCUMENT
        ),
    };
    finding.in_file(read::DOCUMENT).hint(hint)
}

fn missing_templates(profile: &Profile, folder: &read::Folder) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, file) in profile.files.iter().enumerate() {
        let FileFrom::Template(name) = &file.from else {
            continue;
        };
        if folder.files.contains_key(name) {
            continue;
        }
        let problem = match folder.skipped.get(name) {
            Some(reason) => format!("the template `{name}` cannot be taken: {reason}"),
            None => format!("there is no template `{name}`"),
        };
        let names: Vec<&str> = folder
            .files
            .keys()
            .map(String::as_str)
            .filter(|name| *name != read::DOCUMENT)
            .collect();
        let hint = match did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => {
                "no template lies beside the profile: add it to the profile's ConfigMap".to_owned()
            }
            None => format!("these lie beside the profile: {}", names.join(", ")),
        };
        findings.push(Finding::error(format!("spec.files[{index}].template"), problem).hint(hint));
    }
    findings
}

fn located(text: &str, findings: Vec<Finding>) -> Vec<Finding> {
    let (documents, _told_already) = Document::read_all(text, read::DOCUMENT);
    let locate = |finding: Finding| match documents.first() {
        Some(document) if finding.line == 0 && ["", read::DOCUMENT].contains(&&*finding.file) => {
            document.locate(finding)
        }
        _ => finding,
    };
    findings.into_iter().map(locate).collect()
}
