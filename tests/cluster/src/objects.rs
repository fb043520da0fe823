//! Kubernetes objects in YAML, made comparable.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value};

/// Objects by `kind namespace/name`.
pub(crate) type Objects = BTreeMap<String, Value>;

/// The labels by which Helm knows its objects.
const HELMS_OWN: [&str; 2] = ["app.kubernetes.io/managed-by", "helm.sh/chart"];

/// All objects of a text with several documents, without what says who rendered them; what is only
/// there for `helm test` is left out.
pub(crate) fn objects(text: &str) -> Objects {
    let documents = Yaml::load_from_str(text).unwrap();
    let mut found = Objects::new();
    for mut object in documents.iter().map(json) {
        if object.is_null()
            || object
                .pointer("/metadata/annotations/helm.sh~1hook")
                .is_some()
        {
            continue;
        }
        for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
            if let Some(Value::Object(labels)) = object.pointer_mut(labels) {
                labels.retain(|label, _| !HELMS_OWN.contains(&label.as_str()));
            }
        }
        let part = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let name = format!(
            "{} {}/{}",
            part("/kind"),
            part("/metadata/namespace"),
            part("/metadata/name")
        );
        assert!(
            found.insert(name.clone(), object).is_none(),
            "{name} is there twice"
        );
    }
    found
}

/// The one object of a text.
pub(crate) fn document(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1, "{text}");
    json(&documents[0])
}

fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => Value::from(*value),
            Scalar::Integer(value) => Value::from(*value),
            Scalar::FloatingPoint(value) => Value::from(value.0),
            Scalar::String(value) => Value::from(value.as_ref()),
        },
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.as_str().unwrap().to_owned(), json(value)))
                .collect::<Map<_, _>>(),
        ),
        other => panic!("no plain YAML: {other:?}"),
    }
}

/// Where two sets of objects differ, one line for each place.
pub(crate) fn differences(left: &Objects, right: &Objects) -> Vec<String> {
    let mut found = Vec::new();
    let names = left
        .keys()
        .chain(right.keys().filter(|name| !left.contains_key(*name)));
    for name in names {
        match (left.get(name), right.get(name)) {
            (Some(left), Some(right)) => compare(name, left, right, &mut found),
            (Some(_), None) => found.push(format!("{name}: only left")),
            _ => found.push(format!("{name}: only right")),
        }
    }
    found
}

/// Where two values differ, one line for each place.
pub(crate) fn unlike(place: &str, left: &Value, right: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(place, left, right, &mut found);
    found
}

fn compare(place: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left
                .keys()
                .chain(right.keys().filter(|key| !left.contains_key(*key)));
            for key in keys {
                let (left, right) = (left.get(key), right.get(key));
                compare(
                    &format!("{place}.{key}"),
                    left.unwrap_or(&Value::Null),
                    right.unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{place}[{index}]"), left, right, found);
            }
        }
        _ if left == right => {}
        _ => found.push(format!("{place}: {left} | {right}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "kind: Pod\nmetadata:\n  name: a\n  labels: {x: y}\nspec:\n  ports: [1, 2]\n";

    #[test]
    fn who_rendered_an_object_makes_no_difference() {
        let helms = POD.replace("{x: y}", "{x: 'y', helm.sh/chart: outrigger-1}");
        let test = "kind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n";
        let helms = format!("{helms}---\n{test}---\n# nothing\n");
        assert!(differences(&objects(POD), &objects(&helms)).is_empty());
    }

    #[test]
    fn each_difference_is_one_line_with_its_place() {
        let other = POD.replace("[1, 2]", "[1, '2']").replace("y}", "y, z: w}");
        let mut other = objects(&other);
        other.insert("Pod /b".to_owned(), Value::Null);
        assert_eq!(
            differences(&objects(POD), &other),
            [
                "Pod /a.metadata.labels.z: null | \"w\"",
                "Pod /a.spec.ports[1]: 2 | \"2\"",
                "Pod /b: only right",
            ]
        );
    }
}
