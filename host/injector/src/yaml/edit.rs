//! One edit after the other.

use std::ops::Range;

use json_patch::PatchOperation;
use serde_json::Value;

use super::tree::{Entry, Kind, Node, documents};
use super::{EditError, emit};

/// Text that is being edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Editor {
    text: String,
    line_end: &'static str,
    /// Whether the whole text is JSON, and shall stay so.
    json: bool,
}

impl Editor {
    /// Begins with a text of one or more documents.
    pub fn new(text: &str) -> Self {
        let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self {
            text: text.to_owned(),
            line_end,
            json: serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
        }
    }

    /// The text as it is now.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Carries out an operation on the document that begins at a line, from 1. Its paths begin below
    /// `prefix`, a JSON pointer. A `test` does nothing here: whoever made the operations has tested
    /// the value.
    ///
    /// # Errors
    /// When the text is no YAML or has no such place; it is as before then.
    pub fn apply(
        &mut self,
        line: usize,
        prefix: &str,
        operation: &PatchOperation,
    ) -> Result<(), EditError> {
        let path = |own: &dyn std::fmt::Display| format!("{prefix}{own}");
        match operation {
            PatchOperation::Add(add) => self.add(line, &path(&add.path), &add.value),
            PatchOperation::Replace(replace) => {
                self.replace(line, &path(&replace.path), &replace.value)
            }
            PatchOperation::Remove(remove) => self.remove(line, &path(&remove.path)),
            PatchOperation::Test(_) => Ok(()),
            PatchOperation::Move(_) | PatchOperation::Copy(_) => Err(EditError::NoSuchPlace {
                path: path(&operation.path()),
            }),
        }
    }

    /// Adds an entry or an element, or replaces an entry that is there.
    fn add(&mut self, line: usize, pointer: &str, value: &Value) -> Result<(), EditError> {
        let place = Place::find(&self.text, line, pointer)?;
        let (at, new) = match &place.parent.kind {
            Kind::Map { .. } if place.entry().is_some() => {
                return self.replace(line, pointer, value);
            }
            Kind::Map { flow, entries } => self.new_entry(&place, *flow, entries, value)?,
            Kind::Seq { flow, items } => self.new_item(&place, *flow, items, value)?,
            Kind::Alias => return Err(place.alias()),
            Kind::Scalar => return Err(place.shape()),
        };
        self.insert(at, &new);
        Ok(())
    }

    fn new_entry(
        &self,
        place: &Place,
        flow: bool,
        entries: &[Entry],
        value: &Value,
    ) -> Result<(usize, String), EditError> {
        let key = &place.last;
        Ok(match entries.last() {
            None if flow => (place.parent.start + 1, self.flow_entry(key, value)),
            Some(last) if flow => (last.end(), format!(", {}", self.flow_entry(key, value))),
            Some(last) => {
                let indent = column(&self.text, entries[0].key_start);
                (
                    self.line_after(last.end()),
                    emit::entry(key, value, indent, self.line_end),
                )
            }
            None => return Err(place.shape()),
        })
    }

    fn new_item(
        &self,
        place: &Place,
        flow: bool,
        items: &[Node],
        value: &Value,
    ) -> Result<(usize, String), EditError> {
        let index = match place.last.as_str() {
            "-" => items.len(),
            number => number
                .parse()
                .ok()
                .filter(|index| *index <= items.len())
                .ok_or_else(|| place.missing())?,
        };
        if flow {
            return Ok(match (items.get(index), items.last()) {
                (Some(next), _) => (next.start, format!("{}, ", self.flow(value))),
                (None, Some(last)) => (last.end, format!(", {}", self.flow(value))),
                (None, None) => (place.parent.start + 1, self.flow(value)),
            });
        }
        let first = items.first().ok_or_else(|| place.shape())?;
        let dash = dash(&self.text, first).ok_or_else(|| place.shape())?;
        let at = match index.checked_sub(1).and_then(|before| items.get(before)) {
            Some(before) => self.line_after(before.end),
            // Before the comments of the first element too.
            None => self.line_after(place.parent_key_end.ok_or_else(|| place.shape())?),
        };
        if at > dash && index == 0 {
            return Err(place.shape());
        }
        let indent = column(&self.text, dash);
        Ok((at, emit::item(value, indent, self.line_end)))
    }

    /// Replaces an entry's value or an element.
    fn replace(&mut self, line: usize, pointer: &str, value: &Value) -> Result<(), EditError> {
        let place = Place::find(&self.text, line, pointer)?;
        let (range, new) = match &place.parent.kind {
            Kind::Map { flow, .. } => {
                let entry = place.entry().ok_or_else(|| place.missing())?;
                if *flow || is_on_one_line(value) {
                    let gap = if matches!(value, Value::Null) && !self.json {
                        ""
                    } else {
                        " "
                    };
                    (
                        entry.after_colon..entry.end(),
                        format!("{gap}{}", self.one_line(value)),
                    )
                } else {
                    let indent = column(&self.text, entry.key_start);
                    let whole = emit::entry(&entry.key, value, indent, self.line_end);
                    (
                        entry.key_start..entry.end(),
                        whole
                            .trim_start()
                            .trim_end_matches(self.line_end)
                            .to_owned(),
                    )
                }
            }
            Kind::Seq { flow, items } => {
                let item = place.item(items).ok_or_else(|| place.missing())?;
                if *flow || is_on_one_line(value) {
                    (item.start..item.end, self.one_line(value))
                } else {
                    let dash = dash(&self.text, item).ok_or_else(|| place.shape())?;
                    let whole = emit::item(value, column(&self.text, dash), self.line_end);
                    (
                        dash..item.end,
                        whole
                            .trim_start()
                            .trim_end_matches(self.line_end)
                            .to_owned(),
                    )
                }
            }
            Kind::Alias => return Err(place.alias()),
            Kind::Scalar => return Err(place.shape()),
        };
        self.text.replace_range(range, &new);
        Ok(())
    }

    /// Removes an entry or an element.
    fn remove(&mut self, line: usize, pointer: &str) -> Result<(), EditError> {
        let place = Place::find(&self.text, line, pointer)?;
        let range = match &place.parent.kind {
            Kind::Map { flow, entries } => {
                let index = entries
                    .iter()
                    .position(|entry| entry.key == place.last)
                    .ok_or_else(|| place.missing())?;
                let spans: Vec<Range<usize>> = entries
                    .iter()
                    .map(|entry| entry.key_start..entry.end())
                    .collect();
                if *flow {
                    in_flow(&spans, index)
                } else {
                    self.lines(&spans[index], spans[index].start)
                        .ok_or_else(|| place.shape())?
                }
            }
            Kind::Seq { flow, items } => {
                let item = place.item(items).ok_or_else(|| place.missing())?;
                let index = items
                    .iter()
                    .position(|other| other.start == item.start)
                    .ok_or_else(|| place.missing())?;
                if *flow {
                    let spans: Vec<Range<usize>> =
                        items.iter().map(|item| item.start..item.end).collect();
                    in_flow(&spans, index)
                } else {
                    let dash = dash(&self.text, item).ok_or_else(|| place.shape())?;
                    self.lines(&(dash..item.end), dash)
                        .ok_or_else(|| place.shape())?
                }
            }
            Kind::Alias => return Err(place.alias()),
            Kind::Scalar => return Err(place.shape()),
        };
        self.text.replace_range(range, "");
        Ok(())
    }

    fn flow_entry(&self, key: &str, value: &Value) -> String {
        if self.json {
            format!("{}: {value}", Value::from(key))
        } else {
            emit::flow_entry(key, value)
        }
    }

    fn flow(&self, value: &Value) -> String {
        if self.json {
            value.to_string()
        } else {
            emit::flow(value)
        }
    }

    fn one_line(&self, value: &Value) -> String {
        match value {
            Value::Null if !self.json => String::new(),
            other => self.flow(other),
        }
    }

    /// Whole lines, from the one of `first`, which must begin it, to that of the end.
    fn lines(&self, span: &Range<usize>, first: usize) -> Option<Range<usize>> {
        let from = line_start(&self.text, first);
        if !self.text[from..first].trim().is_empty() {
            return None;
        }
        let to = self.line_after(span.end);
        // The last line of a text without a final line end took over that of the line before it.
        if to == self.text.len() && !self.text.ends_with('\n') && from > 0 {
            let before = self.text[..from].trim_end_matches('\n');
            let before = before.strip_suffix('\r').unwrap_or(before);
            return Some(before.len()..to);
        }
        Some(from..to)
    }

    fn insert(&mut self, at: usize, new: &str) {
        let whole_lines = new.ends_with('\n');
        if whole_lines && at == self.text.len() && at > 0 && !self.text.ends_with('\n') {
            self.text.push_str(self.line_end);
            self.text.push_str(new.trim_end_matches(['\r', '\n']));
        } else {
            self.text.insert_str(at, new);
        }
    }

    /// The start of the line after the one that holds the byte before `end`.
    fn line_after(&self, end: usize) -> usize {
        if end > 0 && self.text[..end].ends_with('\n') {
            return end;
        }
        self.text[end..]
            .find('\n')
            .map_or(self.text.len(), |gap| end + gap + 1)
    }
}

/// What takes an element out of a flow collection: with the comma before it, or the one behind it.
fn in_flow(spans: &[Range<usize>], index: usize) -> Range<usize> {
    let own = &spans[index];
    if index > 0 {
        spans[index - 1].end..own.end
    } else if let Some(next) = spans.get(1) {
        own.start..next.start
    } else {
        own.clone()
    }
}

fn is_on_one_line(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

fn column(text: &str, at: usize) -> usize {
    text[line_start(text, at)..at].chars().count()
}

/// The dash before an element of a block sequence: the last one before it, with nothing but blanks,
/// comments, anchors and tags in between.
fn dash(text: &str, item: &Node) -> Option<usize> {
    let mut until = item.start;
    loop {
        let from = line_start(text, until);
        let line = &text[from..until];
        let code = line.split(" #").next().unwrap_or(line);
        if !code.trim_start().starts_with('#')
            && let Some(found) = code
                .rfind("- ")
                .or_else(|| code.trim_end().strip_suffix('-').map(str::len))
        {
            return Some(from + found);
        }
        if !code.trim().is_empty() && !code.trim_start().starts_with(['#', '&', '!']) {
            return None;
        }
        until = from.checked_sub(1)?;
    }
}

/// Where an operation applies.
struct Place {
    pointer: String,
    parent: Node,
    /// The byte after the colon of the key that holds the parent.
    parent_key_end: Option<usize>,
    last: String,
}

impl Place {
    fn find(text: &str, line: usize, pointer: &str) -> Result<Self, EditError> {
        let missing = || EditError::NoSuchPlace {
            path: pointer.to_owned(),
        };
        let mut steps: Vec<String> = pointer
            .split('/')
            .skip(1)
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect();
        let last = steps.pop().ok_or_else(missing)?;
        let mut node = documents(text)?
            .into_iter()
            .find(|root| root.line == line)
            .ok_or_else(missing)?;
        let mut parent_key_end = None;
        for step in steps {
            parent_key_end = None;
            node = match node.kind {
                Kind::Map { entries, .. } => {
                    let entry = entries
                        .into_iter()
                        .find(|entry| entry.key == step)
                        .ok_or_else(missing)?;
                    parent_key_end = Some(entry.after_colon);
                    entry.value
                }
                Kind::Seq { items, .. } => step
                    .parse()
                    .ok()
                    .and_then(|index: usize| items.into_iter().nth(index))
                    .ok_or_else(missing)?,
                Kind::Alias => return Err(EditError::Alias { line: node.line }),
                Kind::Scalar => return Err(missing()),
            };
        }
        Ok(Self {
            pointer: pointer.to_owned(),
            parent: node,
            parent_key_end,
            last,
        })
    }

    fn entry(&self) -> Option<&Entry> {
        match &self.parent.kind {
            Kind::Map { entries, .. } => entries.iter().find(|entry| entry.key == self.last),
            _ => None,
        }
    }

    fn item<'a>(&self, items: &'a [Node]) -> Option<&'a Node> {
        items.get(self.last.parse::<usize>().ok()?)
    }

    fn missing(&self) -> EditError {
        EditError::NoSuchPlace {
            path: self.pointer.clone(),
        }
    }

    fn shape(&self) -> EditError {
        EditError::Shape {
            line: self.parent.line,
        }
    }

    fn alias(&self) -> EditError {
        EditError::Alias {
            line: self.parent.line,
        }
    }
}
