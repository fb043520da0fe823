//! The SDK's JSON takes what serde takes and reads the same from it, as deep as it goes; what it prints it reads
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_plugin_sdk::json::{self, Value};
use serde_json::Value as Theirs;

/// How deep the SDK's values may nest.
const DEPTH_MAX: usize = 64;

fn depth(value: &Theirs) -> usize {
    match value {
        Theirs::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Theirs::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn is_same(ours: &Value, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (Value::Null, Theirs::Null) => true,
        (Value::Bool(ours), Theirs::Bool(theirs)) => ours == theirs,
        (Value::Number(digits), Theirs::Number(theirs)) => {
            let (ours, theirs) = (digits.parse::<f64>().unwrap(), theirs.as_f64().unwrap());
            (ours - theirs).abs() <= theirs.abs() * 1e-12
        }
        (Value::Text(ours), Theirs::String(theirs)) => ours == theirs,
        (Value::List(ours), Theirs::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(o, t)| is_same(o, t))
        }
        (Value::Object(fields), Theirs::Object(theirs)) => {
            fields.iter().all(|(key, _)| theirs.contains_key(key))
                && theirs
                    .iter()
                    .all(|(key, t)| ours.get(key).is_some_and(|o| is_same(o, t)))
        }
        _ => false,
    }
}

fuzz_target!(|text: &str| {
    match (json::value(text), serde_json::from_str::<Theirs>(text)) {
        (Ok(ours), Ok(theirs)) => assert!(is_same(&ours, &theirs), "{ours} {theirs}"),
        (Ok(_), Err(error)) => {
            assert!(error.to_string().contains("number out of range"), "{error}");
        }
        (Err(error), Ok(theirs)) => assert!(depth(&theirs) >= DEPTH_MAX, "{error}"),
        (Err(_), Err(_)) => {}
    }
    if let Ok(value) = json::value(text) {
        assert_eq!(json::value(&value.to_string()).as_ref(), Ok(&value));
    }
});
