//! As whom the sidecar runs: as the workload does, as far as the pod says so, and within the
//! *restricted* Pod Security Standard.

use outrigger_profile::Profile;
use serde_json::{Map, Value, json};

use super::Fitting;
use crate::decide::Warning;
use crate::pod::{Container, Pod, text};

/// The sidecar's security context.
pub(super) fn context(fitting: &Fitting<'_>) -> Value {
    let workload = &fitting.workload;
    let mut context = Map::new();
    for key in ["runAsUser", "runAsGroup", "seLinuxOptions"] {
        if let Some(value) = workload.security(key) {
            context.insert(key.to_owned(), value.clone());
        }
    }
    if user(fitting.subject.pod, workload) != Some(0) {
        context.insert("runAsNonRoot".to_owned(), json!(true));
    }
    context.insert("allowPrivilegeEscalation".to_owned(), json!(false));
    context.insert("readOnlyRootFilesystem".to_owned(), json!(true));
    context.insert("capabilities".to_owned(), json!({"drop": ["ALL"]}));
    context.insert(
        "seccompProfile".to_owned(),
        json!({"type": "RuntimeDefault"}),
    );
    Value::Object(context)
}

/// The workload's user, where the pod says.
fn user(pod: Pod<'_>, workload: &Container<'_>) -> Option<u64> {
    let own = workload.security("runAsUser");
    let of_pod = pod
        .spec("securityContext")
        .and_then(|all| all.get("runAsUser"));
    own.or(of_pod)?.as_u64()
}

/// What to say where the two may not be able to read each other's files.
pub(super) fn warning(fitting: &Fitting<'_>) -> Option<Warning> {
    let pod = fitting.subject.pod;
    let group = pod
        .spec("securityContext")
        .and_then(|all| all.get("fsGroup"))
        .and_then(Value::as_u64);
    if user(pod, &fitting.workload).is_some() || group.is_some() {
        return None;
    }
    let what = shared(fitting.profile)?;
    let told = format!("neither runAsUser nor fsGroup is set: {what}");
    Some(Warning::of_pod("spec.securityContext", told).hint("set spec.securityContext.fsGroup"))
}

fn shared(profile: &Profile) -> Option<String> {
    // Others may read a file with this bit.
    let closed = profile.files.iter().find(|file| file.mode & 0o004 == 0);
    if let Some(file) = closed {
        let (name, mode) = (file.path.display(), file.mode);
        return Some(format!(
            "the workload may not read {name} (mode {mode:04o})"
        ));
    }
    let grants = &profile.plugin.as_ref()?.grants.volumes;
    let (name, _) = grants.iter().find(|(_, grant)| grant.write)?;
    Some(format!("the sidecar may not write to the volume {name}"))
}

/// Whether the pod's quality of service is `Guaranteed`, which a sidecar with other limits than requests
/// would end.
pub(super) fn guaranteed(pod: Pod<'_>) -> bool {
    let others = pod
        .containers()
        .chain(pod.init_containers())
        .filter(|one| one.name() != Some(outrigger_profile::layout::CONTAINER));
    others.into_iter().all(|container| {
        let resources = container.value.get("resources");
        ["cpu", "memory"].iter().all(|kind| {
            let amount = |of: &str| {
                resources
                    .and_then(|all| all.get(of))
                    .and_then(|all| text(all, kind))
            };
            match (amount("requests"), amount("limits")) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(request), Some(limit)) => crate::quantity::same(request, limit),
            }
        })
    })
}
