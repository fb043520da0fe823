//! A document into a Kubernetes object, with what is wrong at its place.

use outrigger_profile::document::path;
use outrigger_profile::{Finding, did_you_mean};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Origin;

/// Fields that pod templates have most, for the question whether another word was meant.
const KNOWN: &[&str] = &[
    "accessModes",
    "affinity",
    "annotations",
    "apiVersion",
    "args",
    "binaryData",
    "clusterIP",
    "command",
    "configMap",
    "configMapKeyRef",
    "configMapRef",
    "containerPort",
    "containers",
    "data",
    "defaultMode",
    "downwardAPI",
    "emptyDir",
    "env",
    "envFrom",
    "exec",
    "failureThreshold",
    "fieldPath",
    "fieldRef",
    "grpc",
    "host",
    "httpGet",
    "httpHeaders",
    "image",
    "imagePullPolicy",
    "initContainers",
    "initialDelaySeconds",
    "items",
    "key",
    "kind",
    "labels",
    "lifecycle",
    "limits",
    "livenessProbe",
    "matchLabels",
    "metadata",
    "minReadySeconds",
    "mode",
    "mountPath",
    "name",
    "namespace",
    "nodeSelector",
    "optional",
    "ordinals",
    "path",
    "periodSeconds",
    "podManagementPolicy",
    "port",
    "ports",
    "preStop",
    "prefix",
    "projected",
    "protocol",
    "publishNotReadyAddresses",
    "readOnly",
    "readinessProbe",
    "replicas",
    "requests",
    "resourceFieldRef",
    "resources",
    "restartPolicy",
    "scheme",
    "secret",
    "secretKeyRef",
    "secretName",
    "secretRef",
    "securityContext",
    "selector",
    "serviceName",
    "sleep",
    "sources",
    "spec",
    "start",
    "startupProbe",
    "storage",
    "storageClassName",
    "stringData",
    "subPath",
    "subPathExpr",
    "successThreshold",
    "targetPort",
    "tcpSocket",
    "template",
    "terminationGracePeriodSeconds",
    "timeoutSeconds",
    "tolerations",
    "type",
    "updateStrategy",
    "value",
    "valueFrom",
    "volumeClaimTemplates",
    "volumeMounts",
    "volumes",
    "workingDir",
];

/// A value of the wrong kind as findings of a profile tell it; anything else as it was said.
fn in_our_words(place: String, problem: &str) -> Finding {
    let Some((found, wanted)) = problem
        .strip_prefix("invalid type: ")
        .and_then(|kinds| kinds.rsplit_once(", expected "))
    else {
        return Finding::error(place, problem);
    };
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    let value = value.trim_matches(['"', '`']);
    let found = match kind {
        "string" => format!("the text `{value}`"),
        "integer" => format!("the number {value}"),
        "floating" => format!("the number {}", value.trim_start_matches("point `")),
        "boolean" => value.to_owned(),
        "map" => "a mapping".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" | "unit" => "nothing".to_owned(),
        other => other.to_owned(),
    };
    let text = wanted.contains("string");
    let wanted = match wanted {
        _ if text => "a text",
        "i32" | "i64" | "u16" | "u32" | "u64" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "IntOrString" => "a number or a text",
        "a map" => "a mapping",
        // The name of an object.
        name if name.starts_with(|first: char| first.is_ascii_uppercase()) => "a mapping",
        other => other,
    };
    let finding = Finding::error(place, format!("wanted {wanted}, found {found}"));
    if text && matches!(kind, "integer" | "floating" | "boolean") {
        let value = value.trim_start_matches("point `");
        return finding.hint(format!("quote it: \"{value}\""));
    }
    finding
}

/// Reads an object; none when it cannot be read.
pub(super) fn decode<T>(json: &Value, origin: &Origin, findings: &mut Vec<Finding>) -> Option<T>
where
    T: DeserializeOwned + Serialize,
{
    let object: T = match serde_path_to_error::deserialize(json) {
        Ok(object) => object,
        Err(error) => {
            let place = match error.path().to_string() {
                whole if whole == "." => String::new(),
                place => place,
            };
            let problem = error.into_inner().to_string();
            findings.push(origin.locate(in_our_words(place, &problem)));
            return None;
        }
    };
    if let Ok(taken) = serde_json::to_value(&object) {
        unknown(json, &taken, "", &mut |place, key| {
            let mut finding = Finding::warning(place, format!("the field `{key}` is not known"));
            if let Some(meant) = did_you_mean(key, KNOWN.iter().copied()) {
                finding = finding.hint(format!("did you mean `{meant}`?"));
            }
            findings.push(origin.locate(finding));
        });
    }
    Some(object)
}

/// Tells the keys that were written and not taken.
fn unknown(written: &Value, taken: &Value, place: &str, tell: &mut dyn FnMut(String, &str)) {
    match (written, taken) {
        (Value::Object(written), Value::Object(taken)) => {
            for (key, value) in written {
                let here = path::key(place, key);
                match taken.get(key) {
                    Some(inner) => unknown(value, inner, &here, tell),
                    None if value.is_null() => {}
                    None => tell(here, key),
                }
            }
        }
        (Value::Array(written), Value::Array(taken)) => {
            for (index, (value, inner)) in written.iter().zip(taken).enumerate() {
                unknown(value, inner, &path::item(place, index), tell);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_in_the_words_of_the_profile() {
        let told = |problem| in_our_words(String::new(), problem).to_string();
        let cases = [
            (
                "invalid type: string \"three\", expected i32",
                "error: wanted a whole number, found the text `three`",
            ),
            (
                "invalid type: integer `5`, expected a string",
                "error: wanted a text, found the number 5\n  hint: quote it: \"5\"",
            ),
            (
                "invalid type: floating point `1.5`, expected a string",
                "error: wanted a text, found the number 1.5\n  hint: quote it: \"1.5\"",
            ),
            (
                "invalid type: boolean `true`, expected a string",
                "error: wanted a text, found true\n  hint: quote it: \"true\"",
            ),
            (
                "invalid type: sequence, expected a map",
                "error: wanted a mapping, found a list",
            ),
            (
                "invalid type: map, expected a sequence",
                "error: wanted a list, found a mapping",
            ),
            ("missing field `spec`", "error: missing field `spec`"),
        ];
        for (problem, words) in cases {
            assert_eq!(told(problem), words);
        }
    }
}
