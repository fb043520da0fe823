//! What a sidecar says of wrong input, word for word: everything at once, each with its place and with
//! what to do, before anything is put in place.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use insta::assert_snapshot;
use outrigger_tests::{Output, SidecarPod, eventually};
use serde_json::Value;

use crate::guests;

/// A profile that a sidecar alone can serve: no name is looked up.
fn profile(rest: &str) -> String {
    format!(
        "apiVersion: outrigger.dev/v1alpha1\n\
         kind: Profile\n\
         metadata: {{name: db}}\n\
         spec:\n\
         \x20 workload: {{container: db, ports: {{api: 3000}}}}\n\
         \x20 discovery: {{source: fixed, peers: [127.0.0.1]}}\n\
         {rest}"
    )
}

/// What it says before it ends, with nothing rendered.
async fn refused(pod: &SidecarPod, code: i32) -> String {
    let output = pod.run().await;
    assert_eq!(output.code, Some(code), "{output}");
    assert_eq!(pod.rendered(), Vec::<PathBuf>::new());
    output.stderr
}

#[tokio::test]
async fn unknown_keys_wrong_types_and_wrong_values_are_said_at_once() {
    let pod = SidecarPod::new(&profile(
        "  files:\n\
         \x20   - {template: conf, path: /etc/db/conf, formt: yaml, mode: \"0999\"}\n\
         \x20   - {template: conf, path: relative}\n\
         \x20 strat: {cap: 10s}\n\
         \x20 health:\n\
         \x20   readiness: {period: 5, http: {port: apo}}\n\
         \x20 drain: {timeout: [20s]}\n",
    ));
    assert_snapshot!(refused(&pod, 2).await, @r#"
    error: outrigger.yaml:8: spec.files[0].formt: unknown key
      hint: did you mean `format`?
    error: outrigger.yaml:8: spec.files[0].mode: `0999` is not permission bits
      hint: write three octal digits with a zero before them, such as "0640"
    error: outrigger.yaml:9: spec.files[1].path: the path `relative` is relative
      hint: write the whole path as the workload sees it, such as /etc/app/relative
    error: outrigger.yaml:10: spec.strat: unknown key
      hint: did you mean `start`?
    error: outrigger.yaml:12: spec.health.readiness.period: wanted a span of time, found the number 5
      hint: give it its unit, such as 5ms or 5s
    error: outrigger.yaml:12: spec.health.readiness.http.port: there is no port `apo`
      hint: did you mean `api`?
    error: outrigger.yaml:13: spec.drain.timeout: wanted a span of time, found a list
    "#);
}

#[tokio::test]
async fn missing_templates_are_said_with_those_that_are_there() {
    let pod = SidecarPod::new(&profile(
        "  files:\n\
         \x20   - {template: db.conf, path: /etc/db/db.conf}\n\
         \x20   - template: users\n\
         \x20     path: /etc/db/users\n",
    ));
    pod.write("profile/db.cnf", "here");
    assert_snapshot!(refused(&pod, 2).await, @r"
    error: outrigger.yaml:8: spec.files[0].template: there is no template `db.conf`
      hint: did you mean `db.cnf`?
    error: outrigger.yaml:9: spec.files[1].template: there is no template `users`
      hint: these lie beside the profile: db.cnf
    ");
}

#[tokio::test]
async fn what_cannot_be_rendered_holds_the_workload_and_is_said_at_once() {
    let pod = SidecarPod::new(&profile(
        "  files:\n\
         \x20   - {template: circle, path: /etc/db/circle}\n\
         \x20   - {template: users, path: /etc/db/users}\n\
         \x20   - {template: limits, path: /etc/db/limits, format: json}\n\
         \x20   - {template: good, path: /etc/db/good}\n\
         \x20 secrets: [admin]\n",
    ));
    pod.write("profile/circle", "first\n{% include 'part' %}\n");
    pod.write("profile/part", "\n\n{% include 'circle' %}\n");
    pod.write("profile/users", "# users\n{{ secrets.admin.password }}\n");
    pod.write("profile/limits", "{\"a\": 3,\n  {{ self.ordinal }}}\n");
    pod.write("profile/good", "{{ self.name }}\n");
    let sidecar = pod.start();
    let http = pod.http();
    let status = eventually(Duration::from_secs(20), "a render is refused", async || {
        let status = http
            .get("/status")
            .await
            .map_err(|error| error.to_string())?;
        let status: Value = status.json();
        match status["files"]["refused"].as_array() {
            Some(findings) if !findings.is_empty() => Ok(status),
            _ => Err(status.to_string()),
        }
    })
    .await;
    let lines: Vec<&str> = status["files"]["refused"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let folder = pod.path().to_str().unwrap();
    assert_snapshot!(lines.join("\n").replace(folder, "POD"), @r"
    error: part:3: spec.files[0]: templates include one another in a circle: circle → part → circle
      hint: put what they share into a template that includes none of them
    error: users:2: spec.files[1]: `secrets.admin.password` has no value
      hint: the secret `admin` is not readable: POD/secrets/admin: No such file or directory (os error 2); check that the Secret exists and is mounted there
    error: /etc/db/limits:2: spec.files[2]: the result is not JSON: key must be a string at line 2 column 3
      hint: the line is the rendered file's; write `format: text` to have it taken as it is
    ");
    let startup = http.get("/startup").await.unwrap();
    let body: Value = startup.json();
    assert_eq!(startup.status, 503, "{body}");
    assert_eq!(body["reasons"][0]["code"], "files-refused", "{body}");
    // The good one is not put in place without the others.
    assert_eq!(pod.rendered(), Vec::<PathBuf>::new());
    let output = sidecar.terminate().await;
    assert_eq!(output.code, Some(0), "{output}");
}

/// A profile with this component as its plugin.
async fn with_component(component: &[u8], digest: &str) -> String {
    let pod = SidecarPod::new(&profile(&format!(
        "  plugin:\n\
         \x20   source: file:plugin.wasm\n\
         \x20   digest: {digest}\n"
    )));
    pod.write("profile/plugin.wasm", component);
    refused(&pod, 2).await
}

#[tokio::test]
async fn a_component_of_another_world_is_refused_with_what_it_is() {
    assert_snapshot!(with_component(guests::other_world(), "any").await, @r"
    error: outrigger.yaml:7: spec.plugin: the component imports `elsewhere`, which this host does not have
      hint: import only what the world `host-api` of outrigger:plugin has; WASI beyond clocks, random and stdio is refused when it is called
    ");
}

#[tokio::test]
async fn a_component_that_is_cut_off_or_none_is_told_apart() {
    let component = guests::other_world();
    assert_snapshot!(with_component(&component[..component.len() / 2], "any").await, @r"
    error: outrigger.yaml:7: spec.plugin: the component is truncated: it ends within the section that starts at byte 42
      hint: copy it again; write to another name and rename, so that it is never seen half-written
    ");
    assert_snapshot!(with_component(b"\0asm\x01\0\0\0", "any").await, @r"
    error: outrigger.yaml:7: spec.plugin: this is a core WebAssembly module, not a component
      hint: run `wasm-tools component new` on it, or build for wasm32-wasip2
    ");
    assert_snapshot!(with_component(b"#!/bin/sh\n", "any").await, @r"
    error: outrigger.yaml:7: spec.plugin: this is not a WebAssembly component
      hint: build one for wasm32-wasip2, or for wasm32-unknown-unknown and run `wasm-tools component new`
    ");
}

#[tokio::test]
async fn a_component_that_is_not_the_pinned_one_is_refused_with_both_digests() {
    let pinned = format!("sha256:{}", "0".repeat(64));
    assert_snapshot!(with_component(b"\0asm", &pinned).await, @r"
    error: outrigger.yaml:7: spec.plugin: the component's digest is sha256:cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f, the profile pins sha256:0000000000000000000000000000000000000000000000000000000000000000
      hint: pin the new digest in the profile, or write `digest: any` where the file is meant to be replaced while running
    ");
}

#[tokio::test]
async fn a_plugin_that_is_not_there_is_refused_with_the_one_that_was_meant() {
    let builtin = SidecarPod::new(&profile("  plugin: {source: \"builtin:agbd\"}\n"));
    assert_snapshot!(refused(&builtin, 2).await, @r"
    error: outrigger.yaml:7: spec.plugin.source: no plugin `agbd` ships with Outrigger
      hint: did you mean `builtin:agdb`?
    ");
    let file = SidecarPod::new(&profile(
        "  plugin: {source: \"file:gone.wasm\", digest: any}\n",
    ));
    assert_snapshot!(refused(&file, 2).await, @r"
    error: outrigger.yaml:7: spec.plugin: the component POD/profile/gone.wasm cannot be read: No such file or directory (os error 2)
      hint: look at `plugin.source` in the profile: file paths are relative to the profile's folder
    ");
}

#[tokio::test]
async fn settings_that_the_plugin_does_not_know_are_refused_with_those_it_knows() {
    let pod = SidecarPod::new(&profile(
        "  plugin:\n\
         \x20   source: builtin:agdb\n\
         \x20   settings: {lag-limt: 100, port: three}\n",
    ));
    assert_snapshot!(refused(&pod, 2).await, @r"
    error: outrigger.yaml:9: spec.plugin.settings.lag-limt: is not a setting of this plugin; did you mean `lag-limit`?
    error: outrigger.yaml:9: spec.plugin.settings.port: must be integer, not string
    ");
}

#[tokio::test]
async fn a_port_in_use_is_said_with_the_setting_that_moves_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let pod = SidecarPod::new(&profile("")).env("OUTRIGGER_LISTEN", &*address);
    let said = refused(&pod, 1).await.replace(&address, "127.0.0.1:PORT");
    assert_snapshot!(said, @r"
    error: the sidecar's server cannot listen on 127.0.0.1:PORT
      caused by: Address already in use (os error 98)
      hint: another program of the pod has this port: set OUTRIGGER_LISTEN to a free one, such as `[::]:7170`
    ");
}

#[tokio::test]
async fn an_environment_that_asks_for_what_there_is_not_is_bad_input() {
    let pod = SidecarPod::new(&profile("")).env("OUTRIGGER_LOG", "outrigger=loud");
    assert_snapshot!(refused(&pod, 2).await, @r"
    error: OUTRIGGER_LOG: `outrigger=loud` is no log filter
      hint: write a level (`info`) or levels by module, such as `info,outrigger_sidecar=debug`
    ");
    let pod =
        SidecarPod::new(&profile("")).env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317");
    assert_snapshot!(refused(&pod, 2).await, @r"
    error: OTEL_EXPORTER_OTLP_ENDPOINT: `https://collector:4317`: exports over https are not built in
      hint: export to a collector on the node or in the pod over http, and let that speak https
    ");
    let gone = SidecarPod::new(&profile(""));
    std::fs::remove_file(gone.path().join("profile/outrigger.yaml")).unwrap();
    gone.write("profile/outriger.yaml", "");
    let Output { code, stderr, .. } = gone.run().await;
    assert_eq!(code, Some(2));
    assert_snapshot!(stderr, @r"
    error: outrigger.yaml: is not in the profile's folder
      hint: there is `outriger.yaml`: name it `outrigger.yaml`
    ");
}
