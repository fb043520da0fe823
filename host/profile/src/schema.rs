//! The JSON schema of the profile, from the types that read it.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::raw;

/// The JSON schema of a profile, draft 2020-12, for editors and for the structural check.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<raw::Root>()
        .to_value();
    tidy(&mut schema);
    schema
}

/// Takes the line breaks of doc comments out of the descriptions.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
