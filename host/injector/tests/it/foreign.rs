//! Pods that other injectors change too, before us or after us, by what those are known to do: Istio,
//! Linkerd, Vault, Dapr, OpenTelemetry and Consul. What is theirs stays, ours works, nothing fights.

use outrigger_injector::{Decision, patch, uninject};
use serde_json::{Value, json};

use crate::cases::World;
use crate::{here, stored, yaml};

/// What somebody does to a pod.
type Injector = fn(&mut Value);

const INJECTORS: [(&str, Injector); 6] = [
    ("istio", istio),
    ("linkerd", linkerd),
    ("vault", vault),
    ("dapr", dapr),
    ("opentelemetry", opentelemetry),
    ("consul", consul),
];

fn list<'v>(value: &'v mut Value, key: &str) -> &'v mut Vec<Value> {
    if !value[key].is_array() {
        value[key] = json!([]);
    }
    value[key].as_array_mut().unwrap()
}

fn annotate(pod: &mut Value, entries: &[(&str, &str)]) {
    for (key, value) in entries {
        pod["metadata"]["annotations"][*key] = json!(value);
    }
}

/// Native sidecar; takes over HTTP probes and hooks of all containers, and puts itself first.
fn istio(pod: &mut Value) {
    let mut probers = serde_json::Map::new();
    for kind in ["containers", "initContainers"] {
        for container in list(&mut pod["spec"], kind) {
            let name = container["name"].as_str().unwrap().to_owned();
            let hooks = [
                ("/startupProbe/httpGet", "app-health", "startupz"),
                ("/readinessProbe/httpGet", "app-health", "readyz"),
                ("/livenessProbe/httpGet", "app-health", "livez"),
                ("/lifecycle/preStop/httpGet", "app-lifecycle", "prestopz"),
            ];
            for (at, kind, word) in hooks {
                let Some(get) = container.pointer_mut(at) else {
                    continue;
                };
                let path = format!("/{kind}/{name}/{word}");
                if get["path"] == path {
                    continue;
                }
                probers.insert(path.clone(), get.clone());
                *get = json!({"path": path, "port": 15020, "scheme": "HTTP"});
            }
        }
    }
    let inits = list(&mut pod["spec"], "initContainers");
    let known: Vec<Value> = ["istio-init", "istio-proxy"]
        .iter()
        .filter_map(|name| {
            let at = inits.iter().position(|one| one["name"] == *name)?;
            Some(inits.remove(at))
        })
        .collect();
    let own = if known.is_empty() {
        vec![
            json!({"name": "istio-init", "image": "istio/proxyv2:1.30.0", "args": ["istio-iptables", "-p", "15001"]}),
            json!({
                "name": "istio-proxy", "image": "istio/proxyv2:1.30.0", "restartPolicy": "Always",
                "args": ["proxy", "sidecar"],
                "env": [{"name": "ISTIO_KUBE_APP_PROBERS", "value": Value::Object(probers).to_string()}],
                "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
                "lifecycle": {"preStop": {"exec": {"command": ["pilot-agent", "request", "POST", "drain"]}}},
                "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 1, "failureThreshold": 600},
                "volumeMounts": [{"name": "istio-data", "mountPath": "/var/lib/istio/data"}],
            }),
        ]
    } else {
        known
    };
    inits.splice(0..0, own);
    let volumes = list(&mut pod["spec"], "volumes");
    if !volumes.iter().any(|volume| volume["name"] == "istio-data") {
        volumes.insert(0, json!({"name": "istio-data", "emptyDir": {}}));
        volumes.insert(0, json!({"name": "workload-socket", "emptyDir": {}}));
    }
    annotate(
        pod,
        &[
            (
                "sidecar.istio.io/status",
                "{\"initContainers\":[\"istio-init\",\"istio-proxy\"]}",
            ),
            ("istio.io/rev", "default"),
            ("prometheus.io/port", "15020"),
            ("prometheus.io/scrape", "true"),
            ("prometheus.io/path", "/stats/prometheus"),
        ],
    );
    pod["metadata"]["labels"]["security.istio.io/tlsMode"] = json!("istio");
}

/// Two init containers in front, the second one a native sidecar.
fn linkerd(pod: &mut Value) {
    let inits = list(&mut pod["spec"], "initContainers");
    inits.insert(
        0,
        json!({"name": "linkerd-init", "image": "linkerd/proxy-init:v2"}),
    );
    inits.insert(
        1,
        json!({
            "name": "linkerd-proxy", "image": "linkerd/proxy:edge", "restartPolicy": "Always",
            "ports": [{"containerPort": 4143, "name": "linkerd-proxy"}, {"containerPort": 4191, "name": "linkerd-admin"}],
            "volumeMounts": [{"name": "linkerd-identity-end-entity", "mountPath": "/var/run/linkerd/identity/end-entity"}],
        }),
    );
    let volumes = list(&mut pod["spec"], "volumes");
    volumes.push(json!({"name": "linkerd-proxy-init-xtables-lock", "emptyDir": {}}));
    volumes.push(json!({"name": "linkerd-identity-end-entity", "emptyDir": {"medium": "Memory"}}));
    annotate(
        pod,
        &[
            ("linkerd.io/proxy-version", "edge"),
            ("linkerd.io/trust-root-sha256", "0"),
        ],
    );
    pod["metadata"]["labels"]["linkerd.io/control-plane-ns"] = json!("linkerd");
}

/// Its init container first by rewriting the whole list, a container last, a mount in every container.
fn vault(pod: &mut Value) {
    let mount = json!({"name": "vault-secrets", "mountPath": "/vault/secrets"});
    for container in list(&mut pod["spec"], "containers") {
        list(container, "volumeMounts").push(mount.clone());
    }
    let mut inits = vec![
        json!({"name": "vault-agent-init", "image": "vault:1.19", "volumeMounts": [mount.clone()]}),
    ];
    for mut container in pod["spec"]["initContainers"]
        .as_array()
        .cloned()
        .unwrap_or_default()
    {
        list(&mut container, "volumeMounts").push(mount.clone());
        inits.push(container);
    }
    pod["spec"]["initContainers"] = json!(inits);
    list(&mut pod["spec"], "containers")
        .push(json!({"name": "vault-agent", "image": "vault:1.19", "volumeMounts": [mount]}));
    let volumes = list(&mut pod["spec"], "volumes");
    volumes.push(json!({"name": "home-sidecar", "emptyDir": {"medium": "Memory"}}));
    volumes.push(json!({"name": "vault-secrets", "emptyDir": {"medium": "Memory"}}));
    annotate(
        pod,
        &[("vault.hashicorp.com/agent-inject-status", "injected")],
    );
}

/// A container last, variables in every container.
fn dapr(pod: &mut Value) {
    for container in list(&mut pod["spec"], "containers") {
        let env = list(container, "env");
        env.push(json!({"name": "DAPR_HTTP_PORT", "value": "3500"}));
        env.push(json!({"name": "DAPR_GRPC_PORT", "value": "50001"}));
    }
    list(&mut pod["spec"], "containers").push(json!({
        "name": "daprd", "image": "daprio/daprd:1.18", "args": ["/daprd", "--app-id", "db"],
        "ports": [{"containerPort": 3500, "name": "dapr-http", "protocol": "TCP"}],
        "volumeMounts": [{"name": "dapr-identity-token", "mountPath": "/var/run/secrets/dapr.io/sentrytoken", "readOnly": true}],
    }));
    list(&mut pod["spec"], "volumes")
        .push(json!({"name": "dapr-identity-token", "projected": {"sources": []}}));
    pod["metadata"]["labels"]["dapr.io/sidecar-injected"] = json!("true");
}

/// A native sidecar last, and automatic instrumentation: variables and a mount of the first container.
fn opentelemetry(pod: &mut Value) {
    let inits = list(&mut pod["spec"], "initContainers");
    inits.push(json!({"name": "opentelemetry-auto-instrumentation-java", "image": "otel/java:2", "command": ["cp", "-r", "/a", "/b"]}));
    inits.push(json!({
        "name": "otc-container", "image": "otel/collector:0.158", "restartPolicy": "Always",
        "env": [{"name": "OTEL_CONFIG", "value": "receivers: {}"}],
    }));
    let first = &mut list(&mut pod["spec"], "containers")[0];
    list(first, "env").insert(0, json!({"name": "OTEL_SERVICE_NAME", "value": "db"}));
    list(first, "volumeMounts")
        .push(json!({"name": "otel-java", "mountPath": "/otel-auto-instrumentation-java"}));
    list(&mut pod["spec"], "volumes")
        .push(json!({"name": "otel-java", "emptyDir": {"sizeLimit": "200Mi"}}));
    pod["metadata"]["labels"]["sidecar.opentelemetry.io/injected"] = json!("shop.collector");
}

/// Init containers last, the dataplane as a native sidecar, and a copy of the pod as an annotation.
fn consul(pod: &mut Value) {
    let copy = pod.to_string();
    let inits = list(&mut pod["spec"], "initContainers");
    inits.push(json!({"name": "consul-connect-inject-init", "image": "consul-k8s:2.0"}));
    inits.push(json!({
        "name": "consul-dataplane", "image": "consul-dataplane:2.0", "restartPolicy": "Always",
        "startupProbe": {"exec": {"command": ["consul-dataplane", "-check-proxy-health"]}},
        "volumeMounts": [{"name": "consul-connect-inject-data", "mountPath": "/consul/connect-inject"}],
    }));
    list(&mut pod["spec"], "volumes")
        .push(json!({"name": "consul-connect-inject-data", "emptyDir": {"medium": "Memory"}}));
    annotate(
        pod,
        &[
            ("consul.hashicorp.com/connect-inject-status", "injected"),
            ("consul.hashicorp.com/original-pod", &copy),
        ],
    );
}

fn world() -> World {
    let around = json!({"service": "agdb", "claims": {"data": "1Gi"}});
    World::from_yaml(&around).with_profiles()
}

fn agdb() -> Value {
    yaml::read(&here("tests/golden/agdb/pod.yaml"))
}

/// Ours, as often as the webhook is called.
fn ours(world: &World, pod: &Value) -> Value {
    let outcome = world.decide(pod);
    let Decision::Inject(injection) = outcome.decision else {
        panic!("{outcome:?}");
    };
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch(pod, &injection)).unwrap();
    patched
}

fn without_us(pod: &Value) -> Value {
    let mut left = pod.clone();
    json_patch::patch(&mut left, &uninject(pod).unwrap()).unwrap();
    left
}

#[test]
fn what_others_injected_before_us_stays_as_it_is() {
    for (name, theirs) in INJECTORS {
        let mut pod = agdb();
        theirs(&mut pod);
        let patched = ours(&world(), &pod);
        assert_eq!(ours(&world(), &patched), patched, "{name}: a second time");
        assert_eq!(without_us(&patched), pod, "{name}");
    }
}

#[test]
fn the_pods_that_others_injected_are_golden_cases_too() {
    let mut wrong = Vec::new();
    for (name, theirs) in INJECTORS {
        let mut pod = agdb();
        theirs(&mut pod);
        let folder = here(&format!("tests/golden/after-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        wrong.extend(stored(&folder.join("pod.yaml"), &yaml::show(&pod)).err());
        let around = "service: agdb\nclaims:\n  data: 1Gi\n";
        wrong.extend(stored(&folder.join("around.yaml"), around).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn others_that_come_after_us_and_ask_us_again_keep_what_they_did() {
    for (name, theirs) in INJECTORS {
        let mut pod = ours(&world(), &agdb());
        theirs(&mut pod);
        let again = ours(&world(), &pod);
        assert_eq!(ours(&world(), &again), again, "{name}: a second time");
        // All that may differ is what the sidecar is told of the volumes, and the status.
        let neutral = |pod: &Value| {
            let mut pod = pod.clone();
            pod["metadata"]["annotations"]["outrigger.dev/status"] = json!("");
            for container in list(&mut pod["spec"], "initContainers") {
                for variable in list(container, "env") {
                    if variable["name"] == "OUTRIGGER_VOLUMES" {
                        variable["value"] = json!("");
                    }
                }
            }
            pod
        };
        assert_eq!(neutral(&again), neutral(&pod), "{name}");
        let left = without_us(&again);
        let mut alone = agdb();
        theirs(&mut alone);
        for place in ["/spec/containers", "/spec/volumes"] {
            assert_eq!(left.pointer(place), alone.pointer(place), "{name}{place}");
        }
        let names = |pod: &Value| -> Vec<Value> {
            let inits = pod["spec"]["initContainers"].as_array();
            inits
                .into_iter()
                .flatten()
                .map(|one| one["name"].clone())
                .collect()
        };
        assert_eq!(names(&left), names(&alone), "{name}");
    }
}

#[test]
fn two_that_both_want_to_be_first_come_to_rest() {
    let mut pod = agdb();
    pod["metadata"]["annotations"]["outrigger.dev/order"] = json!("first");
    pod = ours(&world(), &pod);
    istio(&mut pod);
    let first = |pod: &Value| pod["spec"]["initContainers"][0]["name"].clone();
    assert_eq!(first(&pod), "istio-init");
    // The API server asks each of them again at most once.
    pod = ours(&world(), &pod);
    assert_eq!(first(&pod), "outrigger");
    let rest = ours(&world(), &pod);
    assert_eq!(rest, pod);
    assert_eq!(pod["spec"]["initContainers"].as_array().unwrap().len(), 3);
}

#[test]
fn what_others_damaged_is_put_back_and_no_more() {
    let whole = ours(&world(), &agdb());
    let damages: [(&str, Injector); 9] = [
        ("the sidecar is gone", |pod| {
            list(&mut pod["spec"], "initContainers").clear();
        }),
        ("it is no native sidecar any more", |pod| {
            pod["spec"]["initContainers"][0]
                .as_object_mut()
                .unwrap()
                .remove("restartPolicy");
        }),
        ("its arguments are others", |pod| {
            pod["spec"]["initContainers"][0]["args"] = json!(["webhook"]);
        }),
        ("a variable of it is gone", |pod| {
            list(&mut pod["spec"]["initContainers"][0], "env").remove(4);
        }),
        ("a mount of it is gone", |pod| {
            list(&mut pod["spec"]["initContainers"][0], "volumeMounts").remove(0);
        }),
        ("a volume is gone", |pod| {
            list(&mut pod["spec"], "volumes").retain(|one| one["name"] != "outrigger-files");
        }),
        ("a mount of the workload is gone", |pod| {
            list(&mut pod["spec"]["containers"][0], "volumeMounts")
                .retain(|one| one["mountPath"] != "/agdb");
        }),
        ("the hook is gone", |pod| {
            pod["spec"]["containers"][0]
                .as_object_mut()
                .unwrap()
                .remove("lifecycle");
        }),
        ("an annotation is gone", |pod| {
            pod["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove("prometheus.io/port");
        }),
    ];
    for (what, damage) in damages {
        let mut pod = whole.clone();
        damage(&mut pod);
        list(&mut pod["spec"], "containers").push(json!({"name": "guest", "image": "guest:1"}));
        let repaired = ours(&world(), &pod);
        assert_ne!(repaired, pod, "{what}");
        let mut expected = agdb();
        list(&mut expected["spec"], "containers")
            .push(json!({"name": "guest", "image": "guest:1"}));
        assert_eq!(without_us(&repaired), expected, "{what}");
        let sidecar = &repaired["spec"]["initContainers"][0];
        let token = |pod: &Value| {
            pod.to_string()
                .matches("abababababababababababababababab")
                .count()
        };
        assert_eq!(token(&repaired), 2, "{what}");
        assert_eq!(sidecar["restartPolicy"], "Always", "{what}");
        assert_eq!(sidecar["args"], json!(["sidecar"]), "{what}");
    }
}

#[test]
fn a_mirror_that_rewrites_the_image_and_an_autoscaler_are_left_alone() {
    let mut pod = ours(&world(), &agdb());
    let sidecar = &mut pod["spec"]["initContainers"][0];
    sidecar["image"] = json!("mirror.example/outrigger:0.1.0");
    sidecar["resources"]["requests"]["cpu"] = json!("25m");
    assert_eq!(ours(&world(), &pod), pod);
}

#[test]
fn another_profile_or_settings_bring_an_injected_template_up_to_date() {
    let world = World::usual().with_profiles();
    let mut plain = yaml::read(&here("tests/golden/secrets/pod.yaml"));
    let with_secrets = ours(&world, &plain);
    let annotation = "/metadata/annotations/outrigger.dev~1profile";
    let mut edited = with_secrets.clone();
    *edited.pointer_mut(annotation).unwrap() = json!("variables");
    let mut newer = world.clone();
    newer.settings.image = "outrigger:9".to_owned();
    let updated = ours(&newer, &edited);
    *plain.pointer_mut(annotation).unwrap() = json!("variables");
    let fresh = ours(&newer, &plain);
    assert_eq!(
        updated["spec"]["initContainers"],
        fresh["spec"]["initContainers"]
    );
    assert_eq!(updated["spec"]["containers"], fresh["spec"]["containers"]);
    assert_eq!(updated["spec"]["volumes"], fresh["spec"]["volumes"]);
    assert_eq!(without_us(&updated), plain);
    assert_eq!(ours(&newer, &updated), updated);
}

#[test]
fn every_pod_has_a_token_of_its_own_and_keeps_it() {
    let pod = agdb();
    let mut first = ours(&world(), &pod);
    let text = first.to_string().replace("abababab", "0f0f0f0f");
    first = serde_json::from_str(&text).unwrap();
    assert_eq!(ours(&world(), &first), first);
}
