//! Any bytes are a review, or are refused; an answer is whole, has the review's uid, and its patch can be
//! applied to the review's pod.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use outrigger_fuzz::{agdb, apply};
use outrigger_injector::review::{Review, answer};
use outrigger_injector::webhook::MemoryCatalog;
use outrigger_injector::{FixedEntropy, Settings};
use serde_json::Value;

static CATALOG: LazyLock<MemoryCatalog> = LazyLock::new(agdb);
static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

fuzz_target!(|body: &[u8]| {
    let Ok(answer) = answer(body, &*CATALOG, &SETTINGS, &FixedEntropy(7)) else {
        return;
    };
    let uid = Review::read(body).unwrap().uid().to_owned();
    let whole: Value = serde_json::from_slice(answer.body()).unwrap();
    let response = &whole["response"];
    assert_eq!(response["uid"], uid.as_str());
    assert!(response["allowed"].is_boolean());
    if let Some(patch) = response["patch"].as_str() {
        assert_eq!(response["allowed"], true);
        // The webhook looks at a few keys of a review; what is no JSON in the others costs nobody anything.
        if let Ok(review) = serde_json::from_slice::<Value>(body) {
            apply(&review["request"]["object"], patch);
        }
    }
});
