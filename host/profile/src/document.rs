//! YAML with positions: what a file says and on which line, for profiles and for manifests.
//!
//! Scalars are read by YAML 1.2's core schema, with one exception: a plain number with a leading
//! zero (`0644`) is octal, as Kubernetes reads it.

pub mod path;
mod reader;
mod syntax_error;

use crate::{Finding, Findings};

/// One document of a YAML text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    file: String,
    root: Node,
}

/// A value and the line where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// From 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number {
        /// As it stands in the text.
        text: String,
        /// As it was understood.
        number: serde_json::Number,
    },
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the text; keys are unique.
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key; numbers and words such as `true` are taken as they are written.
    pub key: String,
    /// The line of the key, from 1.
    pub line: usize,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value of a key, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The text, where this is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number { number, .. } => number.clone().into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect(),
            ),
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }
}

impl Document {
    /// All documents of a text, in order; empty ones are left out. `file` is how the user named
    /// the file, for the findings.
    ///
    /// # Errors
    /// The first thing that makes the text unreadable: its syntax, a key that stands twice, or one
    /// of [`crate::limits`].
    pub fn parse_all(text: &str, file: &str) -> Result<Vec<Self>, Finding> {
        let (documents, findings) = Self::read_all(text, file);
        match findings.0.into_iter().next() {
            Some(first) => Err(first),
            None => Ok(documents),
        }
    }

    /// As [`Self::parse_all`], with everything that is wrong; where the syntax permits, the
    /// documents come all the same (of a key that stands twice, the first counts).
    pub fn read_all(text: &str, file: &str) -> (Vec<Self>, Findings) {
        let (roots, findings) = reader::read(text);
        let documents = roots
            .into_iter()
            .map(|root| Self {
                file: file.to_owned(),
                root,
            })
            .collect();
        let findings = findings
            .into_iter()
            .map(|finding| finding.in_file(file))
            .collect();
        (documents, Findings(findings))
    }

    /// The file, as the user named it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The outermost value.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The line where the document begins, from 1.
    pub fn line(&self) -> usize {
        self.root.line
    }

    /// The whole document as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        self.root.to_json()
    }

    /// The line of a place such as `spec.files[0].path`: that of its key, or of the list's item.
    /// For a place that is not there, the line of the nearest one around it.
    pub fn line_of(&self, path: &str) -> usize {
        let mut node = &self.root;
        let mut line = node.line;
        for step in path::steps(path) {
            let next = match (&step, &node.value) {
                (path::Step::Key(key), Value::Map(_)) => {
                    node.entry(key).map(|entry| (entry.line, &entry.node))
                }
                (path::Step::Item(index), Value::List(items)) => {
                    items.get(*index).map(|item| (item.line, item))
                }
                _ => None,
            };
            let Some((found, inner)) = next else { break };
            line = found;
            node = inner;
        }
        line
    }

    /// A finding with this document's file and the line of the finding's path.
    #[must_use]
    pub fn locate(&self, finding: Finding) -> Finding {
        let line = self.line_of(&finding.path);
        finding.at_line(line).in_file(self.file.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    fn one(text: &str) -> Document {
        let mut all = Document::parse_all(text, "f.yaml").unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn problem(text: &str) -> (usize, String) {
        let finding = Document::parse_all(text, "f.yaml").unwrap_err();
        (finding.line, finding.problem)
    }

    #[test]
    fn a_document_becomes_json_with_octal_numbers_as_kubernetes_reads_them() {
        let json =
            one("a: 0644\nb: '0644'\nc: 1.5\nd: yes\ne: true\nf:\ng: [1, {h: x}]\n10: ten\n")
                .to_json();
        assert_eq!(
            json,
            serde_json::json!({
                "a": 420, "b": "0644", "c": 1.5, "d": "yes", "e": true, "f": null,
                "g": [1, {"h": "x"}], "10": "ten"
            })
        );
    }

    #[test]
    fn lines_are_those_of_keys_and_items() {
        let document = one("# first\nspec:\n  files:\n    - path: /a\n    -\n      path: /b\n");
        let table = [
            ("", 2),
            ("spec", 2),
            ("spec.files", 3),
            ("spec.files[0]", 4),
            ("spec.files[0].path", 4),
            ("spec.files[1].path", 6),
            ("spec.files[1].mode", 6),
            ("spec.nothing.here", 2),
        ];
        for (path, line) in table {
            assert_eq!(document.line_of(path), line, "{path}");
        }
    }

    #[test]
    fn several_documents_come_in_order_without_the_empty_ones() {
        let all =
            Document::parse_all("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n", "").unwrap();
        let seen: Vec<_> = all.iter().map(|d| (d.line(), d.to_json())).collect();
        assert_eq!(
            seen,
            [
                (4, serde_json::json!({"a": 1})),
                (7, serde_json::json!({"b": 2}))
            ]
        );
        assert_eq!(Document::parse_all("", "").unwrap(), []);
    }

    #[test]
    fn aliases_and_merge_keys_repeat_what_was_anchored() {
        let json = one("base: &b {x: 1, y: 2}\nuse: *b\nmore:\n  <<: *b\n  y: 3\n").to_json();
        assert_eq!(
            json,
            serde_json::json!({
                "base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 2}, "more": {"y": 3, "x": 1}
            })
        );
    }

    #[test]
    fn every_key_that_stands_twice_is_named_with_both_lines() {
        let (_, findings) = Document::read_all("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "f.yaml");
        let told: Vec<String> = findings.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "error: f.yaml:4: b.c: this key stands twice, first on line 3\n  hint: remove one of the two",
                "error: f.yaml:5: a: this key stands twice, first on line 1\n  hint: remove one of the two",
            ]
        );
    }

    #[test]
    fn hostile_documents_meet_a_limit() {
        let mut laughs = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned()];
        for level in 1..12 {
            let nine = [format!("*a{}", level - 1).as_str(); 9].join(", ");
            laughs.push(format!("a{level}: &a{level} [{nine}]"));
        }
        let laughs = laughs.join("\n");
        let long = format!(
            "a: &a {}\nb: [{}]\n",
            "x".repeat(300_000),
            ["*a"; 9].join(", ")
        );
        let table = [
            (laughs, "aliases repeat more than 200000 values"),
            (long, "aliases repeat more than 1048576 bytes"),
            ("- ".repeat(20_000), "more than 48 levels of nesting"),
            ("[".repeat(20_000), "more than 48 levels of nesting"),
            (
                "a: b\n".repeat(2_000_000),
                "the text has more than 8388608 bytes",
            ),
            (
                "[".to_owned() + &"1,".repeat(limits::NODES + 1),
                "more than 200000 values",
            ),
            (
                "a: &a [*a]".to_owned(),
                "an alias stands inside of what it repeats",
            ),
            (
                "{a: 1}: 2".to_owned(),
                "a key must be a word, not a list or a mapping",
            ),
            (
                "a: !secret x".to_owned(),
                "the tag `!secret` is not understood",
            ),
        ];
        for (text, expected) in table {
            let (_, problem) = problem(&text);
            assert_eq!(problem, expected);
        }
    }
}
