//! YAML in and out, as far as goldens need it.

use std::fmt::Write as _;
use std::path::Path;

use outrigger_profile::document::Document;
use serde_json::Value;

/// The one document of a file.
pub(crate) fn read(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents = Document::parse_all(&text, &path.to_string_lossy())
        .unwrap_or_else(|finding| panic!("{finding}"));
    documents[0].to_json()
}

/// Block style, keys in their order.
pub(crate) fn show(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                write!(text, "{indent}{}:", scalar(&Value::String(key.clone()))).unwrap();
                after(text, value, depth);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                if nested(item) {
                    block(&mut inner, item, depth + 1);
                    let inner = inner.trim_start();
                    write!(text, "{indent}- {inner}").unwrap();
                } else {
                    writeln!(text, "{indent}- {}", scalar(item)).unwrap();
                }
            }
        }
        other => writeln!(text, "{indent}{}", scalar(other)).unwrap(),
    }
}

fn after(text: &mut String, value: &Value, depth: usize) {
    if nested(value) {
        text.push('\n');
        block(text, value, depth + 1);
    } else {
        writeln!(text, " {}", scalar(value)).unwrap();
    }
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a text is the same without quotes.
fn plain(text: &str) -> bool {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !words.contains(&text.to_ascii_lowercase().as_str())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._/ ".contains(c))
        && !text.ends_with(' ')
}
