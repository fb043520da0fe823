//! What is known of the StatefulSet and its Service, and whether a replica that starts now can ever
//! become ready.

use std::sync::Arc;

use outrigger_profile::{DiscoverySource, PluginSource, Profile, WaitFor};

use super::{Fitting, Subject};
use crate::annotation::cut;
use crate::decide::{Denial, DenyCode, Warning};
use crate::facts::{PodManagement, StatefulSetFacts};
use crate::pod::text;

/// The label that the StatefulSet's controller gives to each pod before it is created.
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// Where a StatefulSet names its Service.
const SERVICE: &str = "spec.serviceName";

/// Built-in plugins by whose readiness a replica waits for a majority of all.
const NEED_A_MAJORITY: &[&str] = &["agdb"];

/// What is known of the replica and its siblings.
#[derive(Debug)]
pub(super) struct Replica {
    /// The StatefulSet; none where it is not known and nothing depends on it.
    pub(super) facts: Option<Arc<StatefulSetFacts>>,
    /// The governing Service.
    pub(super) service: Option<String>,
}

/// Whom a starting replica needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nobody,
    /// Its own name.
    Own,
    /// Others, as the text says.
    Others(&'static str),
    /// A plugin decides, and nobody knows by what.
    Unknown,
}

fn needs(profile: &Profile) -> Needs {
    if let DiscoverySource::Fixed(_) = profile.discovery.source {
        return Needs::Nobody;
    }
    let asked = profile.health.readiness.plugin || profile.health.startup.plugin;
    let plugin = profile.plugin.as_ref().filter(|_| asked).map(|p| &p.source);
    match (profile.start.wait_for, plugin) {
        (_, Some(PluginSource::Builtin(name))) if NEED_A_MAJORITY.contains(&name.as_str()) => {
            Needs::Others("a replica is ready only with a majority of all")
        }
        (WaitFor::Majority | WaitFor::All, _) => {
            Needs::Others("spec.start.wait-for holds a replica until others have names")
        }
        // Of the others it waits for those alone that are there before it.
        (WaitFor::Own | WaitFor::Earlier, _) => Needs::Own,
        (WaitFor::Nobody, Some(PluginSource::File { .. })) => Needs::Unknown,
        (WaitFor::Nobody, _) => Needs::Nobody,
    }
}

pub(super) fn know(fitting: &Fitting<'_>, warnings: &mut Vec<Warning>) -> Result<Replica, Denial> {
    let subject = fitting.subject;
    let ordinal = ordinal(subject)?;
    let owner = subject.owner;
    let known = subject
        .catalog
        .stateful_set(subject.namespace, owner.name)
        // A StatefulSet of the same name that was deleted since says nothing about this one.
        .filter(|facts| {
            facts.uid.is_none() || owner.uid.is_none() || facts.uid.as_deref() == owner.uid
        });
    let told = fitting.profile.discovery.replicas;
    if told.is_none() {
        current(subject, known.as_deref(), ordinal)?;
    }
    let service = fitting
        .profile
        .discovery
        .service
        .clone()
        .or_else(|| known.as_ref().map(|facts| facts.service.clone()))
        // The StatefulSet's controller writes the Service there.
        .or_else(|| subject.pod.spec("subdomain")?.as_str().map(str::to_owned))
        .filter(|service| !service.is_empty());
    if let Some(facts) = &known {
        let replicas = told.unwrap_or(facts.replicas);
        startable(fitting, facts, replicas, warnings)?;
        names(fitting, service.as_deref(), replicas, warnings)?;
    }
    Ok(Replica {
        facts: known,
        service,
    })
}

/// The pod's ordinal; none in a template.
fn ordinal(subject: &Subject<'_>) -> Result<Option<u32>, Denial> {
    let denied = |message: String| {
        Err(Denial::new(
            DenyCode::Ordinal,
            message,
            "pods of a StatefulSet are named `<statefulset>-<ordinal>`, and their ordinal has no leading zeros",
        ))
    };
    let label = match subject.pod.label(INDEX_LABEL) {
        None => None,
        Some(text) => match canonical(text) {
            Some(ordinal) => Some(ordinal),
            None => return denied(format!("the label {INDEX_LABEL} is `{}`", cut(text))),
        },
    };
    let Some(name) = subject.pod.name() else {
        return Ok(label);
    };
    let suffix = name
        .strip_prefix(subject.owner.name)
        .and_then(|rest| rest.strip_prefix('-'));
    let Some(from_name) = suffix.and_then(canonical) else {
        return denied(format!(
            "the pod {} is no replica of {}",
            cut(name),
            cut(subject.owner.name)
        ));
    };
    match label {
        Some(label) if label != from_name => denied(format!(
            "the pod {} has the label {INDEX_LABEL}: \"{label}\"",
            cut(name)
        )),
        _ => Ok(Some(from_name)),
    }
}

/// A number as Kubernetes writes ordinals.
fn canonical(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let leading = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| plain && !leading)
}

/// A wrong number of replicas would be written into configurations, so that an old one is refused; the
/// controller creates the pod again within moments.
fn current(
    subject: &Subject<'_>,
    known: Option<&StatefulSetFacts>,
    ordinal: Option<u32>,
) -> Result<(), Denial> {
    let name = cut(subject.owner.name);
    let denied = |message: String| {
        Err(Denial::new(
            DenyCode::OwnerUnknown,
            message,
            "the controller tries again by itself; if this goes on, look whether the webhook may list and watch StatefulSets",
        ))
    };
    let Some(facts) = known else {
        return denied(format!("the StatefulSet {name} is not known here yet"));
    };
    let Some(ordinal) = ordinal else {
        return Ok(());
    };
    let end = facts.start.saturating_add(facts.replicas);
    if ordinal < facts.start || ordinal >= end {
        return denied(format!(
            "the StatefulSet {name} is known here with {} replicas from ordinal {}, and this is {ordinal}",
            facts.replicas, facts.start
        ));
    }
    Ok(())
}

/// Replicas that start one after the other must not wait for later ones.
fn startable(
    fitting: &Fitting<'_>,
    facts: &StatefulSetFacts,
    replicas: u32,
    warnings: &mut Vec<Warning>,
) -> Result<(), Denial> {
    if facts.management == PodManagement::Parallel || replicas < 2 {
        return Ok(());
    }
    let name = cut(fitting.subject.owner.name);
    match needs(fitting.profile) {
        Needs::Nobody | Needs::Own => Ok(()),
        Needs::Others(why) => Err(Denial::new(
            DenyCode::OrderedReady,
            format!(
                "the StatefulSet {name} starts its replicas one after the other, and {why}: the first would wait for ever"
            ),
            format!(
                "set podManagementPolicy: Parallel; that needs a new StatefulSet: `kubectl delete statefulset {name} --cascade=orphan`, then apply it again"
            ),
        )),
        Needs::Unknown => {
            let told = Warning::of_owner(
                "spec.podManagementPolicy",
                "podManagementPolicy is OrderedReady",
            );
            warnings
                .push(told.hint("if the plugin's readiness needs later replicas, set Parallel"));
            Ok(())
        }
    }
}

/// Names that are asked for before a replica is ready must be there before it is.
fn names(
    fitting: &Fitting<'_>,
    service: Option<&str>,
    replicas: u32,
    warnings: &mut Vec<Warning>,
) -> Result<(), Denial> {
    let Some(service) = service else {
        return Ok(());
    };
    let name = cut(service);
    let Some(facts) = fitting
        .subject
        .catalog
        .service(fitting.subject.namespace, service)
    else {
        let told = format!("there is no Service {name}, so replicas have no names");
        warnings
            .push(Warning::of_owner(SERVICE, told).hint("create it, headless (`clusterIP: None`)"));
        return Ok(());
    };
    if !facts.headless {
        let told = format!("the Service {name} is not headless, so replicas have no names");
        warnings.push(Warning::of_owner(SERVICE, told).hint("set clusterIP: None"));
    }
    let why = match needs(fitting.profile) {
        Needs::Own => "a replica waits for its own name",
        Needs::Others(why) if replicas > 1 => why,
        Needs::Unknown if replicas > 1 && !facts.publish_not_ready => {
            let told = format!("the Service {name} publishes ready replicas alone");
            warnings.push(
                Warning::of_owner(SERVICE, told)
                    .hint("if the plugin's readiness needs others, set publishNotReadyAddresses"),
            );
            return Ok(());
        }
        Needs::Nobody | Needs::Others(_) | Needs::Unknown => return Ok(()),
    };
    if facts.publish_not_ready {
        return Ok(());
    }
    Err(Denial::new(
        DenyCode::NotReadyAddresses,
        format!(
            "the Service {name} gives names to ready replicas alone, and {why}: they would wait for each other for ever"
        ),
        format!("set publishNotReadyAddresses: true in the Service {name}"),
    ))
}

/// Where a volume claim is one of the StatefulSet's: what it asks for.
pub(super) fn claim_bytes(facts: Option<&StatefulSetFacts>, volume: &str) -> Option<u64> {
    facts?.claims.get(volume).map(|size| size.0)
}

/// Whether the pod has a volume of this name, or will have one from a claim.
pub(super) fn has_volume(fitting: &Fitting<'_>, replica: &Replica, volume: &str) -> bool {
    let mut volumes = fitting.subject.pod.volumes();
    let claimed = replica
        .facts
        .as_ref()
        .is_some_and(|facts| facts.claims.contains_key(volume));
    claimed || volumes.any(|one| text(one, "name") == Some(volume))
}
