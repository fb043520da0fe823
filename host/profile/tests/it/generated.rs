//! What is generated from the types stands in the tree as it would be generated now.

use crate::{golden, here};

#[test]
fn the_stored_schema_is_that_of_the_types() {
    let mut text = serde_json::to_string_pretty(&outrigger_profile::schema()).unwrap();
    text.push('\n');
    golden(&here("profile.schema.json"), &text).unwrap_or_else(|difference| panic!("{difference}"));
}

#[test]
fn the_stored_reference_is_that_of_the_types() {
    let text = outrigger_profile::reference();
    golden(&here("PROFILE.md"), &text).unwrap_or_else(|difference| panic!("{difference}"));
}

#[test]
fn every_key_of_the_schema_has_a_description() {
    fn missing(schema: &serde_json::Value, at: &str, found: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) {
            for (key, inner) in properties {
                if inner.get("description").is_none() {
                    found.push(format!("{at}.{key}"));
                }
                missing(inner, &format!("{at}.{key}"), found);
            }
        }
    }
    let schema = outrigger_profile::schema();
    let mut found = Vec::new();
    missing(&schema, "", &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        missing(definition, name, &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}
