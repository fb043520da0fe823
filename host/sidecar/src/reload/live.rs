//! Which changes of a profile a running pod can take. Pure.

use std::path::PathBuf;

use outrigger_profile::{EndpointAt, Finding, PluginSource, Profile};

use super::read::DOCUMENT;

const NEW_POD: &str =
    "this needs a new pod: restart the StatefulSet's pods, or take the change back";

/// What of a changed profile cannot be taken by a pod that runs.
pub(super) fn problems(old: &Profile, new: &Profile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut refuse = |path: &str, problem: String| {
        findings.push(
            Finding::error(path, problem)
                .in_file(DOCUMENT)
                .hint(NEW_POD),
        );
    };
    if old.file_dirs() != new.file_dirs() {
        refuse(
            "spec.files",
            format!(
                "the files' folders were {} and are {}, and folders are mounted when a pod starts",
                list(&old.file_dirs()),
                list(&new.file_dirs())
            ),
        );
    }
    let kind = |profile: &Profile| {
        profile.plugin.as_ref().map(|plugin| match &plugin.source {
            PluginSource::Builtin(name) => format!("builtin:{name}"),
            PluginSource::File { .. } => "a file".to_owned(),
        })
    };
    let (before, after) = (kind(old), kind(new));
    if before != after {
        let word = |kind: Option<String>| kind.unwrap_or_else(|| "none".to_owned());
        refuse(
            "spec.plugin.source",
            format!("the plugin was {} and is {}", word(before), word(after)),
        );
    }
    if old.workload.container != new.workload.container {
        refuse(
            "spec.workload.container",
            format!(
                "the container was `{}` and is `{}`",
                old.workload.container, new.workload.container
            ),
        );
    }
    findings
}

/// Whether the plugin must be loaded anew.
pub(super) fn plugin_differs(old: &Profile, new: &Profile) -> bool {
    // The hosts of granted endpoints may be made of the profile's own settings.
    let is_elsewhere = |profile: &Profile| {
        let plugin = profile.plugin.iter();
        plugin
            .flat_map(|plugin| plugin.grants.endpoints.values())
            .any(|endpoint| matches!(endpoint.at, EndpointAt::Host(_)))
    };
    old.plugin != new.plugin || (is_elsewhere(new) && old.settings != new.settings)
}

fn list(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    shown.join(", ")
}
