//! From the parser's events to nodes, within limits.
//!
//! The events are pulled one at a time, so that a limit ends the reading where it is reached, and
//! nothing here recurses deeper than [`limits::DEPTH`].

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr::Scalar;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{Entry, Node, Value, path, syntax_error};
use crate::{Finding, limits};

/// The roots of all documents that are not empty, and what is wrong with the text. After an error
/// of syntax or of a limit there are no roots.
pub(super) fn read(text: &str) -> (Vec<Node>, Vec<Finding>) {
    let mut reader = Reader::default();
    match reader.run(text) {
        Ok(()) => (reader.roots, reader.findings),
        Err(fatal) => {
            // Keys that stood twice before it are told too.
            reader.findings.push(fatal);
            (Vec::new(), reader.findings)
        }
    }
}

/// A list or mapping whose end has not come.
struct Open {
    line: usize,
    anchor: usize,
    children: Children,
}

enum Children {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        /// Where each key stands, for mappings of thousands of keys.
        lines: HashMap<String, usize>,
        /// The key whose value comes next; `merge` for a plain `<<`.
        pending: Option<Key>,
        merges: Vec<Node>,
    },
}

struct Key {
    text: String,
    line: usize,
    merge: bool,
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    alias_bytes: usize,
    roots: Vec<Node>,
    findings: Vec<Finding>,
}

impl Reader {
    fn run(&mut self, text: &str) -> Result<(), Finding> {
        if text.len() > limits::DOCUMENT_BYTES {
            return Err(Finding::error(
                "",
                format!("the text has more than {} bytes", limits::DOCUMENT_BYTES),
            ));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().count().max(1);
        let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| syntax_error::explain(&error, text))?;
            self.event(event, span, lines)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span, lines: usize) -> Result<(), Finding> {
        let line = span.start.line().clamp(1, lines);
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), line);
                self.push(line, anchor, Children::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), line);
                let children = Children::Map {
                    entries: Vec::new(),
                    lines: HashMap::new(),
                    pending: None,
                    merges: Vec::new(),
                };
                self.push(line, anchor, children)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag.as_deref(), line);
                self.count(1, line)?;
                if self.wants_key() {
                    return self.key(&text, style, line);
                }
                let value = scalar(text, style, tag.as_ref());
                self.add(Node { line, value }, anchor)
            }
            Event::Alias(id) => self.alias(id, line),
        }
    }

    /// Whether the next node is a key of the innermost mapping.
    fn wants_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                children: Children::Map { pending: None, .. },
                ..
            })
        )
    }

    fn push(&mut self, line: usize, anchor: usize, children: Children) -> Result<(), Finding> {
        if self.wants_key() {
            return Err(complex_key(self.path(), line));
        }
        self.count(1, line)?;
        if self.open.len() >= limits::DEPTH {
            return Err(too_deep(line));
        }
        self.open.push(Open {
            line,
            anchor,
            children,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Finding> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let line = open.line;
        let value = match open.children {
            Children::List(items) => Value::List(items),
            Children::Map {
                mut entries,
                mut lines,
                merges,
                ..
            } => {
                for merged in merges {
                    let Value::Map(more) = merged.value else {
                        continue;
                    };
                    for entry in more {
                        if !lines.contains_key(&entry.key) {
                            lines.insert(entry.key.clone(), entry.line);
                            entries.push(entry);
                        }
                    }
                }
                Value::Map(entries)
            }
        };
        self.add(Node { line, value }, open.anchor)
    }

    fn key(&mut self, text: &str, style: ScalarStyle, line: usize) -> Result<(), Finding> {
        let plain = style == ScalarStyle::Plain;
        if text.is_empty() && plain {
            return Err(
                Finding::error(self.path(), "a key is missing before the colon").at_line(line),
            );
        }
        if let Some(Open {
            children: Children::Map { pending, .. },
            ..
        }) = self.open.last_mut()
        {
            *pending = Some(Key {
                text: text.to_owned(),
                line,
                merge: plain && text == "<<",
            });
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, line: usize) -> Result<(), Finding> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(
                Finding::error(self.path(), "an alias stands inside of what it repeats")
                    .at_line(line),
            );
        };
        let size = Size::of(node);
        if self.wants_key() {
            let Value::Text(text) = &node.value else {
                return Err(complex_key(self.path(), line));
            };
            let text = text.clone();
            return self.key(&text, ScalarStyle::DoubleQuoted, line);
        }
        if self.open.len() + size.depth > limits::DEPTH {
            return Err(too_deep(line));
        }
        self.repeat(size, line)?;
        let mut node = self.anchors.get(&id).cloned().unwrap_or(Node {
            line,
            value: Value::Null,
        });
        node.line = line;
        self.add(node, 0)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Finding> {
        if anchor > 0 {
            self.repeat(Size::of(&node), node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        let parent = self.path();
        let Some(open) = self.open.last_mut() else {
            if node.value != Value::Null {
                self.roots.push(node);
            }
            // Anchors end with their document.
            self.anchors.clear();
            return Ok(());
        };
        match &mut open.children {
            Children::List(items) => items.push(node),
            Children::Map {
                entries,
                lines,
                pending,
                merges,
            } => {
                let Some(key) = pending.take() else {
                    return Err(complex_key(parent, node.line));
                };
                if key.merge {
                    match node.value {
                        Value::List(items) => merges.extend(items),
                        _ => merges.push(node),
                    }
                } else if let Some(first) = lines.get(&key.text) {
                    let problem = format!("this key stands twice, first on line {first}");
                    self.findings.push(
                        // The path already ends with this key, which was pending.
                        Finding::error(parent, problem)
                            .hint("remove one of the two")
                            .at_line(key.line),
                    );
                } else {
                    lines.insert(key.text.clone(), key.line);
                    entries.push(Entry {
                        key: key.text,
                        line: key.line,
                        node,
                    });
                }
            }
        }
        Ok(())
    }

    /// The place that is being read.
    fn path(&self) -> String {
        self.open
            .iter()
            .fold(String::new(), |at, open| match &open.children {
                Children::List(items) => path::item(&at, items.len()),
                Children::Map { pending, .. } => match pending {
                    Some(next) => path::key(&at, &next.text),
                    None => at,
                },
            })
    }

    fn tag(&mut self, tag: Option<&Tag>, line: usize) {
        let Some(tag) = tag else { return };
        if !(tag.is_yaml_core_schema() || tag.handle.is_empty() && tag.suffix == "!") {
            let problem = format!("the tag `{}{}` is not understood", tag.handle, tag.suffix);
            self.findings.push(
                Finding::error(self.path(), problem)
                    .hint("remove it, or quote the value if it begins with an exclamation mark")
                    .at_line(line),
            );
        }
    }

    fn count(&mut self, more: usize, line: usize) -> Result<(), Finding> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > limits::NODES {
            let problem = format!("more than {} values", limits::NODES);
            return Err(Finding::error("", problem)
                .hint("split the file")
                .at_line(line));
        }
        Ok(())
    }

    fn repeat(&mut self, size: Size, line: usize) -> Result<(), Finding> {
        const HINT: &str = "write the repeated part out, or repeat less of it";
        self.nodes = self.nodes.saturating_add(size.nodes);
        self.alias_bytes = self.alias_bytes.saturating_add(size.bytes);
        let problem = if self.nodes > limits::NODES {
            format!("aliases repeat more than {} values", limits::NODES)
        } else if self.alias_bytes > limits::ALIAS_BYTES {
            format!("aliases repeat more than {} bytes", limits::ALIAS_BYTES)
        } else {
            return Ok(());
        };
        Err(Finding::error("", problem).hint(HINT).at_line(line))
    }
}

/// How much a node holds.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Size {
    fn of(node: &Node) -> Self {
        let mut size = Self {
            nodes: 1,
            ..Self::default()
        };
        match &node.value {
            Value::Null | Value::Bool(_) => {}
            Value::Number { text, .. } | Value::Text(text) => size.bytes = text.len(),
            Value::List(items) => items.iter().for_each(|item| size.hold(Self::of(item))),
            Value::Map(entries) => {
                for entry in entries {
                    size.bytes += entry.key.len();
                    size.hold(Self::of(&entry.node));
                }
            }
        }
        if matches!(node.value, Value::List(_) | Value::Map(_)) {
            size.depth += 1;
        }
        size
    }

    fn hold(&mut self, inner: Self) {
        self.nodes += inner.nodes;
        self.bytes += inner.bytes;
        self.depth = self.depth.max(inner.depth);
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Cow<'_, Tag>>) -> Value {
    let written = text.clone().into_owned();
    if style == ScalarStyle::Plain
        && tag.is_none()
        && is_octal(&text)
        && let Ok(number) = i64::from_str_radix(&text, 8)
    {
        return Value::Number {
            text: written,
            number: number.into(),
        };
    }
    match Scalar::parse_from_cow_and_metadata(text, style, tag) {
        Some(Scalar::Null) => Value::Null,
        Some(Scalar::Boolean(value)) => Value::Bool(value),
        Some(Scalar::Integer(number)) => Value::Number {
            text: written,
            number: number.into(),
        },
        Some(Scalar::FloatingPoint(number)) => {
            match serde_json::Number::from_f64(number.into_inner()) {
                Some(number) => Value::Number {
                    text: written,
                    number,
                },
                // JSON knows neither infinity nor NaN.
                None => Value::Text(written),
            }
        }
        Some(Scalar::String(text)) => Value::Text(text.into_owned()),
        None => Value::Text(written),
    }
}

fn is_octal(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| (b'0'..=b'7').contains(&b))
}

fn complex_key(at: String, line: usize) -> Finding {
    Finding::error(at, "a key must be a word, not a list or a mapping")
        .hint("quote a text that begins with a brace or a bracket, such as a template: \"{{ … }}\"")
        .at_line(line)
}

pub(super) fn too_deep(line: usize) -> Finding {
    Finding::error("", format!("more than {} levels of nesting", limits::DEPTH)).at_line(line)
}
