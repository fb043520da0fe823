//! The command line as a user meets it: its help, its errors and its exit codes.

mod manifests;

use std::process::{Command, Output};

fn outrigger(args: &[&str]) -> Output {
    let scratch = std::env::temp_dir();
    Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(args)
        .env("XDG_STATE_HOME", scratch.join("outrigger-cli-test-state"))
        .output()
        .expect("cargo has built the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_help_names_every_command_and_no_hidden_process() {
    let output = outrigger(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn the_help_of_up_tells_its_options() {
    let output = outrigger(&["up", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_sidecar_without_its_environment_says_all_that_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .arg("sidecar")
        .env_remove("POD_NAME")
        .env("OUTRIGGER_GRACE_PERIOD", "30")
        .env("OUTRIGGER_LISTEN", "7070")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn a_webhook_without_a_cluster_asks_for_a_certificate() {
    let output = outrigger(&[
        "webhook",
        "--catalog=.",
        "--listen=127.0.0.1:0",
        "--metrics=127.0.0.1:0",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn the_help_of_webhook_tells_its_options() {
    let output = outrigger(&["webhook", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_command_for_a_running_up_says_when_none_runs() {
    let output = outrigger(&["ps"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn a_roll_says_where_it_can_be_had_and_what_it_lacks() {
    let none = outrigger(&["roll"]);
    assert_eq!(none.status.code(), Some(1));
    insta::assert_snapshot!(text(&none.stderr), @r"
    error: no `outrigger up` is running
      hint: in a cluster: `outrigger roll STATEFULSET --cluster`
    ");
    let guessed = outrigger(&["roll", "statefulset/db"]);
    assert_eq!(guessed.status.code(), Some(2));
    let refused = text(&guessed.stderr);
    assert!(refused.contains("--cluster"), "{refused}");
    let unknown = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["roll", "db", "--cluster", "--context", "nowhere"])
        .env("KUBECONFIG", "nothing-is-here")
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    let refused = text(&unknown.stderr);
    assert!(
        refused.starts_with("error: the kubeconfig cannot be used\n"),
        "{refused}"
    );
    assert!(refused.contains("hint: set KUBECONFIG"), "{refused}");
}

#[test]
fn the_help_of_roll_tells_its_options() {
    let output = outrigger(&["roll", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_folder_without_a_stateful_set_is_bad_input() {
    let folder = std::env::temp_dir().join("outrigger-cli-test-empty");
    std::fs::create_dir_all(&folder).unwrap();
    let output = outrigger(&["up", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn the_schema_is_json() {
    let output = outrigger(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["spec"].is_object() || schema["$defs"].is_object());
}
