//! References of a pod template to `ConfigMap`s, Secrets and their keys.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, Volume};
use outrigger_profile::document::path;
use outrigger_profile::{Finding, did_you_mean};

use crate::manifest::{Bundle, Manifests, namespace_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ConfigMap,
    Secret,
}

/// One reference.
struct Reference<'a> {
    kind: Kind,
    name: &'a str,
    keys: Vec<&'a str>,
    optional: bool,
    place: String,
}

pub(super) fn check(manifests: &Manifests, set: &StatefulSet, found: &mut Vec<Finding>) {
    let Some(pod) = set.spec.template.spec.as_ref() else {
        return;
    };
    let namespace = namespace_of(set.metadata.namespace.as_deref());
    for reference in of_pod(pod) {
        if reference.optional {
            continue;
        }
        let (word, bundle, all) = match reference.kind {
            Kind::ConfigMap => (
                "ConfigMap",
                manifests.config_map(namespace, reference.name),
                &manifests.config_maps,
            ),
            Kind::Secret => (
                "Secret",
                manifests.secret(namespace, reference.name),
                &manifests.secrets,
            ),
        };
        let Some(bundle) = bundle else {
            let hint = did_you_mean(reference.name, all.keys().map(|(_, name)| name.as_str()))
                .map_or_else(
                    || "add it, or say `optional: true`".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
            found.push(
                Finding::error(
                    reference.place,
                    format!(
                        "there is no {word} `{}` in the namespace {namespace}",
                        reference.name
                    ),
                )
                .hint(hint),
            );
            continue;
        };
        missing_keys(&reference, word, bundle, found);
    }
}

fn missing_keys(reference: &Reference<'_>, word: &str, bundle: &Bundle, found: &mut Vec<Finding>) {
    for key in &reference.keys {
        if bundle.values.contains_key(*key) {
            continue;
        }
        let hint = did_you_mean(key, bundle.values.keys().map(String::as_str)).map_or_else(
            || {
                let keys: Vec<&str> = bundle.values.keys().map(String::as_str).collect();
                format!("it has {}", keys.join(", "))
            },
            |meant| format!("did you mean `{meant}`?"),
        );
        found.push(
            Finding::error(
                reference.place.as_str(),
                format!("the {word} `{}` has no key `{key}`", reference.name),
            )
            .hint(hint),
        );
    }
}

fn of_pod(pod: &PodSpec) -> Vec<Reference<'_>> {
    let mut all = Vec::new();
    let base = "spec.template.spec";
    let lists = [
        ("containers", Some(&pod.containers)),
        ("initContainers", pod.init_containers.as_ref()),
    ];
    for (field, list) in lists {
        for (index, container) in list.into_iter().flatten().enumerate() {
            of_container(
                container,
                &path::item(&path::key(base, field), index),
                &mut all,
            );
        }
    }
    for (index, volume) in pod.volumes.iter().flatten().enumerate() {
        of_volume(
            volume,
            &path::item(&path::key(base, "volumes"), index),
            &mut all,
        );
    }
    all
}

fn of_container<'a>(container: &'a Container, place: &str, all: &mut Vec<Reference<'a>>) {
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let place = path::item(&path::key(place, "envFrom"), index);
        if let Some(reference) = &source.config_map_ref {
            all.push(Reference {
                kind: Kind::ConfigMap,
                name: &reference.name,
                keys: Vec::new(),
                optional: reference.optional == Some(true),
                place: path::key(&place, "configMapRef"),
            });
        }
        if let Some(reference) = &source.secret_ref {
            all.push(Reference {
                kind: Kind::Secret,
                name: &reference.name,
                keys: Vec::new(),
                optional: reference.optional == Some(true),
                place: path::key(&place, "secretRef"),
            });
        }
    }
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let place = path::key(&path::item(&path::key(place, "env"), index), "valueFrom");
        let Some(from) = &variable.value_from else {
            continue;
        };
        if let Some(reference) = &from.config_map_key_ref {
            all.push(Reference {
                kind: Kind::ConfigMap,
                name: &reference.name,
                keys: vec![&reference.key],
                optional: reference.optional == Some(true),
                place: path::key(&place, "configMapKeyRef"),
            });
        }
        if let Some(reference) = &from.secret_key_ref {
            all.push(Reference {
                kind: Kind::Secret,
                name: &reference.name,
                keys: vec![&reference.key],
                optional: reference.optional == Some(true),
                place: path::key(&place, "secretKeyRef"),
            });
        }
    }
}

fn of_volume<'a>(volume: &'a Volume, place: &str, all: &mut Vec<Reference<'a>>) {
    if let Some(source) = &volume.config_map {
        all.push(Reference {
            kind: Kind::ConfigMap,
            name: &source.name,
            keys: keys(source.items.as_ref()),
            optional: source.optional == Some(true),
            place: path::key(place, "configMap"),
        });
    }
    if let Some(source) = &volume.secret {
        all.push(Reference {
            kind: Kind::Secret,
            name: source.secret_name.as_deref().unwrap_or_default(),
            keys: keys(source.items.as_ref()),
            optional: source.optional == Some(true),
            place: path::key(place, "secret"),
        });
    }
    let sources = volume
        .projected
        .iter()
        .flat_map(|p| p.sources.iter().flatten());
    for (index, source) in sources.enumerate() {
        let place = path::item(&path::key(&path::key(place, "projected"), "sources"), index);
        if let Some(source) = &source.config_map {
            all.push(Reference {
                kind: Kind::ConfigMap,
                name: &source.name,
                keys: keys(source.items.as_ref()),
                optional: source.optional == Some(true),
                place: path::key(&place, "configMap"),
            });
        }
        if let Some(source) = &source.secret {
            all.push(Reference {
                kind: Kind::Secret,
                name: &source.name,
                keys: keys(source.items.as_ref()),
                optional: source.optional == Some(true),
                place: path::key(&place, "secret"),
            });
        }
    }
}

fn keys(items: Option<&Vec<KeyToPath>>) -> Vec<&str> {
    items
        .into_iter()
        .flatten()
        .map(|item| item.key.as_str())
        .collect()
}
