//! Pods from a tape of small numbers: cheap to make, and each zero is the simplest choice, so that what
//! fails shrinks to a small pod.

use serde_json::{Map, Value, json};

use crate::cases::World;

/// Reads choices off a tape; after its end everything is zero.
pub(crate) struct Tape<'t> {
    left: &'t [u8],
}

impl<'t> Tape<'t> {
    pub(crate) fn new(tape: &'t [u8]) -> Self {
        Self { left: tape }
    }

    /// A number below this.
    fn below(&mut self, end: usize) -> usize {
        let Some((first, rest)) = self.left.split_first() else {
            return 0;
        };
        self.left = rest;
        usize::from(*first) % end
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A profile, and annotations that are right.
const PROFILES: [&str; 12] = [
    "plain",
    "files",
    "closed",
    "variables",
    "signal",
    "restart",
    "secrets",
    "many",
    "own",
    "slow",
    "plugin",
    "majority",
];

/// A world and a pod that asks for something in it.
pub(crate) fn world_and_pod(tape: &mut Tape<'_>) -> (World, Value) {
    let around = json!({
        "replicas": 1 + tape.below(5),
        "start": 0,
        "management": tape.pick(&["Parallel", "Parallel", "Parallel", "OrderedReady"]),
        "claims": {"data": "10Gi"},
        "headless": !tape.chance(8),
        "publishNotReady": !tape.chance(8),
        "kubernetes": 36 - u64::from(tape.chance(16)) * 3,
    });
    let world = World::from_yaml(&around).with_profiles();
    let profile = tape.pick(&PROFILES);
    let secure = tape.chance(2);
    let mut annotations = Map::new();
    annotations.insert("outrigger.dev/profile".to_owned(), json!(profile));
    for (key, values) in [
        (
            "outrigger.dev/order",
            &["first", "last", "after=migrate"][..],
        ),
        ("outrigger.dev/port", &["7170"][..]),
        ("outrigger.dev/pre-stop", &["true", "false"][..]),
        ("outrigger.dev/prometheus", &["true", "false"][..]),
        ("outrigger.dev/log", &["debug"][..]),
        ("outrigger.dev/memory-limit", &["256Mi"][..]),
        ("outrigger.dev/required", &["true"][..]),
        ("example.com/note", &["a/b~c", ""][..]),
        ("prometheus.io/scrape", &["true"][..]),
    ] {
        if tape.chance(6) {
            annotations.insert(key.to_owned(), json!(tape.pick(values)));
        }
    }
    let mut spec = Map::new();
    let mut volumes = Vec::new();
    for index in 0..tape.below(4) {
        let name = ["cache", "conf", "sock"][index % 3];
        let source = tape.pick(&["emptyDir", "emptyDir", "projected"]);
        volumes.push(json!({"name": name, source: {}}));
    }
    if profile == "plugin" || tape.chance(3) {
        volumes.push(json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}));
        volumes.push(json!({"name": "keys", "secret": {"secretName": "keys"}}));
    }
    let names: Vec<String> = volumes
        .iter()
        .map(|volume| volume["name"].as_str().unwrap().to_owned())
        .collect();
    if secure {
        spec.insert(
            "securityContext".to_owned(),
            json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": 1000}),
        );
    } else {
        maybe(
            tape,
            &mut spec,
            "securityContext",
            &[
                json!({}),
                json!(null),
                json!({"runAsUser": 0}),
                json!({"fsGroup": 7}),
            ],
        );
        maybe(tape, &mut spec, "hostNetwork", &[json!(true), json!(false)]);
    }
    maybe(
        tape,
        &mut spec,
        "terminationGracePeriodSeconds",
        &[json!(30), json!(5), json!(null)],
    );
    maybe(
        tape,
        &mut spec,
        "shareProcessNamespace",
        &[json!(true), json!(null)],
    );
    maybe(tape, &mut spec, "volumes", &[json!(null), json!([])]);
    if !volumes.is_empty() {
        spec.insert("volumes".to_owned(), json!(volumes));
    }
    maybe(tape, &mut spec, "initContainers", &[json!(null), json!([])]);
    let inits: Vec<Value> = (0..tape.below(3))
        .map(|index| container(tape, ["migrate", "warm"][index % 2], &names, secure))
        .collect();
    if !inits.is_empty() {
        spec.insert("initContainers".to_owned(), json!(inits));
    }
    let mut containers = vec![container(tape, "db", &names, secure)];
    for index in 0..tape.below(3) {
        let other = container(tape, ["exporter", "logger"][index % 2], &names, secure);
        containers.insert(tape.below(containers.len() + 1), other);
    }
    spec.insert("containers".to_owned(), json!(containers));
    let ordinal = tape.below(2);
    let mut metadata = json!({
        "name": format!("db-{ordinal}"),
        "labels": {"outrigger.dev/inject": "true", "app": "db"},
        "annotations": annotations,
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "5e7", "controller": true}],
    });
    if tape.chance(12) {
        let labels = &mut metadata["labels"];
        labels["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
    }
    (world, json!({"metadata": metadata, "spec": spec}))
}

fn maybe(tape: &mut Tape<'_>, map: &mut Map<String, Value>, key: &str, choices: &[Value]) {
    if tape.chance(3) {
        let choice = tape.below(choices.len());
        map.insert(key.to_owned(), choices[choice].clone());
    }
}

fn container(tape: &mut Tape<'_>, name: &str, volumes: &[String], secure: bool) -> Value {
    let mut container = Map::new();
    container.insert("name".to_owned(), json!(name));
    container.insert("image".to_owned(), json!("example/db:1"));
    maybe(
        tape,
        &mut container,
        "volumeMounts",
        &[json!(null), json!([])],
    );
    let mounts: Vec<Value> = volumes
        .iter()
        .filter(|_| tape.chance(2))
        .map(|volume| {
            let path = format!(
                "/{}/{volume}",
                ["mnt", "srv", "opt/db"][usize::from(volume.len() % 3 == 0)]
            );
            json!({"name": volume, "mountPath": path})
        })
        .collect();
    if !mounts.is_empty() {
        container.insert("volumeMounts".to_owned(), json!(mounts));
    }
    maybe(
        tape,
        &mut container,
        "env",
        &[
            json!(null),
            json!([]),
            json!([{"name": "A", "value": "b"}, {"name": "C", "value": "d"}]),
        ],
    );
    maybe(
        tape,
        &mut container,
        "lifecycle",
        &[
            json!(null),
            json!({}),
            json!({"preStop": null}),
            json!({"postStart": {"exec": {"command": ["a"]}}}),
            json!({"preStop": {"exec": {"command": ["a"]}}}),
        ],
    );
    maybe(
        tape,
        &mut container,
        "ports",
        &[
            json!([{"containerPort": 8080}]),
            json!([{"containerPort": 7071}]),
        ],
    );
    maybe(
        tape,
        &mut container,
        "resources",
        &[
            json!({}),
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"memory": "1024Mi"}}),
        ],
    );
    if secure {
        let mut context =
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        if tape.chance(2) {
            context["runAsUser"] = json!(1000 + tape.below(2));
        }
        container.insert("securityContext".to_owned(), context);
    } else {
        maybe(
            tape,
            &mut container,
            "securityContext",
            &[
                json!(null),
                json!({}),
                json!({"runAsUser": 0}),
                json!({"runAsUser": 999, "privileged": true}),
            ],
        );
    }
    Value::Object(container)
}

/// Any JSON in the shape of a pod here and there, and of our own keys.
pub(crate) fn anything(tape: &mut Tape<'_>, depth: usize) -> Value {
    const KEYS: [&str; 30] = [
        "metadata",
        "spec",
        "labels",
        "annotations",
        "ownerReferences",
        "controller",
        "kind",
        "apiVersion",
        "name",
        "containers",
        "initContainers",
        "volumes",
        "volumeMounts",
        "env",
        "ports",
        "lifecycle",
        "preStop",
        "httpGet",
        "securityContext",
        "resources",
        "limits",
        "outrigger.dev/inject",
        "outrigger.dev/profile",
        "outrigger.dev/status",
        "mountPath",
        "containerPort",
        "value",
        "valueFrom",
        "subPath",
        "terminationGracePeriodSeconds",
    ];
    const TEXTS: [&str; 12] = [
        "",
        "true",
        "db",
        "db-0",
        "StatefulSet",
        "apps/v1",
        "plain",
        "outrigger",
        "outrigger-files",
        "/run/outrigger",
        "{\"version\":\"\",\"workload\":\"db\",\"profile\":\"\",\"profileDigest\":\"\",\"hash\":\"\",\"created\":[\"/spec/volumes\",\"/metadata/annotations\"],\"nulls\":[\"/spec/initContainers\"]}",
        "\u{0}~/\u{fffd}",
    ];
    match tape.below(if depth == 0 { 5 } else { 9 }) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(i64::try_from(tape.below(256)).unwrap() - 9),
        3 | 4 => json!(tape.pick(&TEXTS)),
        5 => (0..tape.below(4))
            .map(|_| anything(tape, depth - 1))
            .collect(),
        _ => {
            let entries = (0..tape.below(5)).map(|_| {
                let key = tape.pick(&KEYS).to_owned();
                (key, anything(tape, depth - 1))
            });
            Value::Object(entries.collect())
        }
    }
}

/// A pod of which some part is anything.
pub(crate) fn spoiled(tape: &mut Tape<'_>) -> (World, Value) {
    let (world, mut pod) = world_and_pod(tape);
    for _ in 0..=tape.below(3) {
        let mut place = &mut pod;
        for _ in 0..tape.below(7) {
            let choice = tape.below(8);
            if !nested(place) {
                break;
            }
            place = match place {
                Value::Object(map) => {
                    let index = choice % map.len();
                    map.values_mut().nth(index).unwrap()
                }
                Value::Array(items) => {
                    let index = choice % items.len();
                    &mut items[index]
                }
                other => other,
            };
        }
        *place = anything(tape, 4);
    }
    (world, pod)
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}
