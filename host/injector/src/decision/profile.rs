//! Which profile a pod has, and which of its containers that is about.

use std::sync::Arc;

use outrigger_profile::builtin::{BUILTIN_PREFIX, no_builtin_hint};
use outrigger_profile::document::path;
use outrigger_profile::layout::PROFILE_KEY;
use outrigger_profile::{FileFrom, Finding, Profile, Severity, did_you_mean};

use super::{ANNOTATIONS, Subject};
use crate::annotation::{PREFIX, PROFILE, cut};
use crate::builtin::builtin_profile;
use crate::decide::{Denial, DenyCode, Warning};
use crate::facts::ProfileEntry;
use crate::pod::Container;

/// The profile that the pod names, and where it comes from.
pub(super) fn find(subject: &Subject<'_>) -> Result<(String, Arc<ProfileEntry>), Denial> {
    match (subject.asked.profile, subject.asked.workload) {
        (Some(_), Some(_)) => Err(Denial::new(
            DenyCode::NoProfile,
            "the pod has both outrigger.dev/profile and outrigger.dev/workload",
            "keep outrigger.dev/profile for a ConfigMap of your own, outrigger.dev/workload for what is built in",
        )),
        (None, None) => Err(Denial::new(
            DenyCode::NoProfile,
            "the pod asks for the sidecar and names no profile",
            "add the annotation outrigger.dev/profile with a ConfigMap's name, or outrigger.dev/workload with a built-in profile's",
        )),
        (Some(name), None) => match subject.catalog.profile(subject.namespace, name) {
            Some(entry) => Ok((name.to_owned(), entry)),
            None => Err(Denial::new(
                DenyCode::ProfileMissing,
                format!(
                    "there is no profile {name} in the namespace {}",
                    cut(subject.namespace)
                ),
                "create the ConfigMap with the label outrigger.dev/profile: \"true\", without which it is not looked at",
            )),
        },
        (None, Some(name)) => match builtin_profile(name) {
            Some(entry) => Ok((format!("{BUILTIN_PREFIX}{name}"), entry)),
            None => Err(Denial::new(
                DenyCode::ProfileMissing,
                format!("there is no built-in profile {}", cut(name)),
                no_builtin_hint(name),
            )),
        },
    }
}

/// The profile, where it has no errors and its templates are there.
pub(super) fn usable<'e>(
    source: &str,
    entry: &'e ProfileEntry,
    warnings: &mut Vec<Warning>,
) -> Result<&'e Profile, Denial> {
    let invalid = || {
        Denial::new(
            DenyCode::ProfileInvalid,
            format!("the profile {source} has errors"),
            "`outrigger check` tells the same before anything is applied",
        )
    };
    let Some(profile) = &entry.profile else {
        return Err(invalid().found(entry.findings.0.iter().cloned()));
    };
    let missing: Vec<Finding> = profile
        .files
        .iter()
        .enumerate()
        .filter_map(|(index, file)| match &file.from {
            FileFrom::Template(name) if !entry.keys.contains(name) => {
                Some(missing_template(index, name, &entry.keys))
            }
            _ => None,
        })
        .collect();
    if !missing.is_empty() {
        return Err(invalid().found(missing));
    }
    for finding in &entry.findings.0 {
        if finding.severity == Severity::Warning {
            let place = path::key(ANNOTATIONS, &format!("{PREFIX}{}", PROFILE.name));
            let told = format!("profile {source}: {}: {}", finding.path, finding.problem);
            warnings.push(Warning::of_pod(place, told));
        }
    }
    Ok(profile)
}

fn missing_template(index: usize, name: &str, keys: &[String]) -> Finding {
    let problem = format!("there is no template `{name}`");
    let others = keys
        .iter()
        .map(String::as_str)
        .filter(|key| *key != PROFILE_KEY);
    let hint = match did_you_mean(name, others) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "add it to the profile's ConfigMap as a key of its own".to_owned(),
    };
    Finding::error(format!("spec.files[{index}].template"), problem).hint(hint)
}

/// The workload's container.
pub(super) fn workload<'a>(
    subject: &Subject<'a>,
    profile: &Profile,
) -> Result<(Container<'a>, &'a str), Denial> {
    let wanted = subject
        .asked
        .container
        .unwrap_or(&profile.workload.container);
    let found = subject.pod.containers().find_map(|container| {
        let name = container.name()?;
        (name == wanted).then_some((container, name))
    });
    found.ok_or_else(|| {
        let names: Vec<&str> = subject.pod.containers().filter_map(|one| one.name()).collect();
        let hint = match did_you_mean(wanted, names.iter().copied()) {
            Some(near) => format!(
                "did you mean `{near}`? name it so in the profile's spec.workload.container, or add outrigger.dev/container: {near}"
            ),
            None => format!(
                "there are {}: name one of them in spec.workload.container of the profile, or by outrigger.dev/container",
                cut(&names.join(", "))
            ),
        };
        Denial::new(
            DenyCode::ContainerMissing,
            format!("the pod has no container {}", cut(wanted)),
            hint,
        )
    })
}
