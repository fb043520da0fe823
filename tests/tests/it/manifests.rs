//! What `up` says of wrong manifests, word for word: everything at once, each with its place and with
//! what to do, before anything runs.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use insta::assert_snapshot;
use outrigger_tests::{Example, Output, run};
use tempfile::TempDir;

/// A StatefulSet of nothing in particular, with its Service and its profile: right as it stands.
fn example() -> Example {
    let source = tempfile::tempdir().unwrap();
    let files = [
        (
            "statefulset.yaml",
            "apiVersion: apps/v1\n\
             kind: StatefulSet\n\
             metadata: {name: db}\n\
             spec:\n\
             \x20 serviceName: db\n\
             \x20 replicas: 2\n\
             \x20 selector: {matchLabels: {app: db}}\n\
             \x20 template:\n\
             \x20   metadata:\n\
             \x20     labels: {app: db, outrigger.dev/inject: \"true\"}\n\
             \x20     annotations: {outrigger.dev/profile: db-profile}\n\
             \x20   spec:\n\
             \x20     containers:\n\
             \x20       - name: db\n\
             \x20         image: db\n\
             \x20         command: [sleep, infinity]\n\
             \x20         ports: [{name: api, containerPort: 3000}]\n",
        ),
        (
            "service.yaml",
            "apiVersion: v1\n\
             kind: Service\n\
             metadata: {name: db}\n\
             spec: {clusterIP: None, selector: {app: db}, ports: [{name: api, port: 3000}]}\n",
        ),
        (
            "outrigger.yaml",
            "apiVersion: outrigger.dev/v1alpha1\n\
             kind: Profile\n\
             metadata: {name: db}\n\
             spec:\n\
             \x20 workload: {container: db, ports: {api: 3000}}\n\
             \x20 files:\n\
             \x20   - {template: db.conf, path: /etc/db/db.conf}\n\
             \x20 secrets: [admin]\n",
        ),
        ("db.conf", "name = {{ self.name }}\n"),
        (
            "kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\n\
             kind: Kustomization\n\
             resources: [statefulset.yaml, service.yaml]\n\
             configMapGenerator:\n\
             \x20 - {name: db-profile, files: [outrigger.yaml, db.conf]}\n\
             secretGenerator:\n\
             \x20 - {name: admin, literals: [password=hush]}\n\
             generatorOptions: {disableNameSuffixHash: true}\n",
        ),
    ];
    for (name, text) in files {
        fs::write(source.path().join(name), text).unwrap();
    }
    Example::copy_of(source.path())
}

/// What `up` says before it ends as one that was given bad input, having kept nothing.
async fn refused(example: &Example) -> String {
    let state = tempfile::tempdir().unwrap();
    let kept = state.path().join("state");
    let output = up(example.path(), &kept).await;
    assert_eq!(output.code, Some(2), "{output}");
    assert_eq!(output.stdout, "");
    assert!(!kept.exists(), "{output}");
    let folder = example.path().to_str().unwrap();
    output.stderr.replace(folder, "DIR")
}

async fn up(folder: &Path, state: &Path) -> Output {
    let [folder, state] = [folder, state].map(|path| path.to_str().unwrap());
    run(&["up", folder, "--state", state, "--exec", "true"]).await
}

#[tokio::test]
async fn what_is_wrong_anywhere_is_said_at_once_with_its_line() {
    let example = example();
    example.edit("statefulset.yaml", "replicas: 2", "replcias: 2");
    example.edit("statefulset.yaml", "serviceName: db", "serviceName: bd");
    example.edit("service.yaml", "port: 3000", "port: three");
    example.edit("outrigger.yaml", "template: db.conf", "template: db.cnf");
    assert_snapshot!(refused(&example).await, @r"
    warning: DIR/statefulset.yaml:6: spec.replcias: the field `replcias` is not known
      hint: did you mean `replicas`?
    error: DIR/service.yaml:4: spec.ports[0].port: wanted a whole number, found the text `three`
    error: DIR/statefulset.yaml:5: spec.serviceName: there is no Service `bd` in the namespace default
      hint: add a headless Service (`clusterIP: None`) of that name
    error: DIR/outrigger.yaml:7: spec.files[0].template: the ConfigMap `db-profile` has no key `db.cnf`
      hint: did you mean `db.conf`?
    ");
}

#[tokio::test]
async fn a_stateful_set_without_its_service_is_refused() {
    let example = example();
    example.edit("kustomization.yaml", ", service.yaml]", "]");
    assert_snapshot!(refused(&example).await, @r"
    error: DIR/statefulset.yaml:5: spec.serviceName: there is no Service `db` in the namespace default
      hint: add a headless Service (`clusterIP: None`) of that name
    ");
}

#[tokio::test]
async fn everything_wrong_with_a_profile_is_said_at_once_with_its_line() {
    let example = example();
    example.edit("outrigger.yaml", "container: db,", "container: 5,");
    example.edit("outrigger.yaml", "secrets: [admin]", "secrts: [admin]");
    assert_snapshot!(refused(&example).await, @r#"
    error: DIR/outrigger.yaml:5: spec.workload.container: wanted a text, found the number 5
      hint: quote it: "5"
    error: DIR/outrigger.yaml:8: spec.secrts: unknown key
      hint: did you mean `secrets`?
    "#);
}

#[tokio::test]
async fn a_template_a_secret_and_a_container_that_are_not_there_are_said_at_once() {
    let example = example();
    example.edit("outrigger.yaml", "container: db,", "container: database,");
    example.edit("outrigger.yaml", "template: db.conf", "template: db.cnf");
    example.edit("outrigger.yaml", "secrets: [admin]", "secrets: [admn]");
    assert_snapshot!(refused(&example).await, @r"
    error: DIR/outrigger.yaml:7: spec.files[0].template: the ConfigMap `db-profile` has no key `db.cnf`
      hint: did you mean `db.conf`?
    error: DIR/outrigger.yaml:5: spec.workload.container: the pod template has no container `database`
      hint: it has db
    error: DIR/outrigger.yaml:8: spec.secrets.admn: there is no Secret `admn` in the namespace default
      hint: did you mean `admin`?
    ");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_refused() {
    let example = example();
    example.edit(
        "kustomization.yaml",
        "literals: [password=hush]",
        "files: [password, folder]",
    );
    fs::create_dir(example.file("folder")).unwrap();
    assert_snapshot!(refused(&example).await, @r"
    error: DIR/kustomization.yaml:7: secretGenerator[0].files[0]: `password` cannot be read: No such file or directory (os error 2)
      hint: paths are relative to the kustomization's folder
    error: DIR/kustomization.yaml:7: secretGenerator[0].files[1]: `folder` cannot be read: it is a folder
      hint: paths are relative to the kustomization's folder
    ");
    let example = self::example();
    example.edit(
        "kustomization.yaml",
        "[statefulset.yaml, service.yaml]",
        "[statefulset.yaml, service.yaml, secret.yaml]",
    );
    example.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\ndata: {password: not base64}\n",
    );
    assert_snapshot!(refused(&example).await, @r"
    error: DIR/secret.yaml:4: data.password: it is not base64
      hint: encode it with `base64 -w0`, or write the text itself under `stringData`
    ");
}

#[tokio::test]
async fn what_is_not_yaml_or_not_there_is_refused() {
    let example = example();
    example.write("service.yaml", "kind: Service\n\tmetadata: {}\n");
    example.edit(
        "kustomization.yaml",
        "[statefulset.yaml, service.yaml]",
        "[statefulset.yaml, service.yaml, gone.yaml]",
    );
    assert_snapshot!(refused(&example).await, @r"
    error: DIR/service.yaml:1: not valid YAML: while scanning a plain scalar, found a tab
      hint: YAML is indented by spaces: replace the tab
    error: DIR/kustomization.yaml:3: resources[2]: `gone.yaml` does not exist
      hint: paths are relative to the kustomization's folder
    error: DIR/statefulset.yaml:5: spec.serviceName: there is no Service `db` in the namespace default
      hint: add a headless Service (`clusterIP: None`) of that name
    ");
}

#[tokio::test]
async fn a_folder_without_manifests_is_refused() {
    let empty = TempDir::new().unwrap();
    let example = Example::copy_of(empty.path());
    assert_snapshot!(refused(&example).await, @r"
    error: DIR: the folder has no manifests
      hint: put *.yaml files there, or name another folder
    ");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_who_would_have_it() {
    let example = example();
    // Taken on every address: there is no other for the replicas to go to.
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let manifest = "containerPort: 3000";
    example.edit(
        "statefulset.yaml",
        manifest,
        &manifest.replace("3000", &port),
    );
    let said = refused(&example).await;
    let network = said
        .split("127.77.")
        .nth(1)
        .and_then(|rest| rest.split('.').next());
    let network = format!("127.77.{}.", network.expect(&said));
    assert_snapshot!(said.replace(&network, "127.77.x.").replace(&port, "PORT"), @r"
    error: DIR/statefulset.yaml:17: spec.template.spec.containers[0].ports[0].containerPort: the port PORT is in use on 127.77.x.10 (db-0), 127.77.x.11 (db-1)
      hint: `ss -ltnp 'sport = :PORT'` shows by whom: end that, or give the port another number
    ");
}
