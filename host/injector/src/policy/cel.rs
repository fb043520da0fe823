//! JSON as expressions of the Common Expression Language.

use serde_json::Value;

/// A text. The escapes of JSON are CEL's too.
pub(super) fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// Expressions as a list, one on each line.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("  {item}")).collect();
    format!("[\n{}\n]", items.join(",\n"))
}

/// A value. API servers take lists and maps of one type alone, so that each element stands as any type.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(string) => text(string),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(any).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", text(key), any(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn any(item: &Value) -> String {
    format!("dyn({})", value(item))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::value;

    #[test]
    fn every_element_stands_as_any_type() {
        let json = json!({"a": [1, "two \"quoted\"\n"], "b": {}, "c": true, "d": null});
        assert_eq!(
            value(&json),
            r#"{"a": dyn([dyn(1), dyn("two \"quoted\"\n")]), "b": dyn({}), "c": dyn(true), "d": dyn(null)}"#
        );
    }
}
