//! Values as YAML text.

use serde_json::{Map, Value};

/// Words that a reader of YAML takes for something other than text.
const NOT_TEXT: &[&str] = &[
    "true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", ".inf", ".nan", "-.inf",
];

/// `key: value` at an indentation, in block style, with a line end after each line.
pub(super) fn entry(key: &str, value: &Value, indent: usize, line_end: &str) -> String {
    let mut text = String::new();
    put_entry(&mut text, key, value, indent, line_end);
    text
}

/// `- value` at an indentation, in block style, with a line end after each line.
pub(super) fn item(value: &Value, indent: usize, line_end: &str) -> String {
    let mut text = String::new();
    put_item(&mut text, value, indent, line_end);
    text
}

/// `key: value` on one line, for flow collections.
pub(super) fn flow_entry(key: &str, value: &Value) -> String {
    format!("{}: {}", scalar_text(key, true), flow(value))
}

/// A value on one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| flow_entry(k, v)).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => scalar_text(text, true),
        other => other.to_string(),
    }
}

fn put_entry(text: &mut String, key: &str, value: &Value, indent: usize, line_end: &str) {
    pad(text, indent);
    put_keyed(text, key, value, indent, line_end);
}

/// The same without the indentation of its first line.
fn put_keyed(text: &mut String, key: &str, value: &Value, indent: usize, line_end: &str) {
    text.push_str(&scalar_text(key, false));
    text.push(':');
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push_str(line_end);
            for (key, value) in map {
                put_entry(text, key, value, indent + 2, line_end);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            text.push_str(line_end);
            for value in items {
                put_item(text, value, indent + 2, line_end);
            }
        }
        Value::Null => text.push_str(line_end),
        other => {
            text.push(' ');
            text.push_str(&line(other));
            text.push_str(line_end);
        }
    }
}

fn put_item(text: &mut String, value: &Value, indent: usize, line_end: &str) {
    pad(text, indent);
    text.push_str("- ");
    match value {
        Value::Object(map) if !map.is_empty() => put_fields(text, map, indent + 2, line_end),
        other => {
            text.push_str(&line(other));
            text.push_str(line_end);
        }
    }
}

/// The entries of a mapping that begins behind a dash.
fn put_fields(text: &mut String, map: &Map<String, Value>, indent: usize, line_end: &str) {
    for (place, (key, value)) in map.iter().enumerate() {
        if place > 0 {
            pad(text, indent);
        }
        put_keyed(text, key, value, indent, line_end);
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn line(value: &Value) -> String {
    match value {
        Value::String(text) => scalar_text(text, false),
        other => flow(other),
    }
}

/// Text as it stands where no reader can take it for anything else; otherwise in the quotes that leave
/// it readable, as in JSON where it needs escapes.
fn scalar_text(text: &str, in_flow: bool) -> String {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-./+=@%$()".contains(c) || (c == ':' && !in_flow))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(':')
        && !NOT_TEXT.contains(&text.to_ascii_lowercase().as_str());
    let holds_quotes = text.contains(['"', '\\']) && !text.contains('\'');
    if plain {
        text.to_owned()
    } else if holds_quotes && text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        format!("'{text}'")
    } else {
        Value::from(text).to_string()
    }
}
