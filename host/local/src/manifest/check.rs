//! What would keep a StatefulSet from running: every problem, before anything is started.

mod pod;
mod references;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use outrigger_profile::document::{Document, path};
use outrigger_profile::{FileFrom, Finding, Profile};

use super::{
    Bundle, INJECT_LABEL, Key, Manifests, PROFILE_ANNOTATION, PROFILE_KEY, Placed, Value,
    is_dns_label, namespace_of,
};

/// More replicas than this are a slip: each is several processes.
const REPLICAS_MAX: i32 = 100;

/// The profiles that pod templates ask for, by the namespace and name of their ConfigMap.
pub type Profiles = BTreeMap<Key, Profile>;

/// Looks through everything that was read.
pub fn check(manifests: &Manifests) -> (Profiles, Vec<Finding>) {
    let mut found = Vec::new();
    let mut profiles = Profiles::new();
    if manifests.stateful_sets.is_empty() && manifests.findings.is_empty() {
        found.push(
            Finding::error("", "there is no StatefulSet among the manifests")
                .hint("`up` runs StatefulSets: name the folder or file that has one"),
        );
    }
    for set in &manifests.stateful_sets {
        let mut local = Vec::new();
        spec(manifests, &set.object, &mut local);
        pod::check(&set.object, &mut local);
        references::check(manifests, &set.object, &mut local);
        found.extend(local.into_iter().map(|finding| set.origin.locate(finding)));
        found.extend(profile(manifests, set, &mut profiles));
    }
    (profiles, found)
}

fn spec(manifests: &Manifests, set: &StatefulSet, found: &mut Vec<Finding>) {
    let spec = &set.spec;
    let name = set.metadata.name.as_deref().unwrap_or_default();
    if !is_dns_label(name) || name.len() > 52 {
        found.push(
            Finding::error(
                "metadata.name",
                format!("`{name}` cannot begin a host name"),
            )
            .hint("use at most 52 lower-case letters, digits and `-`"),
        );
    }
    for (place, number) in [
        ("spec.replicas", spec.replicas),
        (
            "spec.ordinals.start",
            spec.ordinals.as_ref().and_then(|ordinals| ordinals.start),
        ),
    ] {
        if number.is_some_and(|number| number < 0) {
            found.push(Finding::error(place, "it is negative"));
        }
    }
    if spec
        .replicas
        .is_some_and(|replicas| replicas > REPLICAS_MAX)
    {
        found.push(
            Finding::error(
                "spec.replicas",
                format!("one machine runs at most {REPLICAS_MAX} replicas"),
            )
            .hint("use `--replicas`"),
        );
    }
    if let Some(policy) = &spec.pod_management_policy
        && policy != "OrderedReady"
        && policy != "Parallel"
    {
        found.push(
            Finding::error(
                "spec.podManagementPolicy",
                format!("`{policy}` is no pod management policy"),
            )
            .hint("write `OrderedReady` or `Parallel`"),
        );
    }
    selector(set, found);
    governing_service(manifests, set, spec.service_name.as_deref(), found);
}

/// Selectors that do not choose their own StatefulSet's pods: an API server refuses these.
pub fn selectors(manifests: &Manifests) -> Vec<Finding> {
    let mut found = Vec::new();
    for set in &manifests.stateful_sets {
        let mut own = Vec::new();
        selector(&set.object, &mut own);
        found.extend(own.into_iter().map(|finding| set.origin.locate(finding)));
    }
    found
}

fn selector(set: &StatefulSet, found: &mut Vec<Finding>) {
    let spec = &set.spec;
    let labels = spec
        .template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.as_ref());
    for (key, value) in spec.selector.match_labels.iter().flatten() {
        if labels.and_then(|labels| labels.get(key)) != Some(value) {
            found.push(
                Finding::error(
                    path::key("spec.selector.matchLabels", key),
                    "the pod template has no such label",
                )
                .hint(format!(
                    "add `{key}: {value}` to spec.template.metadata.labels"
                )),
            );
        }
    }
}

fn governing_service(
    manifests: &Manifests,
    set: &StatefulSet,
    service: Option<&str>,
    found: &mut Vec<Finding>,
) {
    let Some(name) = service.filter(|name| !name.is_empty()) else {
        found.push(
            Finding::error(
                "spec",
                "it names no governing Service: its pods have no names",
            )
            .hint("add `serviceName`, and a headless Service (`clusterIP: None`) of that name"),
        );
        return;
    };
    let namespace = namespace_of(set.metadata.namespace.as_deref());
    match manifests.service(namespace, name) {
        None => found.push(
            Finding::error(
                "spec.serviceName",
                format!("there is no Service `{name}` in the namespace {namespace}"),
            )
            .hint("add a headless Service (`clusterIP: None`) of that name"),
        ),
        Some(service) => {
            let spec = service.object.spec.as_ref();
            if spec.and_then(|spec| spec.cluster_ip.as_deref()) != Some("None") {
                found.push(
                    Finding::error(
                        "spec.serviceName",
                        format!("the Service `{name}` is not headless: its pods have no names"),
                    )
                    .hint(format!(
                        "write `clusterIP: None` in {}",
                        service.origin.file()
                    )),
                );
            }
        }
    }
}

/// Reads the profile that a pod template asks for.
fn profile(
    manifests: &Manifests,
    set: &Placed<StatefulSet>,
    profiles: &mut Profiles,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let spec = &set.object.spec;
    let Some(metadata) = &spec.template.metadata else {
        return found;
    };
    let at = |finding| set.origin.locate(finding);
    let labels = "spec.template.metadata.labels";
    let annotations = "spec.template.metadata.annotations";
    let label = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(INJECT_LABEL));
    let named = metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(PROFILE_ANNOTATION));
    let name = match (label.map(String::as_str), named) {
        (Some("true"), Some(name)) => name,
        (Some("true"), None) => {
            found.push(at(Finding::error(
                path::key(labels, INJECT_LABEL),
                "it asks for the sidecar, and no annotation names the profile",
            )
            .hint(format!(
                "add the annotation `{PROFILE_ANNOTATION}: <ConfigMap>`"
            ))));
            return found;
        }
        (None, Some(_)) => {
            found.push(at(Finding::warning(
                path::key(annotations, PROFILE_ANNOTATION),
                "it names a profile, but nothing asks for the sidecar",
            )
            .hint(format!("add the label `{INJECT_LABEL}: \"true\"`"))));
            return found;
        }
        _ => return found,
    };
    let place = path::key(annotations, PROFILE_ANNOTATION);
    let namespace = namespace_of(set.object.metadata.namespace.as_deref());
    let Some(bundle) = manifests.config_map(namespace, name) else {
        let hint = outrigger_profile::did_you_mean(
            name,
            manifests.config_maps.keys().map(|(_, name)| name.as_str()),
        )
        .map_or_else(
            || "add it, or a configMapGenerator for it".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        found.push(at(Finding::error(
            place,
            format!("there is no ConfigMap `{name}` in the namespace {namespace}"),
        )
        .hint(hint)));
        return found;
    };
    let Some(value) = bundle.values.get(PROFILE_KEY) else {
        found.push(at(Finding::error(
            place,
            format!("the ConfigMap `{name}` has no key `{PROFILE_KEY}`"),
        )
        .hint("the profile is that key; its templates are others")));
        return found;
    };
    let Ok(text) = std::str::from_utf8(&value.bytes) else {
        found.push(Finding::error("", "it is not UTF-8 text").in_file(value.file.as_str()));
        return found;
    };
    let (profile, findings) = outrigger_profile::parse(text, &value.file);
    let mut told = findings.0;
    told = below(value, told);
    if let Some(profile) = profile {
        let missing = missing(manifests, set, (namespace, name), bundle, &profile);
        told.extend(in_document(value, text, missing));
        profiles.insert((namespace.to_owned(), name.to_owned()), profile);
    }
    found.extend(told);
    found
}

/// Findings about places of the document that a key holds, with their file and line.
fn in_document(value: &Value, text: &str, findings: Vec<Finding>) -> Vec<Finding> {
    let (documents, _told_already) = Document::read_all(text, &value.file);
    let located = findings.into_iter().map(|finding| match documents.first() {
        Some(document) => document.locate(finding),
        None => finding.in_file(value.file.as_str()),
    });
    below(value, located.collect())
}

/// Findings with the lines of the key's own text, with those of its file.
fn below(value: &Value, mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut findings {
        if finding.line > 0 {
            finding.line += value.lines_before;
        }
    }
    findings
}

/// The Secrets that profiles name and the manifests do not have, by each profile's ConfigMap.
pub fn missing_secrets(manifests: &Manifests) -> Vec<Finding> {
    let mut found = Vec::new();
    for ((namespace, _), bundle) in &manifests.config_maps {
        let value = bundle.values.get(PROFILE_KEY);
        let text = value.and_then(|value| std::str::from_utf8(&value.bytes).ok());
        if let (Some(value), Some(text)) = (value, text)
            && let (Some(profile), _) = outrigger_profile::parse(text, &value.file)
        {
            let missing = secrets(manifests, namespace, &profile, "create it before the pods");
            found.extend(in_document(value, text, missing));
        }
    }
    found
}

/// What a profile names and the manifests do not have.
fn missing(
    manifests: &Manifests,
    set: &Placed<StatefulSet>,
    (namespace, config_map): (&str, &str),
    bundle: &Bundle,
    profile: &Profile,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, file) in profile.files.iter().enumerate() {
        if let FileFrom::Template(template) = &file.from
            && !bundle.values.contains_key(template)
        {
            let hint =
                outrigger_profile::did_you_mean(template, bundle.values.keys().map(String::as_str))
                    .map_or_else(
                        || "add the template's file to the ConfigMap's generator".to_owned(),
                        |meant| format!("did you mean `{meant}`?"),
                    );
            found.push(
                Finding::error(
                    format!("spec.files[{index}].template"),
                    format!("the ConfigMap `{config_map}` has no key `{template}`"),
                )
                .hint(hint),
            );
        }
    }
    let spec = set.object.spec.template.spec.as_ref();
    let containers = spec.iter().flat_map(|pod| &pod.containers);
    if !containers
        .clone()
        .any(|c| c.name == profile.workload.container)
    {
        let names: Vec<&str> = containers.map(|c| c.name.as_str()).collect();
        found.push(
            Finding::error(
                "spec.workload.container",
                format!(
                    "the pod template has no container `{}`",
                    profile.workload.container
                ),
            )
            .hint(format!("it has {}", names.join(", "))),
        );
    }
    found.extend(secrets(manifests, namespace, profile, "add it"));
    found
}

fn secrets(
    manifests: &Manifests,
    namespace: &str,
    profile: &Profile,
    advice: &str,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, source) in &profile.secrets {
        if !source.optional && manifests.secret(namespace, &source.secret).is_none() {
            let names = manifests.secrets.keys().map(|(_, name)| name.as_str());
            let hint = outrigger_profile::did_you_mean(&source.secret, names).map_or_else(
                || format!("{advice}, or say `optional: true`"),
                |meant| format!("did you mean `{meant}`?"),
            );
            found.push(
                Finding::error(
                    path::key("spec.secrets", key),
                    format!(
                        "there is no Secret `{}` in the namespace {namespace}",
                        source.secret
                    ),
                )
                .hint(hint),
            );
        }
    }
    found
}
