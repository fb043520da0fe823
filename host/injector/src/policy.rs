//! The same injection without a webhook: admission policies that the API server itself carries out,
//! from Kubernetes 1.36 on.
//!
//! A policy is for one StatefulSet, since what is injected depends on its pod template. How many
//! replicas it wants and where they begin is read from the StatefulSet itself, as the policy's parameter.

mod cel;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use outrigger_profile::env::{ORDINALS_START, REPLICAS};
use outrigger_profile::layout::CONTAINER;
use serde_json::{Value, json};

use self::cel::{list, text, value};
use crate::annotation::{INJECT, KEYS, PREFIX, Place};
use crate::injection::{Injection, Order};
use crate::manifest::Workload;
use crate::status::Status;

/// What a policy cannot do, in its own words.
const HEAD: &str = "\
# What `outrigger webhook` does for one StatefulSet, as policies that the API server carries out itself.
# They need Kubernetes 1.36. What they cannot do, and the webhook does:
# - follow changes of the profile, of the pod template and of its annotations: emit them again then, with
#   `outrigger policy`. Replicas and the first ordinal are followed;
# - look at the profile when a pod is created: `outrigger check` tells what is wrong with it beforehand.
#   Without its ConfigMap a pod waits in ContainerCreating;
# - tell in Events and metrics what they did;
# - draw a token for each pod: the preStop hooks of this StatefulSet share one, and whoever may read
#   policies reads it.
# Of the refusals there are two: a pod without its sidecar, and annotations that do not exist.
# Change them with `kubectl apply`, never by deleting and applying: an API server of 1.36 whose last policy
# with a StatefulSet as its parameter was deleted finds no StatefulSet for later ones until it is restarted,
# and refuses the pods (\"no params found for policy binding\").
";

/// The policies for a StatefulSet and their bindings, as YAML.
pub fn policies(workload: &Workload, injection: &Injection) -> String {
    let Workload {
        namespace, name, ..
    } = workload;
    let policy = format!("outrigger-{namespace}-{name}");
    let mut text = HEAD.to_owned();
    // Writing to a string cannot fail.
    let mut put = |part: &str| text.write_str(part).unwrap_or_default();
    put(&format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\nmetadata:\n  name: {policy}\nspec:\n{}",
        constraints(workload)
    ));
    put("    - name: without-its-sidecar\n      expression: |-\n");
    put(&block(8, &format!("!({})", has_sidecar("true"))));
    put("  paramKind:\n    apiVersion: apps/v1\n    kind: StatefulSet\n");
    put("  failurePolicy: Fail\n  reinvocationPolicy: IfNeeded\n  variables:\n");
    for (variable, expression) in variables(injection) {
        put(&format!("    - name: {variable}\n      expression: |-\n"));
        put(&block(8, &expression));
    }
    put("  mutations:\n");
    for expression in mutations(injection) {
        put("    - patchType: JSONPatch\n      jsonPatch:\n        expression: |-\n");
        put(&block(10, &expression));
    }
    put(&format!(
        "---\napiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicyBinding\nmetadata:\n  name: {policy}\nspec:\n  policyName: {policy}\n  paramRef:\n    name: {name}\n    namespace: {namespace}\n    parameterNotFoundAction: Deny\n"
    ));
    put(&format!(
        "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: {policy}\nspec:\n{}  failurePolicy: Fail\n  validations:\n",
        constraints(workload)
    ));
    for (expression, message) in validations() {
        put("    - expression: |-\n");
        put(&block(8, &expression));
        put(&format!("      message: {}\n", Value::from(message)));
    }
    put(&format!(
        "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata:\n  name: {policy}\nspec:\n  policyName: {policy}\n  validationActions: [Deny]\n"
    ));
    text
}

/// Lines at an indentation.
fn block(indent: usize, lines: &str) -> String {
    let pad = " ".repeat(indent);
    let lines: Vec<String> = lines.lines().map(|line| format!("{pad}{line}")).collect();
    lines.join("\n") + "\n"
}

/// Which pods it is about; conditions may follow.
fn constraints(workload: &Workload) -> String {
    let owner = format!(
        "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(owner,\n  owner.kind == \"StatefulSet\" && owner.name == {} && has(owner.controller) && owner.controller)",
        text(&workload.name)
    );
    format!(
        "  matchConstraints:\n    namespaceSelector:\n      matchLabels: {{kubernetes.io/metadata.name: {}}}\n    objectSelector:\n      matchLabels: {{{PREFIX}{}: \"true\"}}\n    resourceRules:\n      - apiGroups: [\"\"]\n        apiVersions: [v1]\n        operations: [CREATE]\n        resources: [pods]\n  matchConditions:\n    - name: of-this-statefulset\n      expression: |-\n{}",
        workload.namespace,
        INJECT.name,
        block(8, &owner)
    )
}

/// Whether the pod has a sidecar, of which something holds.
fn has_sidecar(holds: &str) -> String {
    let named = format!("one.name == {}", text(CONTAINER));
    let which = if holds == "true" {
        named
    } else {
        format!("{named} && {holds}")
    };
    format!("has(object.spec.initContainers) && object.spec.initContainers.exists(one, {which})")
}

fn variables(injection: &Injection) -> Vec<(&'static str, String)> {
    let mut sidecar = injection.sidecar.clone();
    let variables = sidecar.get_mut("env").and_then(Value::as_array_mut);
    let mut followed = Vec::new();
    for variable in variables.into_iter().flatten() {
        let source = match variable.get("name").and_then(Value::as_str) {
            Some(name) if name == REPLICAS.name => {
                "has(params.spec.replicas) ? string(params.spec.replicas) : \"1\""
            }
            Some(name) if name == ORDINALS_START.name => {
                "has(params.spec.ordinals) && has(params.spec.ordinals.start) ? string(params.spec.ordinals.start) : \"0\""
            }
            _ => continue,
        };
        let mark = format!("\u{1}{}", followed.len());
        if let Some(value) = variable.get_mut("value") {
            *value = json!(mark);
        }
        followed.push((text(&mark), source));
    }
    let mut expression = value(&sidecar);
    for (mark, source) in followed {
        expression = expression.replace(&mark, source);
    }
    vec![
        ("sidecar", expression),
        (
            "index",
            format!(
                "object.spec.containers.map(one, one.name).indexOf({})",
                text(&injection.workload)
            ),
        ),
        (
            "workload",
            "\"/spec/containers/\" + string(variables.index)".to_owned(),
        ),
    ]
}

/// One expression for each place.
fn mutations(injection: &Injection) -> Vec<String> {
    let mut all = vec![
        put_sidecar(&injection.order),
        append("object.spec", "volumes", "\"/spec", &injection.volumes),
    ];
    let container = "object.spec.containers[variables.index]";
    for (field, items) in [("volumeMounts", &injection.mounts), ("env", &injection.env)] {
        all.push(append(container, field, "variables.workload + \"", items));
    }
    if let Some(hook) = &injection.pre_stop {
        all.push(format!(
            "(has({container}.lifecycle) ? [] : [\n  JSONPatch{{op: \"add\", path: variables.workload + \"/lifecycle\", value: {{}}}}\n]) + [\n  JSONPatch{{op: \"add\", path: variables.workload + \"/lifecycle/preStop\", value: {}}}\n]",
            value(hook)
        ));
    }
    if injection.share_process_namespace {
        all.push(
            "[JSONPatch{op: \"add\", path: \"/spec/shareProcessNamespace\", value: true}]"
                .to_owned(),
        );
    }
    all.push(annotations(injection));
    all.retain(|expression| !expression.is_empty());
    all
}

fn put_sidecar(order: &Order) -> String {
    let place = match order {
        Order::Default | Order::First => "\"0\"".to_owned(),
        Order::Last => "\"-\"".to_owned(),
        Order::Before(name) | Order::After(name) => {
            let after = u8::from(matches!(order, Order::After(_)));
            format!(
                "string(object.spec.initContainers.map(one, one.name).indexOf({}) + {after})",
                text(name)
            )
        }
    };
    format!(
        "has(object.spec.initContainers) ? [\n  JSONPatch{{op: \"add\", path: \"/spec/initContainers/\" + {place}, value: variables.sidecar}}\n] : [\n  JSONPatch{{op: \"add\", path: \"/spec/initContainers\", value: [variables.sidecar]}}\n]"
    )
}

/// Puts items at the end of a list, which may not be there. `base` opens a text that begins the path.
fn append(parent: &str, field: &str, base: &str, items: &[Value]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let each = items.iter().map(|item| {
        format!(
            "JSONPatch{{op: \"add\", path: {base}/{field}/-\", value: {}}}",
            value(item)
        )
    });
    format!(
        "(has({parent}.{field}) ? [] : [\n  JSONPatch{{op: \"add\", path: {base}/{field}\", value: []}}\n]) + {}",
        list(each)
    )
}

fn annotations(injection: &Injection) -> String {
    let status = Status::of(injection);
    let status = (Status::KEY.to_owned(), status.text());
    let each = injection
        .annotations
        .iter()
        .chain([&status])
        .map(|(key, said)| {
            let path = format!(
                "/metadata/annotations/{}",
                key.replace('~', "~0").replace('/', "~1")
            );
            format!(
                "JSONPatch{{op: \"add\", path: {}, value: {}}}",
                text(&path),
                text(said)
            )
        });
    format!(
        "(has(object.metadata.annotations) ? [] : [\n  JSONPatch{{op: \"add\", path: \"/metadata/annotations\", value: {{}}}}\n]) + {}",
        list(each)
    )
}

fn validations() -> Vec<(String, &'static str)> {
    let known: Vec<String> = KEYS
        .iter()
        .filter(|key| key.place == Place::Annotation)
        .map(|key| text(&format!("{PREFIX}{}", key.name)))
        .collect();
    let sidecar = has_sidecar("has(one.restartPolicy) && one.restartPolicy == \"Always\"");
    vec![
        (
            sidecar,
            "the pod asks for its sidecar and does not have it: are the policies of this StatefulSet up to date?",
        ),
        (
            format!(
                "!has(object.metadata.annotations) || object.metadata.annotations.all(key,\n  !key.startsWith(\"{PREFIX}\") || key in [{}])",
                known.join(", ")
            ),
            "an annotation below outrigger.dev/ does not exist: `outrigger check` tells which and what may be meant",
        ),
    ]
}
