//! What an edit leaves as it was, and what taking it out gives back.

use std::fmt::Write as _;

use json_patch::{Patch, PatchOperation};
use outrigger_profile::document::Document;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn operations(value: Value) -> Vec<PatchOperation> {
    serde_json::from_value::<Patch>(value).unwrap().0
}

fn edit(text: &str, prefix: &str, value: Value) -> Result<String, EditError> {
    let mut editor = Editor::new(text);
    let line = Document::parse_all(text, "a.yaml")
        .ok()
        .and_then(|documents| Some(documents.first()?.line()));
    for operation in operations(value) {
        editor.apply(line.unwrap_or(1), prefix, &operation)?;
    }
    Ok(editor.into_text())
}

fn value(text: &str) -> Value {
    Document::parse_all(text, "a.yaml").unwrap()[0].to_json()
}

const POD: &str = r#"# A pod.
metadata:
  name: db-0   # the first
  labels: {app: db}
spec:
  # What comes before it.
  initContainers:
  # Fixes ownership.
  - name: fix
    command: ["sh", '-c', "x"]   # as it was

  containers:
    - name: db
      env:
        - {name: A, value: "1"}
      volumeMounts: []
# The end.
"#;

#[test]
fn what_is_added_stands_where_it_belongs_and_all_else_as_it_was() {
    let edited = edit(
        POD,
        "",
        json!([
            {"op": "add", "path": "/metadata/annotations", "value": {"outrigger.dev/status": "{\"a\":1}"}},
            {"op": "add", "path": "/metadata/labels/role", "value": "x y"},
            {"op": "add", "path": "/spec/initContainers/0", "value": {"name": "outrigger", "args": ["sidecar"], "env": [{"name": "N", "value": "3"}], "securityContext": {}}},
            {"op": "add", "path": "/spec/containers/0/volumeMounts/-", "value": {"name": "f", "mountPath": "/run/f"}},
            {"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "B", "value": "true"}},
            {"op": "add", "path": "/spec/volumes", "value": [{"name": "f", "emptyDir": {"medium": "Memory"}}]},
        ]),
    )
    .unwrap();
    insta::assert_snapshot!(edited);
}

#[test]
fn a_text_without_a_last_line_end_keeps_being_one() {
    let edited = edit(
        "a: 1",
        "",
        json!([{"op": "add", "path": "/b", "value": {"c": 2}}]),
    )
    .unwrap();
    assert_eq!(edited, "a: 1\nb:\n  c: 2");
    let back = edit(&edited, "", json!([{"op": "remove", "path": "/b"}])).unwrap();
    assert_eq!(back, "a: 1");
}

#[test]
fn line_ends_of_another_system_are_kept() {
    let edited = edit(
        "a: 1\r\nb: [x]\r\n",
        "",
        json!([{"op": "add", "path": "/c", "value": [1]}, {"op": "add", "path": "/b/0", "value": "w"}]),
    )
    .unwrap();
    assert_eq!(edited, "a: 1\r\nb: [w, x]\r\nc:\r\n  - 1\r\n");
}

#[test]
fn what_is_replaced_leaves_its_neighbours() {
    let text = "a:\n  b: 1 # one\n  c: [1, {d: 2}]\ne:\n- x: 1\n  y: 2\n- z\n";
    let edited = edit(
        text,
        "/a",
        json!([
            {"op": "replace", "path": "/b", "value": "two"},
            {"op": "replace", "path": "/c/1/d", "value": {"e": [true]}},
        ]),
    )
    .unwrap();
    assert_eq!(
        edited,
        "a:\n  b: two # one\n  c: [1, {d: {e: [true]}}]\ne:\n- x: 1\n  y: 2\n- z\n"
    );
    let edited = edit(
        text,
        "",
        json!([
            {"op": "replace", "path": "/e/0", "value": {"q": {"m": 1}}},
            {"op": "replace", "path": "/a", "value": {"p": 1}},
        ]),
    )
    .unwrap();
    assert_eq!(edited, "a:\n  p: 1\ne:\n- q:\n    m: 1\n- z\n");
}

#[test]
fn a_block_of_text_at_the_end_of_a_mapping_stays_whole() {
    let text = "a:\n  s: |\n    one\n    two\n# about b\nb: 1\n";
    let edited = edit(text, "", json!([{"op": "add", "path": "/a/t", "value": 1}])).unwrap();
    assert_eq!(
        value(&edited),
        json!({"a": {"s": "one\ntwo\n", "t": 1}, "b": 1})
    );
    let back = edit(&edited, "", json!([{"op": "remove", "path": "/a/t"}])).unwrap();
    assert_eq!(back, text);
}

#[test]
fn an_alias_is_not_edited_through() {
    let text = "a: &x\n  b: 1\nc: *x\n";
    let error = edit(text, "", json!([{"op": "add", "path": "/c/d", "value": 1}])).unwrap_err();
    insta::assert_snapshot!(error, @"line 3: an alias stands here, and editing it would change what it refers to; write it out");
}

#[test]
fn a_place_that_is_not_there_is_named() {
    let error = edit("a: 1\n", "", json!([{"op": "remove", "path": "/b/c"}])).unwrap_err();
    insta::assert_snapshot!(error, @"there is no /b/c to edit");
    let error = edit("a: [1, 2\n", "", json!([{"op": "remove", "path": "/b"}])).unwrap_err();
    assert!(matches!(error, EditError::Syntax { .. }), "{error}");
}

#[test]
fn each_document_is_edited_by_itself() {
    let mut editor = Editor::new("a: 1\n---\nb: 1\n---\n# third\nc: 1\n");
    let [add] = operations(json!([{"op": "add", "path": "/m", "value": "v"}]))
        .try_into()
        .unwrap();
    editor.apply(3, "", &add).unwrap();
    assert_eq!(
        editor.into_text(),
        "a: 1\n---\nb: 1\nm: v\n---\n# third\nc: 1\n"
    );
}

/// YAML in many ways of writing it.
fn written(value: &Value, style: &mut dyn FnMut(u8) -> u8, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() && (indent == 0 || style(4) > 0) => {
            for (key, value) in map {
                if style(5) == 0 {
                    writeln!(text, "{pad}# about {key}").unwrap();
                }
                write!(text, "{pad}{key}:").unwrap();
                below(value, style, indent, text);
                if style(7) == 0 {
                    text.push('\n');
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                if style(5) == 0 {
                    writeln!(text, "{pad}# an element").unwrap();
                }
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        let mut inner = String::new();
                        written(
                            item,
                            &mut |most| most.saturating_sub(1),
                            indent + 2,
                            &mut inner,
                        );
                        write!(text, "{pad}- {}", inner.trim_start()).unwrap();
                    }
                    other => writeln!(text, "{pad}- {other}").unwrap(),
                }
            }
        }
        other => writeln!(text, "{pad}{other}").unwrap(),
    }
}

fn below(value: &Value, style: &mut dyn FnMut(u8) -> u8, indent: usize, text: &mut String) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested && style(3) > 0 {
        text.push_str(if style(4) == 0 { "  # why\n" } else { "\n" });
        let deeper = if value.is_array() && style(2) == 0 {
            indent
        } else {
            indent + 2
        };
        written(value, style, deeper, text);
    } else {
        write!(text, " {value}").unwrap();
        text.push_str(if style(4) == 0 { "  # why\n" } else { "\n" });
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i16>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-zé #:'\"\\-\\\\]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-e]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Each collection of a value: a JSON pointer, and how many elements there are (none for a mapping).
fn collections(value: &Value, at: &str, found: &mut Vec<(String, Option<usize>)>) {
    match value {
        Value::Object(map) => {
            found.push((at.to_owned(), None));
            map.iter()
                .for_each(|(key, value)| collections(value, &format!("{at}/{key}"), found));
        }
        Value::Array(items) => {
            found.push((at.to_owned(), Some(items.len())));
            (0..).zip(items).for_each(|(index, value): (usize, _)| {
                collections(value, &format!("{at}/{index}"), found);
            });
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_put_in_is_there_and_taking_it_out_gives_back_the_same_bytes(
        root in prop::collection::btree_map("[a-e]", any_value(), 1..4),
        new in any_value(),
        seed in any::<u64>(),
        choice in any::<prop::sample::Index>(),
        at_end in any::<bool>(),
        cut in any::<bool>(),
    ) {
        let root = Value::Object(root.into_iter().collect());
        let mut state = seed | 1;
        let mut style = |most: u8| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u8::try_from(state % u64::from(most.max(1))).unwrap()
        };
        let mut text = String::new();
        written(&root, &mut style, 0, &mut text);
        if cut {
            text.truncate(text.trim_end().len());
        }
        prop_assert_eq!(&value(&text), &root, "{}", text);
        let mut places = Vec::new();
        collections(&root, "", &mut places);
        let (parent, length) = choice.get(&places);
        let (add, remove) = match length {
            None => (format!("{parent}/z"), format!("{parent}/z")),
            Some(length) if at_end => (format!("{parent}/-"), format!("{parent}/{length}")),
            Some(_) => (format!("{parent}/0"), format!("{parent}/0")),
        };
        let operation = json!([{"op": "add", "path": add, "value": new}]);
        let edited = edit(&text, "", operation.clone()).unwrap();
        let mut expected = root.clone();
        json_patch::patch(&mut expected, &operations(operation)).unwrap();
        prop_assert_eq!(value(&edited), expected, "{}\n=>\n{}", text, edited);
        let back = edit(&edited, "", json!([{"op": "remove", "path": remove}])).unwrap();
        prop_assert_eq!(back, text);
    }

    #[test]
    fn any_text_is_edited_or_refused(text in "[a-c:{}\\[\\],&*!|>#'\" \n-]{0,60}") {
        let operation = json!([{"op": "add", "path": "/a/0", "value": {"n": [1]}}]);
        // Either is fine; a panic is not.
        let _outcome = edit(&text, "", operation);
    }
}
