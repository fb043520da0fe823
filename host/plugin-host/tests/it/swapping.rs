//! From one generation to the next and back.

use std::path::PathBuf;
use std::sync::Arc;

use outrigger_plugin_host::{
    CallErrorKind, Generation, Interface, Plugin, Probe, StateStore, SwapError,
};
use serde_json::{Value, json};

use crate::fakes::{load, peers, setup};
use crate::guests;

async fn generation(settings: Value, state: &Arc<StateStore>) -> Generation {
    let mut setup = setup("swapping", &settings);
    setup.state = Arc::clone(state);
    load(guests::misbehaving(), setup).await.unwrap()
}

async fn plugin(state: &Arc<StateStore>) -> Plugin {
    let plugin = Plugin::new(generation(json!({}), state).await);
    plugin.evaluate(Probe::Readiness, &peers()).await.unwrap();
    plugin
}

async fn message(plugin: &Plugin) -> String {
    let verdict = plugin.evaluate(Probe::Readiness, &peers()).await.unwrap();
    verdict.reasons[0].message.clone()
}

#[tokio::test]
async fn a_new_generation_takes_over_what_the_old_one_hands_over() {
    let state = Arc::new(StateStore::in_memory());
    let plugin = plugin(&state).await;
    let next = json!({"version": "0.2.0", "behaviour": "many-requests"});
    plugin.swap(generation(next, &state).await).await.unwrap();
    assert_eq!(message(&plugin).await, "40 of 40 answered");
    assert_eq!(state.get("restored").unwrap(), b"0.1.0: from before");
    let info = plugin.info();
    assert_eq!((info.generation, info.version.as_str()), (2, "0.2.0"));

    assert!(plugin.roll_back());
    assert_eq!(message(&plugin).await, "well");
    assert_eq!(plugin.info().generation, 1);
    assert!(!plugin.roll_back(), "there is one way back only");
    plugin
        .swap(generation(json!({}), &state).await)
        .await
        .unwrap();
    assert_eq!(plugin.info().generation, 3);
}

#[tokio::test]
async fn what_returns_is_the_last_generation_that_was_settled() {
    let state = Arc::new(StateStore::in_memory());
    let plugin = plugin(&state).await;
    for version in ["0.2.0", "0.3.0"] {
        let next = generation(json!({"version": version}), &state).await;
        plugin.swap(next).await.unwrap();
    }
    assert!(plugin.roll_back());
    assert_eq!(plugin.info().generation, 1, "neither of both was settled");
    let next = generation(json!({"version": "0.4.0"}), &state).await;
    plugin.swap(next).await.unwrap();
    plugin.settle().await;
    assert!(!plugin.roll_back(), "the one before was let go");
    assert_eq!(plugin.info().version, "0.4.0");
}

#[tokio::test]
async fn a_generation_that_fails_its_trial_or_refuses_is_not_let_in() {
    let state = Arc::new(StateStore::in_memory());
    let plugin = plugin(&state).await;
    let swap = async |settings: Value| {
        let next = generation(settings, &state).await;
        plugin.swap(next).await.unwrap_err()
    };
    let error = swap(json!({"behaviour": "trap"})).await;
    assert!(
        matches!(&error, SwapError::Trial(error) if matches!(error.kind, CallErrorKind::Trap(_))),
        "{error:?}"
    );
    let error = swap(json!({"handover": "refuse"})).await;
    assert!(
        matches!(&error, SwapError::Restore(error) if matches!(error.kind, CallErrorKind::Failure(_))),
        "{error:?}"
    );
    let error = swap(json!({"handover": "trap"})).await;
    assert!(matches!(error, SwapError::Restore(_)), "{error:?}");
    let error = swap(json!({"name": "another"})).await;
    assert_eq!(
        error.to_string(),
        "the new component is the plugin `another`, the old one is `misbehaving`"
    );
    assert_eq!(plugin.info().generation, 1);
    assert_eq!(message(&plugin).await, "well");
}

#[tokio::test]
async fn a_generation_whose_answer_is_a_failure_is_let_in() {
    let state = Arc::new(StateStore::in_memory());
    let plugin = plugin(&state).await;
    let next = generation(json!({"behaviour": "failure"}), &state).await;
    plugin.swap(next).await.unwrap();
    assert_eq!(plugin.info().generation, 2);
}

#[tokio::test]
async fn a_generation_that_lacks_an_interface_is_not_let_in() {
    let state = Arc::new(StateStore::in_memory());
    let plugin = plugin(&state).await;
    let path: PathBuf = guests::minimal();
    let mut minimal = load(path, setup("swapping", &json!({}))).await.unwrap();
    assert_eq!(minimal.plugin_name(), "minimal");
    let error = plugin.swap(minimal).await.unwrap_err();
    assert!(matches!(error, SwapError::OtherPlugin { .. }), "{error}");
    // Under the same name it is the interfaces that count.
    minimal = load(guests::std(), setup("swapping", &json!({})))
        .await
        .unwrap();
    let health_only = Plugin::new(minimal);
    assert!(health_only.exports(Interface::Health));
    assert!(!health_only.exports(Interface::Metrics));
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_generation_on_which_it_began() {
    let state = Arc::new(StateStore::in_memory());
    let plugin = Plugin::new(generation(json!({"behaviour": "loop"}), &state).await);
    let peers = peers();
    let old = plugin.evaluate(Probe::Readiness, &peers);
    tokio::pin!(old);
    // The call is on its way once it has been polled.
    let began = futures_util::poll!(&mut old);
    assert!(began.is_pending());
    plugin
        .swap(generation(json!({}), &state).await)
        .await
        .unwrap();
    assert_eq!(message(&plugin).await, "well");
    let error = old.await.unwrap_err();
    assert!(
        matches!(error.kind, CallErrorKind::CpuDeadline(_)),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_swap_clears_the_faults_of_the_generation_before() {
    let state = Arc::new(StateStore::in_memory());
    let plugin = Plugin::new(generation(json!({"behaviour": "trap"}), &state).await);
    for _ in 0..3 {
        assert!(plugin.resolve(&peers()).await.is_err());
    }
    assert!(plugin.info().quarantined_ms.is_some());
    plugin
        .swap(generation(json!({}), &state).await)
        .await
        .unwrap();
    assert!(plugin.resolve(&peers()).await.is_ok());
}
