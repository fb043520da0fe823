//! YAML with lines, for plugins that check the configuration which a workload is about to read.
//!
//! Texts stay texts: what a scalar means is the workload's own reading of it, and that is what a check
//! has to follow. The first document counts, the limits are those of a configuration file.

use std::collections::BTreeMap;
use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// How deep lists and mappings may nest.
const DEPTH_MAX: usize = 64;

/// How many nodes a file may have, repeated ones included.
const NODES_MAX: usize = 50_000;

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// From 1.
    pub line: u32,
    /// What it is.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, a number, a truth or nothing at all.
    Scalar {
        /// As it is read, without quotes.
        text: String,
        /// Whether it stands without quotes, so that `5` is a number and `~` nothing.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands, from 1.
    pub line: u32,
    /// Its value.
    pub node: Node,
}

/// Why a text is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// From 1.
    pub line: u32,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Error {}

/// Reads the first document; none where there is nothing but comments and white space.
///
/// # Errors
/// What is no YAML, has a key twice, or is beyond the limits.
pub fn parse(text: &str) -> Result<Option<Node>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        lines: text.lines().count().max(1),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(None),
            (event, line) => {
                let node = reader.node(event, line, 0)?;
                // What follows the value is looked at too: half a file is none.
                while !matches!(reader.next()?.0, Event::StreamEnd | Event::DocumentEnd) {}
                return Ok(Some(node).filter(|node| !node.is_null()));
            }
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// How many lines there are: the parser sees the end of a text in the line after its last.
    lines: usize,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, u32), Error> {
        let lines = self.lines;
        let line_of = |line: usize| u32::try_from(line.clamp(1, lines)).unwrap_or(u32::MAX);
        let Some(event) = self.parser.next_event() else {
            return Ok((Event::StreamEnd, 1));
        };
        let (event, span): (Event<'a>, Span) = event.map_err(|error| Error {
            line: line_of(error.marker().line()),
            message: error.info().to_owned(),
        })?;
        Ok((event, line_of(span.start.line())))
    }

    fn node(&mut self, event: Event<'a>, line: u32, depth: usize) -> Result<Node, Error> {
        let refuse = |message: &str| {
            Err(Error {
                line,
                message: message.to_owned(),
            })
        };
        if depth > DEPTH_MAX {
            return refuse("the nesting is too deep");
        }
        self.count(1, line)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                (anchor, value)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(id) => {
                let Some(repeated) = self.anchors.get(&id).cloned() else {
                    return refuse("an alias stands inside of what it repeats");
                };
                self.count(repeated.size(), line)?;
                return Ok(Node { line, ..repeated });
            }
            _ => return refuse("a value is missing"),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, line: u32) -> Result<(), Error> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > NODES_MAX {
            let message = format!("there are more than {NODES_MAX} values");
            return Err(Error { line, message });
        }
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, line) => items.push(self.node(event, line, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (key, line) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(entries)),
                (Event::Scalar(text, ..), line) => (text.into_owned(), line),
                (_, line) => {
                    let message = "a key is not a text".to_owned();
                    return Err(Error { line, message });
                }
            };
            if entries.iter().any(|entry| entry.key == key) {
                let message = format!("the key `{key}` stands here twice");
                return Err(Error { line, message });
            }
            let (event, at) = self.next()?;
            let node = self.node(event, at, depth + 1)?;
            entries.push(Entry { key, line, node });
        }
    }
}

impl Node {
    /// Whether it is nothing: `~`, `null`, or no value at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar that is something.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry at a path of keys.
    pub fn entry(&self, path: &[&str]) -> Option<&Entry> {
        let (last, way) = path.split_last()?;
        let parent = way.iter().try_fold(self, |node, key| node.value_of(key))?;
        parent.entries().iter().find(|entry| entry.key == *last)
    }

    /// The text and the line of a scalar that is set to something.
    pub fn filled(&self, path: &[&str]) -> Option<(String, u32)> {
        let node = &self.entry(path)?.node;
        let text = node.text().filter(|text| !text.is_empty())?;
        Some((text.to_owned(), node.line))
    }

    /// The entries of the section at a path, or of this node itself, whose keys are not among these.
    pub fn unknown(&self, section: &[&str], known: &[&str]) -> Vec<Entry> {
        let section = match section {
            [] => Some(self),
            path => self.entry(path).map(|entry| &entry.node),
        };
        let entries = section.into_iter().flat_map(Self::entries);
        let unknown = entries.filter(|entry| !known.contains(&entry.key.as_str()));
        unknown.cloned().collect()
    }

    fn value_of(&self, key: &str) -> Option<&Node> {
        let found = self.entries().iter().find(|entry| entry.key == key)?;
        Some(&found.node)
    }

    /// Every scalar below, with its path, such as `cluster.join[0]`.
    pub fn scalars(&self) -> Vec<(String, &Node)> {
        let mut found = Vec::new();
        self.collect(String::new(), &mut found);
        found
    }

    fn collect<'n>(&'n self, path: String, found: &mut Vec<(String, &'n Node)>) {
        match &self.value {
            Value::Scalar { .. } => found.push((path, self)),
            Value::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    item.collect(format!("{path}[{place}]"), found);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let dot = if path.is_empty() { "" } else { "." };
                    entry
                        .node
                        .collect(format!("{path}{dot}{}", entry.key), found);
                }
            }
        }
    }

    fn size(&self) -> usize {
        let below: usize = match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.size()).sum(),
        };
        below + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn values_are_found_by_their_path_with_their_line() {
        let text = "a: {b: \"5\", c: [x, y]}\n# comment\nd:\n  e: 5\n  f: ~\n";
        let root = parse(text).unwrap().unwrap();
        let b = &root.entry(&["a", "b"]).unwrap().node;
        assert_eq!((b.text(), b.line), (Some("5"), 1));
        let e = root.entry(&["d", "e"]).unwrap();
        assert_eq!((e.line, e.node.text()), (4, Some("5")));
        assert!(matches!(&e.node.value, Value::Scalar { plain: true, .. }));
        assert_eq!(root.entry(&["d", "f"]).unwrap().node.text(), None);
        let paths: Vec<String> = root.scalars().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a.b", "a.c[0]", "a.c[1]", "d.e", "d.f"]);
        assert_eq!(root.entry(&["d", "x"]), None);
    }

    #[test]
    fn an_empty_file_is_nothing_and_an_alias_is_what_it_repeats() {
        for empty in ["", "# only this\n", "---\n", "~\n"] {
            assert_eq!(parse(empty), Ok(None), "{empty:?}");
        }
        let root = parse("a: &x {k: v}\nb: *x\n").unwrap().unwrap();
        let k = root.entry(&["b", "k"]).unwrap();
        assert_eq!(k.node.text(), Some("v"));
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_line() {
        assert_eq!(
            message("a: 1\na: 2\n"),
            "line 2: the key `a` stands here twice"
        );
        assert!(message("a: [1\nb: 2\n").starts_with("line "));
        assert!(message(&"[".repeat(1000)).contains("line 1"));
        // What ends too early is told in a line that there is.
        assert!(message("{\"a\": {").starts_with("line 1: "));
        assert!(message("a: 1\nb: [1,\n").starts_with("line 2: "));
        let doubled: Vec<String> = (1..30)
            .map(|n| format!("a{n}: &x{n} [*x{0}, *x{0}]\n", n - 1))
            .collect();
        let bomb = format!("a0: &x0 [1]\n{}", doubled.concat());
        assert!(message(&bomb).contains("more than 50000 values"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _either = parse(&text);
        }

        #[test]
        fn near_yaml_is_read_or_refused(text in "[a-c:{}\\[\\],&*!|>\"' \n-]{0,60}") {
            let _either = parse(&text);
        }
    }
}
