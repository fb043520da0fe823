//! Commands that work on manifests: what they print, what they tell, and when they refuse.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::text;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs it where the examples are, without a cluster and with this standard input.
fn outrigger(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(args)
        .current_dir(root())
        .env("KUBECONFIG", "/nonexistent")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo has built the program");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(input.as_bytes()).expect("it is read");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("it is a file of the project")
}

/// Everything of it: the token, which is drawn, without its digits, and in quotes, which it has
/// only where it would be read as a number.
fn shown(output: &Output) -> String {
    let mut told = text(&output.stdout);
    if let Some(at) = told.find("Bearer ") {
        let token = told[at + 7..at + 39].to_owned();
        told = told
            .replace(&format!("\"{token}\""), &token)
            .replace(&token, "(32 digits)")
            .replace("value: (32 digits)", "value: \"(32 digits)\"");
    }
    let error = text(&output.stderr);
    format!(
        "{told}--- told\n{error}--- status {:?}",
        output.status.code()
    )
}

const SET: &str = "examples/agdb/statefulset.yaml";

#[test]
fn a_folder_is_injected_as_its_kustomization_says() {
    let output = outrigger(
        &[
            "inject",
            "-f",
            "examples/agdb",
            "--image",
            "here/outrigger:1",
        ],
        "",
    );
    insta::assert_snapshot!(shown(&output));
}

#[test]
fn standard_input_gets_its_profile_from_a_folder_and_gives_back_its_bytes() {
    let set = read(SET);
    let injected = outrigger(
        &["inject", "-f", "-", "--profile-from", "examples/agdb"],
        &set,
    );
    assert_eq!(
        injected.status.code(),
        Some(0),
        "{}",
        text(&injected.stderr)
    );
    let yaml = text(&injected.stdout);
    assert!(yaml.contains("- name: outrigger\n"), "{yaml}");
    let back = outrigger(&["uninject", "-f", "-"], &yaml);
    assert_eq!(text(&back.stdout), set);
    insta::assert_snapshot!(text(&back.stderr), @"stdin:1: StatefulSet default/agdb: the sidecar is taken out");
    let none = outrigger(&["uninject", "-f", "-"], &set);
    assert_eq!(text(&none.stdout), set);
    insta::assert_snapshot!(text(&none.stderr), @"no workload has a sidecar: everything stays as it is");
}

#[test]
fn every_field_is_explained_beside_the_yaml() {
    let output = outrigger(&["inject", "-f", "examples/agdb", "--explain"], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("# The governing Service"));
    let told = text(&output.stderr);
    for field in [
        "spec.initContainers[outrigger].image",
        "spec.volumes[outrigger-files]",
        "metadata.annotations[outrigger.dev/status]",
    ] {
        assert!(told.contains(field), "{told}");
    }
}

#[test]
fn a_refusal_prints_no_yaml_and_says_file_line_place_and_hint() {
    let output = outrigger(&["inject", "-f", SET], "");
    insta::assert_snapshot!(shown(&output));
}

#[test]
fn files_are_written_only_when_all_is_well_and_taken_back_to_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(root().join("examples/agdb")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let set = folder.path().join("statefulset.yaml");
    let (before, path) = (
        fs::read_to_string(&set).unwrap(),
        folder.path().to_str().unwrap(),
    );
    let output = outrigger(&["inject", "-f", path, "--write"], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    assert_ne!(fs::read_to_string(&set).unwrap(), before);
    let again = outrigger(&["inject", "-f", path], "");
    assert!(
        text(&again.stderr).contains("it has its sidecar already"),
        "{}",
        text(&again.stderr)
    );
    outrigger(&["uninject", "-f", path, "--write"], "");
    assert_eq!(fs::read_to_string(&set).unwrap(), before);
    let broken = before.replace("agdb-outrigger", "agdb-outriger");
    fs::write(&set, &broken).unwrap();
    let refused = outrigger(&["inject", "-f", path, "--write"], "");
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&set).unwrap(), broken);
    let input = outrigger(
        &[
            "inject",
            "-f",
            "-",
            "--write",
            "--profile-from",
            "examples/agdb",
        ],
        &before,
    );
    assert_eq!(input.status.code(), Some(2));
}

#[test]
fn the_namespace_of_objects_that_name_none_can_be_said() {
    let set = read(SET).replace("  name: agdb\n", "  name: agdb\n  namespace: shop\n");
    let apart = outrigger(
        &["inject", "-f", "-", "--profile-from", "examples/agdb"],
        &set,
    );
    assert_eq!(apart.status.code(), Some(2), "{}", text(&apart.stderr));
    let args = [
        "inject",
        "-f",
        "-",
        "--profile-from",
        "examples/agdb",
        "--namespace",
        "shop",
    ];
    let output = outrigger(&args, &set);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("StatefulSet shop/agdb: the sidecar is put in"));
}

#[test]
fn what_is_right_is_checked_without_errors() {
    for arguments in [
        &["check", "-f", "examples/agdb"][..],
        &["check", "-f", "examples/agdb/outrigger.yaml"],
    ] {
        let output = outrigger(arguments, "");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let output = outrigger(&["check", "-f", "examples/agdb"], "");
    insta::assert_snapshot!(shown(&output));
}

#[test]
fn the_examples_of_the_workloads_are_right_and_get_the_sidecar_without_a_warning() {
    for (example, sets) in [
        ("aistore", 2),
        ("nats", 1),
        ("oxia", 2),
        ("piko", 1),
        ("tag", 1),
    ] {
        let folder = format!("examples/{example}");
        for command in ["check", "inject"] {
            let output = outrigger(&[command, "-f", &folder], "");
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{command} {example}: {told}");
            // Offline nobody knows the cluster's version.
            let known = "they need Kubernetes 1.35 or newer";
            let warnings = told.lines().filter(|line| line.starts_with("warning:"));
            let others: Vec<&str> = warnings.filter(|line| !line.ends_with(known)).collect();
            assert_eq!(others, Vec::<&str>::new(), "{command} {example}");
            let injected = told.matches("the sidecar is put in").count();
            assert_eq!(
                injected,
                if command == "inject" { sets } else { 0 },
                "{told}"
            );
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let profile = read("examples/agdb/outrigger.yaml").replace("  drain:", "  drian:");
    let profile: Vec<String> = profile
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    let profile = profile.concat();
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: agdb-outrigger}}\ndata:\n  agdb_server.yaml: x\n  outrigger.yaml: |\n{profile}"
    );
    fs::write(folder.path().join("map.yaml"), map).unwrap();
    let set = read(SET).replace(
        "outrigger.dev/profile:",
        "outrigger.dev/prt: 1\n        outrigger.dev/profile:",
    );
    fs::write(folder.path().join("set.yaml"), set).unwrap();
    let path = folder.path().to_str().unwrap();
    let output = outrigger(&["check", "-f", path], "");
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(text(&output.stderr).replace(path, "DIR"));
}

#[test]
fn what_would_show_only_in_a_cluster_is_told_before() {
    let folder = tempfile::tempdir().unwrap();
    let indented = |file: &str| -> String {
        let text = read(file);
        let lines: Vec<String> = text.lines().map(|line| format!("    {line}\n")).collect();
        lines.concat()
    };
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: agdb-outrigger\n  labels: {{app: agdb}}\ndata:\n  \
         agdb_server.yaml: |\n{}  outrigger.yaml: |\n{}",
        indented("examples/agdb/agdb_server.yaml"),
        indented("examples/agdb/outrigger.yaml"),
    );
    fs::write(folder.path().join("map.yaml"), map).unwrap();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: agdb-admins}\n";
    fs::write(folder.path().join("secret.yaml"), secret).unwrap();
    let set = read(SET)
        .replace("serviceName: agdb", "serviceName: agbd")
        .replace("PeriodSeconds: 30", "PeriodSeconds: 15");
    let web = set
        .replace("kind: StatefulSet", "kind: Deployment")
        .replace("  name: agdb\n", "  name: web\n");
    fs::write(folder.path().join("set.yaml"), format!("{set}---\n{web}")).unwrap();
    let path = folder.path().to_str().unwrap();
    let warned = outrigger(&["check", "-f", path], "");
    insta::assert_snapshot!(shown(&warned).replace(path, "DIR"));

    // An API server refuses this one, so it is an error.
    let chosen = set.replace("matchLabels: {app: agdb}", "matchLabels: {app: db}");
    fs::write(folder.path().join("set.yaml"), chosen).unwrap();
    let refused = outrigger(&["check", "-f", path], "");
    assert_eq!(refused.status.code(), Some(2));
    let told = text(&refused.stderr).replace(path, "DIR");
    let errors: Vec<&str> = told
        .lines()
        .skip_while(|line| !line.starts_with("error"))
        .take(2)
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn the_label_of_a_profile_may_come_from_anywhere_in_its_kustomization() {
    let labelled = [
        "configMapGenerator:\n- name: p\n  files: [outrigger.yaml]\n  options: {labels: {outrigger.dev/profile: \"true\"}}\n",
        "generatorOptions: {labels: {outrigger.dev/profile: \"true\"}}\nconfigMapGenerator: [{name: p, files: [outrigger.yaml]}]\n",
        "commonLabels: {outrigger.dev/profile: \"true\"}\nconfigMapGenerator: [{name: p, files: [outrigger.yaml]}]\n",
        "labels: [{pairs: {outrigger.dev/profile: \"true\"}}]\nresources: [below]\n",
        "configMapGenerator: [{name: p, files: [outrigger.yaml]}]\n",
    ];
    let told: Vec<String> = labelled
        .iter()
        .map(|kustomization| {
            let folder = tempfile::tempdir().unwrap();
            let profile = "apiVersion: outrigger.dev/v1alpha1\nkind: Profile\nmetadata: {name: p}\nspec:\n  \
                           workload: {container: db, ports: {api: 80}}\n";
            fs::create_dir(folder.path().join("below")).unwrap();
            for (name, text) in [
                ("kustomization.yaml", *kustomization),
                ("outrigger.yaml", profile),
                ("below/outrigger.yaml", profile),
                ("below/kustomization.yaml", labelled[4]),
            ] {
                fs::write(folder.path().join(name), text).unwrap();
            }
            let path = folder.path().to_str().unwrap();
            let output = outrigger(&["check", "-f", path], "");
            text(&output.stderr).replace(path, "DIR")
        })
        .collect();
    assert_eq!(told[..4], [""; 4]);
    insta::assert_snapshot!(told[4]);
}

#[test]
fn a_check_of_a_cluster_that_is_nowhere_says_so() {
    let output = outrigger(&["check", "--cluster"], "");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("hint: set KUBECONFIG"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn policies_are_printed_for_what_asks_and_for_nothing_else() {
    let output = outrigger(&["policy", "-f", "examples/agdb"], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let yaml = text(&output.stdout);
    for kind in [
        "MutatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ] {
        assert!(yaml.contains(&format!("kind: {kind}\n")), "{yaml}");
    }
    let none = outrigger(&["policy", "-f", "examples/agdb/service.yaml"], "");
    insta::assert_snapshot!(shown(&none));
}
