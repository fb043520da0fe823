//! Pods from manifests: every path, variable and argument.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::manifest;

const TEXT: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {a.txt: A, COLOR: red, MODE: fast}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {token: t0}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: prof}
data:
  t.conf: "x"
  outrigger.yaml: |
    apiVersion: outrigger.dev/v1alpha1
    kind: Profile
    metadata: {name: db}
    spec:
      workload: {container: db, ports: {api: 80}}
      files:
        - {template: t.conf, path: /etc/db/t.conf}
      secrets: [key]
---
apiVersion: v1
kind: Service
metadata: {name: dbs}
spec: {clusterIP: None, selector: {app: db}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: dbs
  replicas: 2
  ordinals: {start: 5}
  selector: {matchLabels: {app: db}}
  template:
    metadata:
      labels: {app: db}
    spec:
      terminationGracePeriodSeconds: 7
      initContainers:
        - {name: first, image: tool, args: ["$(B)"], env: [{name: B, value: b}]}
        - {name: helper, image: tool, restartPolicy: Always}
      containers:
        - name: db
          image: db:1
          command: [/opt/bin/dbd, --id=$(ORDINAL), "--not=$$(ORDINAL)"]
          args: [--dir, /data/x]
          workingDir: /etc/db
          envFrom: [{prefix: P_, configMapRef: {name: conf}}]
          env:
            - {name: ORDINAL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}}
            - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: URL, value: "http://$(NAME).dbs:$(PORT)/$(P_COLOR)"}
            - {name: PORT, value: "80"}
            - {name: TOKEN, valueFrom: {secretKeyRef: {name: key, key: token}}}
            - {name: GONE, valueFrom: {secretKeyRef: {name: key, key: no, optional: true}}}
            - {name: MEM, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
            - {name: CPUS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
            - {name: WHERE, value: /data/y}
          resources: {limits: {memory: 64Mi}}
          ports: [{name: api, containerPort: 80}]
          readinessProbe: {httpGet: {port: api, path: ok}, periodSeconds: 3}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: conf, mountPath: /etc/conf}
            - {name: conf, mountPath: /one.txt, subPath: one}
      volumes:
        - name: conf
          projected:
            defaultMode: 0400
            sources:
              - configMap: {name: conf, items: [{key: a.txt, path: one}]}
              - downwardAPI: {items: [{path: who/uid, fieldRef: {fieldPath: metadata.uid}}]}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {resources: {requests: {storage: 1Gi}}}
"#;

/// The pod db-6 of a text; with `inject` it asks for the sidecar.
fn plan(text: &str, mode: Mode, inject: bool) -> Result<PodPlan, PlanError> {
    let folder = tempfile::tempdir().unwrap();
    let text = if inject {
        let asks = "labels: {app: db, outrigger.dev/inject: 'true'}\n      \
                    annotations: {outrigger.dev/profile: prof}";
        text.replace("      labels: {app: db}", &format!("      {asks}"))
    } else {
        text.to_owned()
    };
    std::fs::write(folder.path().join("m.yaml"), text).unwrap();
    let manifests = manifest::read(&[folder.path().to_path_buf()]);
    let (profiles, found) = manifest::check(&manifests);
    let all: Vec<String> = manifests
        .findings
        .iter()
        .chain(&found)
        .map(ToString::to_string)
        .collect();
    assert_eq!(all, [""; 0]);
    let program = |path: &str| Program {
        entry_point: vec![path.to_owned()],
    };
    let programs = BTreeMap::from([
        ("db:1".to_owned(), program("/cache/dbd")),
        ("tool".to_owned(), program("/usr/bin/tool")),
    ]);
    let profile = profiles.values().next();
    assert_eq!(profile.is_some(), inject);
    pod(&PodInput {
        manifests: &manifests,
        set: &manifests.stateful_sets[0].object,
        profile,
        ordinal: 6,
        uid: "uid-1",
        ip: Ipv4Addr::new(10, 77, 0, 11),
        name_server: (mode == Mode::Namespaces).then_some(Ipv4Addr::new(10, 77, 0, 1)),
        desired: 2,
        mode,
        folder: "/s/pods/db-6".into(),
        claims: "/s/claims".into(),
        local: "/s/run".into(),
        programs: &programs,
        path: "/bin",
        outrigger: "/bin/outrigger".into(),
        token: "secret",
        sidecar_env: &BTreeMap::new(),
        machine: Machine {
            cpus: 4,
            memory: 1 << 30,
        },
    })
}

fn container<'a>(plan: &'a PodPlan, name: &str) -> &'a ContainerPlan {
    plan.containers
        .iter()
        .find(|container| container.name == name)
        .unwrap()
}

fn variable<'a>(container: &'a ContainerPlan, name: &str) -> Option<&'a str> {
    let found = container.env.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

fn mounted(container: &ContainerPlan) -> Vec<String> {
    let mounts = container.mounts.iter();
    mounts
        .map(|mount| {
            let only = if mount.read_only { " ro" } else { "" };
            format!(
                "{} <- {}{only}",
                mount.target.display(),
                mount.source.display()
            )
        })
        .collect()
}

#[test]
fn variables_and_arguments_are_those_of_the_kubelet() {
    let plan = plan(TEXT, Mode::Namespaces, false).unwrap();
    let db = container(&plan, "db");
    assert_eq!(
        db.argv,
        [
            "/cache/dbd",
            "--id=6",
            "--not=$(ORDINAL)",
            "--dir",
            "/data/x"
        ]
    );
    let table = [
        ("URL", Some("http://db-6.dbs:$(PORT)/red")),
        ("TOKEN", Some("t0")),
        ("GONE", None),
        ("MEM", Some("64")),
        ("CPUS", Some("4")),
        ("P_MODE", Some("fast")),
        ("HOSTNAME", Some("db-6")),
        ("WHERE", Some("/data/y")),
    ];
    for (name, expected) in table {
        assert_eq!(variable(db, name), expected, "{name}");
    }
    assert_eq!(container(&plan, "first").argv, ["/usr/bin/tool", "b"]);
    let roles: Vec<_> = plan
        .containers
        .iter()
        .map(|c| (c.name.as_str(), c.role))
        .collect();
    assert_eq!(
        roles,
        [
            ("first", Role::Init),
            ("helper", Role::Sidecar),
            ("db", Role::Main)
        ]
    );
    assert_eq!(plan.grace, Duration::from_secs(7));
    assert_eq!(plan.host, "db-6.dbs.default.svc.cluster.local");
    assert_eq!(plan.labels["statefulset.kubernetes.io/pod-name"], "db-6");
}

#[test]
fn volumes_are_folders_and_what_comes_from_objects_is_read_only() {
    let plan = plan(TEXT, Mode::Namespaces, false).unwrap();
    let db = container(&plan, "db");
    assert_eq!(
        mounted(db),
        [
            "/data <- /s/claims/data-db-6",
            "/etc/conf <- /s/pods/db-6/volumes/conf ro",
            "/one.txt <- /s/pods/db-6/volumes/conf/one ro",
        ]
    );
    let [projection] = &plan.projections[..] else {
        panic!("{:?}", plan.projections)
    };
    let files: Vec<_> = projection
        .files
        .iter()
        .map(|(path, file)| (path.to_str().unwrap(), &file.bytes[..], file.mode))
        .collect();
    assert_eq!(
        files,
        [("one", &b"A"[..], 0o400), ("who/uid", b"uid-1", 0o400)]
    );
    let probe = db.probes.readiness.as_ref().unwrap();
    let Check::Http(get) = &probe.check else {
        panic!("{probe:?}")
    };
    assert_eq!(
        (get.host.as_str(), get.port, get.path.as_str()),
        ("10.77.0.11", 80, "/ok")
    );
    assert_eq!((probe.period, probe.failures), (Duration::from_secs(3), 3));
    assert!(
        plan.etc
            .resolv_conf
            .contains("search default.svc.cluster.local")
    );
}

#[test]
fn the_sidecar_sees_what_is_known_of_related_stateful_sets() {
    // Of two in the folder `/`, `store` and the pod's own.
    let related =
        "      secrets: [key]\n      related: {a: {statefulset: store}, b: {statefulset: s}}\n";
    let text = TEXT.replace("      secrets: [key]\n", related);
    let plan = plan(&text, Mode::Namespaces, true).unwrap();
    let mounts = mounted(container(&plan, SIDECAR));
    let shared: Vec<&String> = mounts
        .iter()
        .filter(|at| at.contains("/run <- /s"))
        .collect();
    assert_eq!(shared, ["/s/run <- /s/run", "/store/run <- /store/run ro"]);
}

#[test]
fn the_sidecar_is_added_as_the_webhook_would() {
    let plan = plan(TEXT, Mode::Namespaces, true).unwrap();
    let names: Vec<&str> = plan.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["first", "helper", "outrigger", "db"]);
    let sidecar = container(&plan, SIDECAR);
    assert_eq!(sidecar.argv, ["/bin/outrigger", "sidecar"]);
    assert_eq!(
        mounted(sidecar),
        [
            "/etc/outrigger/profile <- /s/pods/db-6/outrigger/profile ro",
            "/etc/outrigger/secrets <- /s/pods/db-6/outrigger/secrets ro",
            "/run/outrigger <- /s/pods/db-6/outrigger/files",
            "/var/lib/outrigger <- /s/pods/db-6/outrigger/state",
            "/s/run <- /s/run",
            "/volumes/conf <- /s/pods/db-6/volumes/conf ro",
            "/volumes/data <- /s/claims/data-db-6",
        ]
    );
    let table = [
        ("POD_NAME", "db-6"),
        ("POD_IP", "10.77.0.11"),
        ("OUTRIGGER_SERVICE", "dbs"),
        ("OUTRIGGER_REPLICAS", "2"),
        ("OUTRIGGER_ORDINALS_START", "5"),
        ("OUTRIGGER_POD_MANAGEMENT", "OrderedReady"),
        ("OUTRIGGER_GRACE_PERIOD", "7s"),
        ("OUTRIGGER_LISTEN", "0.0.0.0:7070"),
        ("OUTRIGGER_PRE_STOP_TOKEN", "secret"),
        ("OUTRIGGER_LOCAL", "/s/run"),
        (
            "OUTRIGGER_VOLUMES",
            r#"{"conf":{"path":"/etc/conf","sidecar-path":"/volumes/conf"},"data":{"path":"/data","sidecar-path":"/volumes/data","bytes":1073741824}}"#,
        ),
    ];
    for (name, expected) in table {
        assert_eq!(variable(sidecar, name), Some(expected), "{name}");
    }
    let db = container(&plan, "db");
    let own: Vec<String> = mounted(db).split_off(3);
    assert_eq!(
        own,
        [
            "/run/outrigger <- /s/pods/db-6/outrigger/files ro",
            "/etc/db <- /s/pods/db-6/outrigger/files/dirs/0",
        ]
    );
    let Some(Hook::Http(get)) = &db.pre_stop else {
        panic!("{:?}", db.pre_stop)
    };
    assert_eq!((get.port, get.path.as_str()), (7070, "/pre-stop"));
    let header = ("Authorization".to_owned(), "Bearer secret".to_owned());
    assert_eq!(get.headers, [header]);
    let folders: Vec<&Path> = plan
        .projections
        .iter()
        .map(|p| p.folder.as_path())
        .collect();
    assert!(folders.contains(&Path::new("/s/pods/db-6/outrigger/profile")));
    assert!(folders.contains(&Path::new("/s/pods/db-6/outrigger/secrets/key")));
}

#[test]
fn a_pre_stop_of_its_own_stays() {
    let hook = "lifecycle: {preStop: {sleep: {seconds: 3}}}\n          workingDir: /etc/db";
    let text = TEXT.replace("workingDir: /etc/db", hook);
    let plan = plan(&text, Mode::Namespaces, true).unwrap();
    assert_eq!(
        container(&plan, "db").pre_stop,
        Some(Hook::Sleep(Duration::from_secs(3)))
    );
}

#[test]
fn without_namespaces_paths_lie_below_the_pods_own_folder() {
    let plan = plan(TEXT, Mode::Plain, true).unwrap();
    let db = container(&plan, "db");
    assert_eq!(db.argv[3..], ["--dir", "/s/pods/db-6/rootfs/db/data/x"]);
    assert_eq!(variable(db, "WHERE"), Some("/s/pods/db-6/rootfs/db/data/y"));
    assert_eq!(db.cwd, Path::new("/s/pods/db-6/rootfs/db/etc/db"));
    assert_eq!(mounted(db), [""; 0]);
    assert_eq!(plan.host, "10.77.0.11");
    let links: Vec<String> = plan
        .links
        .iter()
        .map(|(link, target)| format!("{} -> {}", link.display(), target.display()))
        .collect();
    assert!(
        links.contains(
            &"/s/pods/db-6/rootfs/db/etc/db -> /s/pods/db-6/outrigger/files/dirs/0".to_owned()
        ),
        "{links:?}"
    );
    let sidecar = container(&plan, SIDECAR);
    assert_eq!(
        variable(sidecar, "OUTRIGGER_LISTEN"),
        Some("10.77.0.11:7070")
    );
    assert_eq!(
        variable(sidecar, "OUTRIGGER_FILES_DIR"),
        Some("/s/pods/db-6/outrigger/files")
    );
}

#[test]
fn a_reference_that_vanished_is_named_with_the_pod() {
    let text = TEXT.replace("key: no, optional: true", "key: token");
    let error = plan(
        &text.replace("{fieldPath: metadata.name}", "{fieldPath: metadata.nom}"),
        Mode::Namespaces,
        false,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pod db-6 cannot be made: container db: variable NAME: there is no field `metadata.nom`"
    );
}
