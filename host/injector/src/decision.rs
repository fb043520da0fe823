//! The steps of a decision, in their order: who asks, for what, whether it can be had, and what it is.

mod build;
mod conflict;
mod profile;
mod replica;
mod security;
mod sidecar;

pub(crate) use self::conflict::is_rendered;

use outrigger_profile::document::path;
use outrigger_profile::{Finding, Profile};

use crate::annotation::{Asked, INJECT, PREFIX, REQUIRED, cut};
use crate::decide::{
    Decision, Denial, DenyCode, Operation, Outcome, Owner, Request, SkipReason, Warning,
};
use crate::entropy::Entropy;
use crate::facts::{Catalog, ProfileEntry};
use crate::injection::Injection;
use crate::pod::{Container, Misshapen, Pod};
use crate::settings::Settings;
use crate::status::Status;

const ANNOTATIONS: &str = "metadata.annotations";

/// Everything that is known once the pod is known to be asked for.
struct Subject<'a> {
    pod: Pod<'a>,
    asked: Asked<'a>,
    /// What an earlier injection wrote.
    status: Option<Status>,
    owner: Owner<'a>,
    namespace: &'a str,
    catalog: &'a dyn Catalog,
    settings: &'a Settings,
    entropy: &'a dyn Entropy,
}

/// A subject whose profile and container are found.
struct Fitting<'a> {
    subject: &'a Subject<'a>,
    profile: &'a Profile,
    entry: &'a ProfileEntry,
    /// The `ConfigMap`, or `builtin:<name>`.
    source: String,
    workload: Container<'a>,
    /// The workload container's name.
    container: &'a str,
    /// The sidecar's port.
    port: u16,
}

pub(crate) fn outcome(
    request: &Request<'_>,
    catalog: &dyn Catalog,
    settings: &Settings,
    entropy: &dyn Entropy,
) -> Outcome {
    let mut warnings = Vec::new();
    let decision = match asking(request, &mut warnings) {
        Err(reason) => Decision::Skip(reason),
        Ok((owner, pod)) => {
            let subject = read(request, owner).map(|(asked, status)| Subject {
                pod,
                asked,
                status,
                owner,
                namespace: request.namespace,
                catalog,
                settings,
                entropy,
            });
            match subject {
                Err(denial) => Decision::Deny(denial),
                Ok(subject) => match injection(&subject, &mut warnings) {
                    Ok(injection) => Decision::Inject(Box::new(injection)),
                    Err(denial) if subject.asked.required == Some(false) => {
                        warnings.clear();
                        let asked = path::key(ANNOTATIONS, &format!("{PREFIX}{}", REQUIRED.name));
                        let told = format!("no sidecar: {}", denial.message);
                        warnings.push(Warning::of_pod(asked, told));
                        Decision::Skip(SkipReason::NotRequired(Box::new(denial)))
                    }
                    Err(denial) => Decision::Deny(denial),
                },
            }
        }
    };
    if matches!(decision, Decision::Deny(_)) {
        warnings.clear();
    }
    Outcome { decision, warnings }
}

/// Whether the pod asks for the sidecar, and is a replica.
fn asking<'a>(
    request: &Request<'a>,
    warnings: &mut Vec<Warning>,
) -> Result<(Owner<'a>, Pod<'a>), SkipReason> {
    let pod = Pod::lenient(request.pod);
    if request.operation != Operation::Create {
        return Err(SkipReason::NotCreated);
    }
    let label = pod
        .labels()
        .and_then(|labels| labels.get(&*format!("{PREFIX}{}", INJECT.name)));
    let Some(label) = label else {
        let ours = pod.annotations().into_iter().flatten();
        if let Some((key, _)) = ours.into_iter().find(|(key, _)| key.starts_with(PREFIX)) {
            let told = format!(
                "{} has no effect without the label {PREFIX}{}: \"true\"",
                cut(key),
                INJECT.name
            );
            warnings.push(Warning::of_pod(path::key(ANNOTATIONS, key), told));
        }
        return Err(SkipReason::NotAsked);
    };
    if label.as_str() == Some("false") {
        return Err(SkipReason::OptedOut);
    }
    match request.owner {
        Some(owner) if owner.kind == "StatefulSet" && owner.api_version.starts_with("apps/") => {
            Ok((owner, pod))
        }
        other => {
            let reason = SkipReason::Owner {
                kind: other.map(|owner| match owner.kind {
                    "StatefulSet" => cut(&format!("{} {}", owner.api_version, owner.kind)),
                    kind => cut(kind),
                }),
            };
            let label = path::key("metadata.labels", &format!("{PREFIX}{}", INJECT.name));
            let told = Warning::of_pod(label, format!("no sidecar: {reason}"));
            warnings.push(told.hint("remove the label"));
            Err(reason)
        }
    }
}

/// What the pod says, once it is of the right shape.
fn read<'a>(
    request: &Request<'a>,
    owner: Owner<'_>,
) -> Result<(Asked<'a>, Option<Status>), Denial> {
    let pod = Pod::checked(request.pod).map_err(|Misshapen(place)| {
        Denial::new(
            DenyCode::Malformed,
            format!("{} is not what Kubernetes takes there", cut(&place)),
            "look at the pod template: the API server would refuse this pod too",
        )
    })?;
    let asked = Asked::read(pod).map_err(|findings| Denial {
        code: DenyCode::Annotations,
        message: "what the pod asks for cannot be understood".to_owned(),
        hint: format!(
            "mend the pod template of the StatefulSet {}",
            cut(owner.name)
        ),
        findings,
    })?;
    let status = pod
        .annotation(Status::KEY)
        .and_then(|text| Status::parse(text).ok());
    Ok((asked, status))
}

fn injection(subject: &Subject<'_>, warnings: &mut Vec<Warning>) -> Result<Injection, Denial> {
    conflict::system(subject.pod)?;
    let (source, entry) = profile::find(subject)?;
    let profile = profile::usable(&source, &entry, warnings)?;
    let (workload, container) = profile::workload(subject, profile)?;
    let fitting = Fitting {
        subject,
        profile,
        entry: &entry,
        source,
        workload,
        container,
        port: subject
            .asked
            .port
            .unwrap_or(outrigger_profile::layout::PORT),
    };
    conflict::check(&fitting)?;
    let replica = replica::know(&fitting, warnings)?;
    build::build(&fitting, &replica, warnings)
}

impl Denial {
    fn new(code: DenyCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            findings: Vec::new(),
        }
    }

    fn found(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
        self
    }
}
