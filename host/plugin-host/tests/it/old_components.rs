//! Components that were built for earlier versions of the border, kept as files: each must load and
//! answer on the present host. See `tests/fixtures/README.md`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outrigger_plugin_host::{Batch, DrainContext, DrainReason, Interface, Next, Plugin, Probe};
use serde_json::json;

use crate::fakes::{load, peers, setup};
use crate::guests;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

#[tokio::test]
async fn the_least_plugin_of_0_1_0_loads() {
    let generation = load(fixture("v0.1.0/minimal.wasm"), setup("old", &json!({})))
        .await
        .unwrap();
    assert_eq!(generation.plugin_name(), "minimal");
}

#[tokio::test]
async fn every_function_of_0_1_0_is_still_spoken() {
    everything(fixture("v0.1.0/everything.wasm")).await;
}

/// The same guest as built now: what will be kept for the next version.
#[tokio::test]
async fn every_function_of_the_present_border_is_spoken() {
    everything(guests::everything()).await;
}

async fn everything(path: PathBuf) {
    let generation = load(path.clone(), setup("old", &json!({}))).await.unwrap();
    assert_eq!(generation.interfaces().len(), Interface::ALL.len());
    let plugin = Plugin::new(generation);
    let peers = peers();
    // The role says that every import did what it should.
    let verdict = plugin.evaluate(Probe::Readiness, &peers).await.unwrap();
    assert_eq!(verdict.role.as_deref(), Some("leader"));
    assert_eq!(plugin.resolve(&peers).await.unwrap().seeds.len(), 3);
    let rendered = plugin.render(&peers, &["/a".into()]).await.unwrap();
    plugin.validate(&peers, &rendered).await.unwrap();
    assert_eq!(plugin.wants().await.unwrap(), ["*"]);
    plugin.derive(&peers, &Batch::default()).await.unwrap();
    let context = DrainContext {
        reason: DrainReason::Manual,
        remaining: Duration::from_secs(1),
        elapsed: Duration::ZERO,
        attempt: 0,
        now: Arc::new(peers),
    };
    assert_eq!(plugin.drain(context).await.unwrap().next, Next::Done);
    // Hands over from itself to itself.
    let next = load(path, setup("old", &json!({}))).await.unwrap();
    plugin.swap(next).await.unwrap();
}
