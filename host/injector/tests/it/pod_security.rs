//! The *restricted* Pod Security Standard, baseline included, as Kubernetes' documentation has it.

use serde_json::Value;

/// What a pod violates.
pub(crate) fn restricted(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let spec = &pod["spec"];
    let mut bad = |what: String| found.push(what);
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[key] == true {
            bad(format!("spec.{key}"));
        }
    }
    let of_pod = &spec["securityContext"];
    for (index, volume) in list(&spec["volumes"]).enumerate() {
        const ALLOWED: [&str; 8] = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        let keys = volume.as_object().into_iter().flatten();
        for (key, _) in keys.filter(|(key, _)| *key != "name") {
            if !ALLOWED.contains(&key.as_str()) {
                bad(format!("spec.volumes[{index}].{key}"));
            }
        }
    }
    for sysctl in list(&of_pod["sysctls"]) {
        const SAFE: [&str; 2] = [
            "kernel.shm_rmid_forced",
            "net.ipv4.ip_unprivileged_port_start",
        ];
        if !SAFE.contains(&sysctl["name"].as_str().unwrap_or_default()) {
            bad("spec.securityContext.sysctls".to_owned());
        }
    }
    context("spec", of_pod, &mut bad);
    for kind in ["initContainers", "containers"] {
        for (index, container) in list(&spec[kind]).enumerate() {
            let at = format!("spec.{kind}[{index}]");
            let own = &container["securityContext"];
            context(&at, own, &mut bad);
            if own["privileged"] == true {
                bad(format!("{at}: privileged"));
            }
            if own["allowPrivilegeEscalation"] != false {
                bad(format!("{at}: allowPrivilegeEscalation"));
            }
            if !own["procMount"].is_null() && own["procMount"] != "Default" {
                bad(format!("{at}: procMount"));
            }
            let capabilities = &own["capabilities"];
            if !list(&capabilities["drop"]).any(|one| one == "ALL") {
                bad(format!("{at}: capabilities.drop"));
            }
            if list(&capabilities["add"]).any(|one| one != "NET_BIND_SERVICE") {
                bad(format!("{at}: capabilities.add"));
            }
            let effective = |key: &str| {
                if own[key].is_null() {
                    &of_pod[key]
                } else {
                    &own[key]
                }
            };
            if effective("runAsNonRoot") != true {
                bad(format!("{at}: runAsNonRoot"));
            }
            let seccomp = effective("seccompProfile")["type"]
                .as_str()
                .unwrap_or_default();
            if !["RuntimeDefault", "Localhost"].contains(&seccomp) {
                bad(format!("{at}: seccompProfile"));
            }
            if list(&container["ports"]).any(|port| port["hostPort"].as_u64().unwrap_or(0) != 0) {
                bad(format!("{at}: hostPort"));
            }
            let hooks = [
                "/livenessProbe/httpGet",
                "/livenessProbe/tcpSocket",
                "/readinessProbe/httpGet",
                "/readinessProbe/tcpSocket",
                "/startupProbe/httpGet",
                "/startupProbe/tcpSocket",
                "/lifecycle/preStop/httpGet",
                "/lifecycle/postStart/httpGet",
            ];
            for hook in hooks {
                let host = container
                    .pointer(hook)
                    .map_or(&Value::Null, |hook| &hook["host"]);
                if !host.is_null() && host != "" {
                    bad(format!("{at}{hook}/host"));
                }
            }
        }
    }
    found
}

/// What holds for the pod's context and for each container's.
fn context(at: &str, context: &Value, bad: &mut impl FnMut(String)) {
    const TYPES: [&str; 5] = [
        "",
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    ];
    if context["runAsUser"] == 0 {
        bad(format!("{at}: runAsUser"));
    }
    if context["runAsNonRoot"] == false {
        bad(format!("{at}: runAsNonRoot"));
    }
    if context["windowsOptions"]["hostProcess"] == true {
        bad(format!("{at}: hostProcess"));
    }
    if context["seccompProfile"]["type"] == "Unconfined" {
        bad(format!("{at}: seccompProfile"));
    }
    if context["appArmorProfile"]["type"] == "Unconfined" {
        bad(format!("{at}: appArmorProfile"));
    }
    let se_linux = &context["seLinuxOptions"];
    let kind = se_linux["type"].as_str().unwrap_or_default();
    if !TYPES.contains(&kind) || !se_linux["user"].is_null() || !se_linux["role"].is_null() {
        bad(format!("{at}: seLinuxOptions"));
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn the_checker_knows_a_restricted_pod_from_others() {
    let good = serde_json::json!({"spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}
        }}],
    }});
    assert_eq!(restricted(&good), Vec::<String>::new());
    for (at, value) in [
        ("/spec/hostNetwork", serde_json::json!(true)),
        (
            "/spec/securityContext/runAsNonRoot",
            serde_json::json!(false),
        ),
        ("/spec/securityContext/runAsUser", serde_json::json!(0)),
        (
            "/spec/securityContext/seccompProfile",
            serde_json::json!({"type": "Unconfined"}),
        ),
        (
            "/spec/containers/0/securityContext/privileged",
            serde_json::json!(true),
        ),
        (
            "/spec/containers/0/securityContext/capabilities",
            serde_json::json!({"drop": ["NET_RAW"]}),
        ),
        (
            "/spec/containers/0/securityContext/allowPrivilegeEscalation",
            serde_json::json!(true),
        ),
        (
            "/spec/containers/0/ports",
            serde_json::json!([{"hostPort": 80}]),
        ),
        (
            "/spec/volumes",
            serde_json::json!([{"name": "a", "hostPath": {"path": "/"}}]),
        ),
    ] {
        let mut bad = good.clone();
        let (parent, key) = at.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[key] = value;
        assert!(!restricted(&bad).is_empty(), "{at}");
    }
}
