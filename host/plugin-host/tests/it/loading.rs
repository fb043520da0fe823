//! What can be loaded, and what each wrong component is told.

use std::fs;
use std::path::{Path, PathBuf};

use outrigger_plugin_host::{
    BuiltinPlugin, CodeOrigin, ComponentSource, Interface, LoadError, Plugin, Probe, compile,
    digest,
};
use serde_json::json;

use crate::fakes::{host, load, peers, setup};
use crate::guests;

async fn refused(path: PathBuf, settings: serde_json::Value) -> LoadError {
    let error = load(path, setup("loading", &settings)).await.unwrap_err();
    assert!(
        error.hint().is_some() || matches!(error, LoadError::Call(_)),
        "{error}"
    );
    error
}

fn written(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("plugin.wasm");
    fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn a_component_is_described_and_its_interfaces_are_found() {
    let generation = load(guests::misbehaving(), setup("loading", &json!({})))
        .await
        .unwrap();
    assert_eq!(generation.plugin_name(), "misbehaving");
    assert_eq!(generation.interfaces().len(), Interface::ALL.len());
    assert_eq!(
        generation.digest().len(),
        64,
        "the component's digest is told"
    );
    assert!(generation.not_granted().is_empty());
}

#[tokio::test]
async fn a_component_of_another_world_is_told_what_it_lacks() {
    let error = refused(guests::other_world(), json!({})).await;
    assert_eq!(
        error.to_string(),
        "the component imports `elsewhere`, which this host does not have"
    );
}

#[tokio::test]
async fn a_component_of_another_version_of_the_border_is_told_both_versions() {
    let error = refused(guests::other_version(), json!({})).await;
    assert_eq!(
        error.to_string(),
        "the component was made for outrigger:plugin/plugin@0.9.0, this host speaks outrigger:plugin@0.1.0"
    );
}

#[tokio::test]
async fn an_interface_with_other_types_is_named() {
    let error = refused(guests::other_types(), json!({})).await;
    let LoadError::Interface { interface, problem } = error else {
        panic!("{error}");
    };
    assert_eq!(interface, "health");
    assert!(problem.contains("type mismatch"), "{problem}");
}

#[tokio::test]
async fn what_is_no_whole_component_is_refused_before_it_is_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let component = fs::read(guests::minimal()).unwrap();
    let half = &component[..component.len() / 2];
    let error = refused(written(folder.path(), half), json!({})).await;
    assert!(matches!(error, LoadError::Truncated { .. }), "{error}");

    let compiled = compile(&component).unwrap();
    let error = refused(written(folder.path(), &compiled), json!({})).await;
    assert!(matches!(error, LoadError::CompiledCode), "{error}");

    // Whole sections with nonsense within.
    let nonsense = [&component[..], &[1, 3, 0xff, 0xff, 0xff]].concat();
    let error = refused(written(folder.path(), &nonsense), json!({})).await;
    assert!(matches!(error, LoadError::Compile(_)), "{error}");

    let error = refused(folder.path().join("none.wasm"), json!({})).await;
    assert!(matches!(error, LoadError::Read { .. }), "{error}");
}

#[tokio::test]
async fn a_digest_that_does_not_match_is_told_with_both() {
    let source = |digest| ComponentSource::File {
        path: guests::minimal(),
        digest: Some(digest),
    };
    let right = digest(&fs::read(guests::minimal()).unwrap());
    let setup = setup("loading", &json!({}));
    host().load(&source(right), setup.clone()).await.unwrap();
    let error = host().load(&source([0; 32]), setup).await.unwrap_err();
    let told = error.to_string();
    assert!(
        matches!(error, LoadError::Digest { .. }) && told.contains(&"0".repeat(64)),
        "{told}"
    );
}

#[tokio::test]
async fn settings_that_do_not_fit_are_all_told() {
    let error = refused(
        guests::misbehaving(),
        json!({"behaviour": 1, "configure": "maybe", "more": true}),
    )
    .await;
    let LoadError::Settings(problems) = error else {
        panic!("{error}");
    };
    assert_eq!(problems.len(), 3);
}

#[tokio::test]
async fn a_plugin_may_refuse_its_settings_and_must_not_trap_on_them() {
    let error = refused(guests::misbehaving(), json!({"configure": "refuse"})).await;
    assert_eq!(
        error.to_string(),
        "the plugin refuses its settings: these settings are not for me"
    );
    let error = refused(guests::misbehaving(), json!({"configure": "trap"})).await;
    assert!(matches!(error, LoadError::Call(_)), "{error}");
    let error = refused(guests::misbehaving(), json!({"configure": "ask"})).await;
    let LoadError::Call(error) = error else {
        panic!("{error}");
    };
    assert!(
        error
            .to_string()
            .contains("nothing is known of the cluster")
    );
}

#[tokio::test]
async fn a_builtin_plugin_runs_from_what_was_compiled_before() {
    let component: &'static [u8] = fs::read(guests::misbehaving()).unwrap().leak();
    let builtin: &'static BuiltinPlugin = Box::leak(Box::new(BuiltinPlugin {
        name: "misbehaving",
        component_sha256: digest(component),
        component,
        compiled: compile(component).unwrap().leak(),
    }));
    let source = ComponentSource::Builtin(builtin);
    let setup = setup("loading-builtin", &json!({}));
    let generation = host().load(&source, setup).await.unwrap();
    assert_eq!(generation.origin(), &CodeOrigin::Builtin);
    let plugin = Plugin::new(generation);
    assert!(plugin.evaluate(Probe::Readiness, &peers()).await.is_ok());
}

#[tokio::test]
async fn what_the_profile_does_not_grant_is_listed() {
    let mut setup = setup("loading", &json!({}));
    setup.grants.endpoints.clear();
    let generation = load(guests::misbehaving(), setup).await.unwrap();
    assert_eq!(generation.not_granted(), ["endpoint api"]);
}
