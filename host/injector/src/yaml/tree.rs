//! YAML text as nodes that know where they stand in it.

use saphyr_parser::{Event, Parser, Span};

use super::EditError;

/// Deeper nesting than this is refused: no manifest has it, and reading it would cost stack.
const DEPTH_MAX: usize = 128;

/// A node and where it stands, in bytes from the start of the text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its first byte.
    pub(super) start: usize,
    /// The byte after its last; for a block collection that of its last element.
    pub(super) end: usize,
    /// The line of its first byte, from 1.
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar,
    Alias,
    Map { flow: bool, entries: Vec<Entry> },
    Seq { flow: bool, items: Vec<Node> },
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_start: usize,
    /// The byte after the colon.
    pub(super) after_colon: usize,
    pub(super) value: Node,
}

impl Entry {
    /// The byte after the value, or after the colon where there is none.
    pub(super) fn end(&self) -> usize {
        self.value.end.max(self.after_colon)
    }
}

/// The roots of all documents.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, EditError> {
    let mut reader = Reader {
        text,
        offsets: text
            .char_indices()
            .map(|(offset, _)| offset)
            .chain([text.len()])
            .collect(),
        parser: Parser::new_from_str(text),
    };
    let mut roots = Vec::new();
    loop {
        let (event, span) = reader.next()?;
        match event {
            Step::Open => {
                let next = reader.next()?;
                roots.push(reader.node(next, 0)?);
            }
            Step::End => return Ok(roots),
            _ if span.start.line() == 0 => return Ok(roots),
            _ => {}
        }
    }
}

/// An event without what editing has no use for.
enum Step {
    Open,
    Scalar(String),
    Alias,
    Map,
    Seq,
    Close,
    Other,
    End,
}

struct Reader<'a> {
    text: &'a str,
    /// The byte of each character.
    offsets: Vec<usize>,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<(Step, Span), EditError> {
        let (event, span) = match self.parser.next_event() {
            None => return Ok((Step::End, Span::default())),
            Some(Err(error)) => {
                return Err(EditError::Syntax {
                    line: error.marker().line(),
                    problem: error.info().to_owned(),
                });
            }
            Some(Ok(next)) => next,
        };
        let step = match event {
            Event::DocumentStart(_) => Step::Open,
            Event::Scalar(text, ..) => Step::Scalar(text.into_owned()),
            Event::Alias(_) => Step::Alias,
            Event::MappingStart(..) => Step::Map,
            Event::SequenceStart(..) => Step::Seq,
            Event::MappingEnd | Event::SequenceEnd => Step::Close,
            Event::StreamEnd => Step::End,
            _ => Step::Other,
        };
        Ok((step, span))
    }

    fn byte(&self, index: usize) -> usize {
        self.offsets.get(index).copied().unwrap_or(self.text.len())
    }

    /// Past an anchor or a tag.
    fn content(&self, mut at: usize) -> usize {
        while self.text[at..].starts_with(['&', '!']) {
            let word = self.text[at..]
                .find(char::is_whitespace)
                .map_or(self.text.len(), |end| at + end);
            at = self.text[word..]
                .find(|c: char| !c.is_whitespace())
                .map_or(self.text.len(), |gap| word + gap);
        }
        at
    }

    fn node(&mut self, (step, span): (Step, Span), depth: usize) -> Result<Node, EditError> {
        let line = span.start.line();
        if depth > DEPTH_MAX {
            return Err(EditError::Depth { line });
        }
        let start = self.content(self.byte(span.start.index()));
        let end = self.byte(span.end.index()).max(start);
        let (kind, end) = match step {
            Step::Scalar(_) => (Kind::Scalar, end),
            Step::Alias => (Kind::Alias, end),
            Step::Map => {
                let (entries, close) = self.entries(depth)?;
                let flow = self.text[start..].starts_with('{');
                let last = entries.last().map_or(end, Entry::end);
                (Kind::Map { flow, entries }, if flow { close } else { last })
            }
            Step::Seq => {
                let mut items = Vec::new();
                let close = loop {
                    match self.next()? {
                        (Step::Close, span) => break self.byte(span.end.index()),
                        next => items.push(self.node(next, depth + 1)?),
                    }
                };
                // The parser says of a block list that it begins where its first element does.
                let flow = self.text[start..].starts_with('[')
                    && items.first().is_none_or(|first| first.start > start);
                let last = items.last().map_or(end, |item| item.end);
                (Kind::Seq { flow, items }, if flow { close } else { last })
            }
            Step::Open | Step::Close | Step::Other | Step::End => {
                return Err(EditError::Shape { line });
            }
        };
        Ok(Node {
            start,
            end,
            line,
            kind,
        })
    }

    /// The entries of a mapping, and the byte after its end.
    fn entries(&mut self, depth: usize) -> Result<(Vec<Entry>, usize), EditError> {
        let mut entries = Vec::new();
        loop {
            let (step, span) = self.next()?;
            let key = match step {
                Step::Close => return Ok((entries, self.byte(span.end.index()))),
                Step::Scalar(key) => key,
                _ => {
                    return Err(EditError::Shape {
                        line: span.start.line(),
                    });
                }
            };
            let key_end = self.byte(span.end.index());
            let next = self.next()?;
            let value = self.node(next, depth + 1)?;
            entries.push(Entry {
                key,
                key_start: self.byte(span.start.index()),
                after_colon: self.text[key_end..]
                    .find(':')
                    .map_or(key_end, |gap| key_end + gap + 1),
                value,
            });
        }
    }
}
