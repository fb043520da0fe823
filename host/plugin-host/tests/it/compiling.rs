//! Compiling in the child, and the cache of what it made.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use outrigger_plugin_host::{
    CodeOrigin, CompileError, Compiler, Generation, HostConfig, LoadError, PluginHost,
};
use serde_json::json;

use crate::fakes::{from_file, setup};
use crate::guests;

/// The example of this crate that is its own compile child; cargo builds it beside the tests.
fn child() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let child = folder.join("examples/compile_child");
    assert!(
        child.exists(),
        "build the examples too: cargo test without `--test`, or cargo build --examples"
    );
    child
}

fn host(cache: Option<PathBuf>, command: &[PathBuf]) -> PluginHost {
    PluginHost::new(HostConfig {
        cache_dir: cache,
        compiler: Compiler::Child(command.iter().map(OsString::from).collect()),
    })
    .unwrap()
}

async fn load(host: &PluginHost, path: PathBuf) -> Result<Generation, LoadError> {
    host.load(&from_file(path), setup("compiling", &json!({})))
        .await
}

#[tokio::test]
async fn a_component_is_compiled_by_the_child_once_and_then_found() {
    let folder = tempfile::tempdir().unwrap();
    let first = host(Some(folder.path().into()), &[child()]);
    let generation = load(&first, guests::minimal()).await.unwrap();
    let compiled = |cache_refused| CodeOrigin::Compiled { cache_refused };
    assert_eq!(generation.origin(), &compiled(None));

    // Another process would find it too; a compiler that cannot be run shows that none was.
    let second = host(Some(folder.path().into()), &["/no/such/program".into()]);
    let generation = load(&second, guests::minimal()).await.unwrap();
    assert_eq!(generation.origin(), &CodeOrigin::Cache);

    let entries = fs::read_dir(folder.path()).unwrap();
    let entry = entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some())
        .unwrap();
    let mut bytes = fs::read(&entry).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&entry, bytes).unwrap();
    let generation = load(&first, guests::minimal()).await.unwrap();
    let why = "its tag is wrong: it was changed, or made with another key";
    assert_eq!(generation.origin(), &compiled(Some(why.into())));
    let generation = load(&second, guests::minimal()).await.unwrap();
    assert_eq!(generation.origin(), &CodeOrigin::Cache);
}

#[tokio::test]
async fn the_child_says_what_is_wrong_with_a_component() {
    let folder = tempfile::tempdir().unwrap();
    let component = fs::read(guests::minimal()).unwrap();
    let path = folder.path().join("plugin.wasm");
    fs::write(&path, [&component[..], &[1, 3, 0xff, 0xff, 0xff]].concat()).unwrap();
    let error = load(&host(None, &[child()]), path).await.unwrap_err();
    let LoadError::Compile(CompileError::Invalid(message)) = error else {
        panic!("{error:?}");
    };
    assert!(message.contains("failed to parse"), "{message}");
}

#[tokio::test]
async fn without_a_cache_each_load_compiles() {
    let host = host(None, &[child()]);
    for _ in 0..2 {
        let generation = load(&host, guests::minimal()).await.unwrap();
        assert!(matches!(generation.origin(), CodeOrigin::Compiled { .. }));
    }
}
