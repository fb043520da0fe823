//! Any text is read by the SDK's YAML, or refused with a line of it; what was read and is printed is read as the
//! same.
#![no_main]

use std::fmt::Write as _;

use libfuzzer_sys::fuzz_target;
use outrigger_fuzz::lines;
use outrigger_plugin_sdk::yaml::{self, Node, Value};

/// Aliases multiply: what is beyond is not printed.
const PRINTED_MAX: usize = 1 << 20;

/// One line of flow style, with every text in quotes.
fn print(node: &Node, out: &mut String) {
    if out.len() > PRINTED_MAX {
        return;
    }
    match &node.value {
        Value::Scalar { text, .. } => quote(text, out),
        Value::List(items) => {
            out.push('[');
            for item in items {
                print(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for entry in entries {
                out.push_str("? ");
                quote(&entry.key, out);
                out.push_str(" : ");
                print(&entry.node, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c => write!(out, "\\U{:08x}", u32::from(c)).unwrap(),
        }
    }
    out.push('"');
}

fn is_same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Scalar { text: one, .. }, Value::Scalar { text: other, .. }) => one == other,
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Value::Map(one), Value::Map(other)) => {
            let entries = || one.iter().zip(other);
            one.len() == other.len()
                && entries().all(|(a, b)| a.key == b.key && is_same(&a.node, &b.node))
        }
        _ => false,
    }
}

fn within(node: &Node, most: u32) {
    assert!((1..=most).contains(&node.line), "line {}", node.line);
    for entry in node.entries() {
        assert!((1..=most).contains(&entry.line), "line {}", entry.line);
        within(&entry.node, most);
    }
    for item in node.items() {
        within(item, most);
    }
}

fuzz_target!(|text: &str| {
    let root = match yaml::parse(text) {
        Ok(Some(root)) => root,
        Ok(None) => return,
        Err(error) => {
            assert!((1..=lines(text)).contains(&error.line), "{error}");
            return;
        }
    };
    within(&root, lines(text));
    for entry in root.entries() {
        assert_eq!(root.entry(&[&entry.key]), Some(entry));
    }
    let mut printed = String::new();
    print(&root, &mut printed);
    if printed.len() < PRINTED_MAX {
        let _every_one = root.scalars();
        let again = yaml::parse(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        // A text in quotes is one, also where it was nothing without them.
        assert!(
            again.is_some_and(|again| is_same(&root, &again)),
            "{printed}"
        );
    }
});
