//! Folders of manifests, and what is said about them.

use std::fs;
use std::path::Path;

use super::*;

const GOOD: &str = r"
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: api, port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
        - name: db
          image: db
          ports: [{name: api, containerPort: 80}]
";

/// Writes files, reads the folder, and gives what is wrong with the folder's own path left out.
fn findings(files: &[(&str, &str)]) -> (Manifests, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let manifests = read(&[folder.path().to_path_buf()]);
    let (_, found) = check(&manifests);
    let prefix = format!("{}/", folder.path().display());
    let told = manifests
        .findings
        .iter()
        .chain(&found)
        .map(|finding| finding.to_string().replace(&prefix, ""))
        .collect();
    (manifests, told)
}

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[test]
fn a_folder_is_read_as_its_kustomization_says() {
    let (manifests, told) = findings(&[
        (
            "kustomization.yaml",
            "resources: [base]\nnamespace: prod\nimages: [{name: db, newTag: '2'}]\n\
             configMapGenerator:\n- {name: conf, files: [a.txt, b=sub/b.txt], literals: [\"k='v=1'\"]}\n\
             secretGenerator:\n- {name: key, envs: [key.env]}\n",
        ),
        (
            "base/kustomization.yaml",
            "resources: [db.yaml]\nnamespace: other\n",
        ),
        ("base/db.yaml", GOOD),
        ("base/stray.yaml", "kind: StatefulSet"),
        ("a.txt", "A"),
        ("sub/b.txt", "B"),
        ("key.env", "# comment\nUSER=u\nPASS=p=1\n"),
    ]);
    assert_eq!(told, [""; 0]);
    assert_eq!(manifests.stateful_sets.len(), 1);
    let text = |bundle: Option<&Bundle>| -> Vec<(String, String)> {
        let values = bundle.unwrap().values.iter();
        values
            .map(|(key, value)| (key.clone(), String::from_utf8(value.bytes.clone()).unwrap()))
            .collect()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        text(manifests.config_map("prod", "conf")),
        [pair("a.txt", "A"), pair("b", "B"), pair("k", "v=1")]
    );
    assert_eq!(
        text(manifests.secret("prod", "key")),
        [pair("PASS", "p=1"), pair("USER", "u")]
    );
    assert!(manifests.service("prod", "db").is_some());
    assert_eq!(
        manifests.notes,
        ["the kustomization's images are not applied: images are mapped by `kind: Local`"]
    );
    // And for each kustomization the `local.yaml` that may come.
    assert_eq!(manifests.files.len(), 6 + 2);
    assert!(manifests.folders.is_empty());
}

#[test]
fn the_programs_of_a_kustomization_lie_beside_it_or_are_listed() {
    const LOCAL: &str = "apiVersion: outrigger.dev/v1alpha1\nkind: Local\nspec: {programs: [{image: db, command: [dbd]}]}\n";
    for resources in ["db.yaml", "db.yaml, local.yaml", "base"] {
        let (manifests, told) = findings(&[
            ("kustomization.yaml", &format!("resources: [{resources}]\n")),
            ("db.yaml", GOOD),
            ("local.yaml", if resources == "base" { "" } else { LOCAL }),
            ("base/kustomization.yaml", "resources: [db.yaml]\n"),
            ("base/db.yaml", GOOD),
            ("base/local.yaml", LOCAL),
        ]);
        assert_eq!(told, [""; 0], "{resources}");
        assert_eq!(manifests.programs.len(), 1, "{resources}");
    }
    let (manifests, told) = findings(&[
        ("kustomization.yaml", "resources: [db.yaml]\n"),
        ("db.yaml", GOOD),
        ("local.yaml", &format!("{LOCAL}---\nkind: Service\n")),
    ]);
    assert_eq!(manifests.programs.len(), 1);
    assert_eq!(
        told,
        [
            "warning: local.yaml:5: it is no `kind: Local` and is ignored\n  hint: name its file under \
          `resources` of the kustomization"
        ]
    );
}

#[test]
fn lists_are_taken_apart_and_other_kinds_are_named_once() {
    let (manifests, told) = findings(&[(
        "all.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: b}}\n\
         - {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}\n\
         - {apiVersion: apps/v1, kind: Deployment, metadata: {name: e}}\n\
         - {apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: 7}\n",
    )]);
    assert!(manifests.config_map("default", "c").is_some());
    assert_eq!(
        manifests.notes,
        ["kind Deployment is ignored: `up` runs StatefulSets"]
    );
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("error: all.yaml:7: items[3].data: wanted a mapping, found "),
        "{told:?}"
    );
}

#[test]
fn whatever_keeps_a_stateful_set_from_running_is_told_with_its_place_and_a_remedy() {
    let table = [
        (
            "no governing Service",
            changed("  serviceName: db\n", ""),
            "error: m.yaml:10: spec: it names no governing Service: its pods have no names\n  \
             hint: add `serviceName`, and a headless Service (`clusterIP: None`) of that name",
        ),
        (
            "a Service that is missing",
            changed("serviceName: db", "serviceName: dbx"),
            "error: m.yaml:11: spec.serviceName: there is no Service `dbx` in the namespace default\n  \
             hint: add a headless Service (`clusterIP: None`) of that name",
        ),
        (
            "a Service that is not headless",
            changed("clusterIP: None, ", ""),
            "error: m.yaml:11: spec.serviceName: the Service `db` is not headless: its pods have no names\n  \
             hint: write `clusterIP: None` in m.yaml",
        ),
        (
            "labels that are not selected",
            changed("{labels: {app: db}}", "{labels: {app: other}}"),
            "error: m.yaml:12: spec.selector.matchLabels.app: the pod template has no such label\n  \
             hint: add `app: db` to spec.template.metadata.labels",
        ),
        (
            "a wrong type",
            changed("containerPort: 80", "containerPort: eighty"),
            "error: m.yaml:19: spec.template.spec.containers[0].ports[0].containerPort: wanted \
             a whole number, found the text `eighty`",
        ),
        (
            "an unknown field",
            changed("          image: db\n", "          image: db\n          volumeMount: []\n"),
            "warning: m.yaml:19: spec.template.spec.containers[0].volumeMount: the field \
             `volumeMount` is not known\n  hint: did you mean `volumeMounts`?",
        ),
        (
            "a missing ConfigMap",
            changed(
                "          image: db\n",
                "          image: db\n          envFrom: [{configMapRef: {name: conf}}]\n",
            ),
            "error: m.yaml:19: spec.template.spec.containers[0].envFrom[0].configMapRef: there is no \
             ConfigMap `conf` in the namespace default\n  hint: add it, or say `optional: true`",
        ),
        (
            "a missing volume",
            changed(
                "          image: db\n",
                "          image: db\n          volumeMounts: [{name: data, mountPath: data}]\n",
            ),
            "error: m.yaml:19: spec.template.spec.containers[0].volumeMounts[0].name: there is no \
             volume `data`\n  hint: add it to `volumes` or `volumeClaimTemplates`|error: m.yaml:19: \
             spec.template.spec.containers[0].volumeMounts[0].mountPath: `data` is not an absolute \
             path\n  hint: begin it with `/`",
        ),
        (
            "a port without a name",
            changed(
                "          image: db\n",
                "          image: db\n          readinessProbe: {httpGet: {port: apis}}\n",
            ),
            "error: m.yaml:19: spec.template.spec.containers[0].readinessProbe.httpGet.port: the \
             container has no port `apis`\n  hint: did you mean `api`?",
        ),
        (
            "a Secret that is not base64",
            format!(
                "{GOOD}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n  k: '!'\n"
            ),
            "error: m.yaml:25: data.k: it is not base64\n  hint: encode it with `base64 -w0`, or \
             write the text itself under `stringData`",
        ),
        (
            "a profile that is nowhere",
            changed(
                "{labels: {app: db}}",
                "{labels: {app: db, outrigger.dev/inject: 'true'}, annotations: {outrigger.dev/profile: p}}",
            ),
            "error: m.yaml:14: spec.template.metadata.annotations[\"outrigger.dev/profile\"]: there \
             is no ConfigMap `p` in the namespace default\n  hint: add it, or a configMapGenerator \
             for it",
        ),
        (
            "nothing to run",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n".to_owned(),
            "error: there is no StatefulSet among the manifests\n  hint: `up` runs StatefulSets: \
             name the folder or file that has one",
        ),
        (
            "a program without a name",
            "kind: Local\napiVersion: outrigger.dev/v1alpha1\nspec: {programs: [{image: db, command: []}]}\n"
                .to_owned()
                + "---"
                + GOOD,
            "error: m.yaml:3: spec.programs[0].command: it names no program\n  hint: write the \
             program's name, such as `[agdb_server]`",
        ),
    ];
    let told: Vec<(&str, String)> = table
        .iter()
        .map(|(name, text, _)| (*name, findings(&[("m.yaml", text)]).1.join("|")))
        .collect();
    let expected: Vec<(&str, String)> = table
        .iter()
        .map(|(name, _, expected)| (*name, (*expected).to_owned()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(findings(&[("m.yaml", GOOD)]).1, [""; 0]);
}

#[test]
fn what_a_profile_needs_and_does_not_find_is_told_at_once() {
    let set = changed(
        "{labels: {app: db}}",
        "{labels: {app: db, outrigger.dev/inject: 'true'}, annotations: {outrigger.dev/profile: p}}",
    )
    .replace(
        "      containers:\n",
        "      volumes: [{name: keys, secret: {secretName: keyz}}, {name: conf, configMap: {name: conf}}]\n      \
         containers:\n",
    );
    let told = |profile: &str| {
        let (_, told) = findings(&[
            (
                "kustomization.yaml",
                "resources: [db.yaml]\nconfigMapGenerator: [{name: p, files: [outrigger.yaml, db.conf]}]\n\
                 secretGenerator: [{name: keys, literals: [a=b]}]\n",
            ),
            ("db.yaml", &set),
            ("db.conf", "a"),
            ("outrigger.yaml", profile),
        ]);
        told
    };
    let of_the_pod = [
        "error: db.yaml:16: spec.template.spec.volumes[0].secret: there is no Secret `keyz` in the namespace \
         default\n  hint: did you mean `keys`?",
        "error: db.yaml:16: spec.template.spec.volumes[1].configMap: there is no ConfigMap `conf` in the \
         namespace default\n  hint: add it, or say `optional: true`",
    ];
    let head = "apiVersion: outrigger.dev/v1alpha1\nkind: Profile\nmetadata: {name: db}\nspec:\n";
    let lost = format!(
        "{head}  workload: {{container: dbs, ports: {{api: 80}}}}\n  secrets: [key]\n  files:\n    - \
         template: db.cnf\n      path: /db/db.conf\n"
    );
    let of_the_profile = [
        "error: outrigger.yaml:8: spec.files[0].template: the ConfigMap `p` has no key `db.cnf`\n  hint: did you \
         mean `db.conf`?",
        "error: outrigger.yaml:5: spec.workload.container: the pod template has no container `dbs`\n  hint: it \
         has db",
        "error: outrigger.yaml:6: spec.secrets.key: there is no Secret `key` in the namespace default\n  hint: \
         did you mean `keys`?",
    ];
    assert_eq!(told(&lost), [&of_the_pod[..], &of_the_profile[..]].concat());
    let unknown = format!("{head}  workload: {{contaner: db, ports: {{api: 80}}}}\n");
    let of_the_keys = [
        "error: outrigger.yaml:5: spec.workload.contaner: unknown key\n  hint: did you mean `container`?",
    ];
    assert_eq!(told(&unknown), [&of_the_pod[..], &of_the_keys[..]].concat());
}

#[test]
fn a_kustomization_that_leads_back_to_itself_or_nowhere_is_refused() {
    let (_, told) = findings(&[
        (
            "kustomization.yaml",
            "resources: [a, missing.yaml, db.yaml]\n",
        ),
        ("a/kustomization.yaml", "resources: [..]\n"),
        ("db.yaml", GOOD),
    ]);
    let heads: Vec<&str> = told
        .iter()
        .map(|told| told.lines().next().unwrap())
        .collect();
    assert_eq!(
        heads,
        [
            "error: a/../kustomization.yaml: resources: it leads back to itself",
            "error: kustomization.yaml:1: resources[1]: `missing.yaml` does not exist",
        ]
    );
}

#[test]
fn what_cannot_be_honoured_is_told_once_each() {
    let text = changed(
        "      containers:\n",
        "      tolerations: []\n      volumes: [{name: h, hostPath: {path: /x}}]\n      containers:\n",
    )
    .replace(
        "          image: db\n",
        "          image: db\n          resources: {limits: {cpu: 1}}\n          securityContext: {runAsUser: 5, privileged: true}\n",
    );
    let (manifests, told) = findings(&[("m.yaml", &text)]);
    assert_eq!(told, [""; 0]);
    let notes = not_honoured(&manifests.stateful_sets[0].object, &[], false);
    assert_eq!(
        notes,
        [
            "nodeSelector, affinity, tolerations and topology: there is one machine",
            "securityContext: processes have the rights of the user who ran `up`, and see themselves as the \
             manifest's runAsUser; not applied: privileged",
            "volume h (hostPath): it is an empty folder here",
            "resources: limits and requests are told through resourceFieldRef and not enforced",
        ]
    );
    let set = &manifests.stateful_sets[0].object;
    let plain = not_honoured(set, &[], true);
    assert_eq!(
        plain[1],
        "securityContext: processes have the rights of the user who ran `up`; not applied: privileged"
    );
}

#[test]
fn reading_any_text_ends_in_findings_and_not_in_a_panic() {
    use proptest::prelude::*;
    let words = "kind|StatefulSet|Service|Secret|List|spec|metadata|name|data|items|template|\
                 containers|resources|configMapGenerator|files|a=b|:|-|{|}|[|]|\n|  |'|\"|1|..|/";
    let words: Vec<&str> = words.split('|').collect();
    proptest!(ProptestConfig::with_cases(200), |(
        picks in proptest::collection::vec(0..words.len(), 0..60), kustomization: bool
    )| {
        let text: String = picks.iter().map(|pick| words[*pick]).collect::<Vec<_>>().join(" ");
        let folder = tempfile::tempdir().unwrap();
        let name = if kustomization { "kustomization.yaml" } else { "m.yaml" };
        fs::write(folder.path().join(name), text).unwrap();
        let manifests = read(&[folder.path().to_path_buf()]);
        let _ = check(&manifests);
        prop_assert!(manifests.files.iter().all(|file| Path::new(file).starts_with(folder.path())));
    });
}
