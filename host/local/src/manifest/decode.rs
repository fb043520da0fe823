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
            findings.push(origin.locate(Finding::error(place, problem)));
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
