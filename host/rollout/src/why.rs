//! Why a pod is not ready, as far as it, its Events and its sidecar tell.

use outrigger_api_server::ApiServer;
use serde_json::Value;

use crate::run::Target;
use crate::seen::condition;

/// Where sidecars serve their status, unless an annotation says otherwise.
const SIDECAR_PORT: u16 = 7070;

/// What a pod's own status says, in words; empty where it says nothing.
pub(crate) fn from_status(pod: &Value) -> String {
    if let Some(unplaced) = condition(pod, "PodScheduled").filter(|it| it["status"] == "False") {
        return sentence("no node takes it", &unplaced["message"]);
    }
    for list in ["initContainerStatuses", "containerStatuses"] {
        for container in pod["status"][list].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            let state = &container["state"];
            let waiting = &state["waiting"];
            // These two are every start.
            let is_news =
                |reason: &str| !["PodInitializing", "ContainerCreating"].contains(&reason);
            if let Some(reason) = waiting["reason"].as_str().filter(|reason| is_news(reason)) {
                return sentence(&format!("container {name}: {reason}"), &waiting["message"]);
            }
            let ended = &state["terminated"];
            if ended["exitCode"].as_i64().is_some_and(|code| code != 0) {
                let told = format!("container {name} ended with {}", ended["exitCode"]);
                return sentence(&told, &ended["message"]);
            }
            if list == "initContainerStatuses" && container["started"] == false {
                return format!("container {name} has not started");
            }
        }
    }
    let ready = condition(pod, "Ready").map(|ready| &ready["message"]);
    ready.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn sentence(what: &str, detail: &Value) -> String {
    match detail.as_str().filter(|detail| !detail.is_empty()) {
        Some(detail) => format!("{what}: {detail}"),
        None => what.to_owned(),
    }
}

/// What a pod's sidecar holds it back for, where it can be asked.
pub(crate) async fn ask_sidecar(api: &ApiServer, target: &Target, pod: &str) -> Option<String> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{pod}:{SIDECAR_PORT}/proxy/status",
        target.namespace
    );
    let status = api.get::<Value>(&path).await.ok()?;
    from_sidecar(&status.value)
}

/// What else can be learnt, line by line: the sidecar's own reasons, and the last warning among the Events
/// of a pod or, where there is none, of its StatefulSet. What may not be read is left out.
pub(crate) async fn ask(api: &ApiServer, target: &Target, pod: &str) -> Vec<String> {
    let reason = ask_sidecar(api, target, pod).await;
    let mut told: Vec<String> = reason
        .map(|reason| format!("its sidecar: {reason}"))
        .into_iter()
        .collect();
    let events = format!("/api/v1/namespaces/{}/events", target.namespace);
    let warning = |event: &Value| {
        let object = event["involvedObject"]["name"].as_str()?;
        let time = ["lastTimestamp", "eventTime"].map(|key| event[key].as_str());
        let time = time.into_iter().flatten().next().unwrap_or_default();
        let is_warning = event["type"] == "Warning";
        let message = event["message"].as_str().unwrap_or_default();
        is_warning.then(|| (object.to_owned(), time.to_owned(), message.to_owned()))
    };
    if let Ok(events) = api.list(&events, "", warning).await {
        for about in [pod, &target.name] {
            let own = events
                .value
                .iter()
                .flatten()
                .filter(|event| event.0 == about);
            if let Some((_, time, message)) = own.max_by(|a, b| a.1.cmp(&b.1)) {
                told.push(format!(
                    "the last warning about {about} ({time}): {message}"
                ));
                break;
            }
        }
    }
    told
}

/// The reasons that hold a probe back, the start's before readiness.
fn from_sidecar(status: &Value) -> Option<String> {
    let probes = status["probes"].as_array()?;
    let failing = ["start", "startup", "readiness"]
        .into_iter()
        .find_map(|name| {
            let probe = probes.iter().find(|probe| probe["name"] == name)?;
            (probe["pass"] == false).then_some(probe)
        })?;
    let reasons = failing["reasons"].as_array()?.iter();
    let told: Vec<&str> = reasons
        .filter(|reason| reason["counts"] == true)
        .filter_map(|reason| reason["message"].as_str())
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pods_status_is_told_in_words() {
        let table = [
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available."}]}),
                "no node takes it: 0/1 nodes are available.",
            ),
            (
                json!({
                    "initContainerStatuses": [{"name": "outrigger", "started": true, "state": {"running": {}}}],
                    "containerStatuses": [{"name": "db", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}],
                }),
                "container db: CrashLoopBackOff: back-off 10s",
            ),
            (
                json!({"initContainerStatuses": [{"name": "outrigger", "started": false, "state": {"running": {}}}]}),
                "container outrigger has not started",
            ),
            (
                json!({"conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status: [outrigger]"}]}),
                "containers with unready status: [outrigger]",
            ),
            (json!({}), ""),
        ];
        for (status, told) in table {
            assert_eq!(from_status(&json!({ "status": status })), told);
        }
    }

    #[test]
    fn a_sidecar_tells_the_reasons_that_count() {
        let status = json!({"probes": [
            {"name": "startup", "pass": true, "reasons": []},
            {"name": "readiness", "pass": false, "reasons": [
                {"message": "no leader", "counts": false},
                {"message": "it is 300 entries behind", "counts": true},
            ]},
        ]});
        assert_eq!(
            from_sidecar(&status).as_deref(),
            Some("it is 300 entries behind")
        );
    }
}
