//! Whether a document has the shape that the schema describes: all unknown keys, wrong types,
//! missing keys and unknown words at once, each with its line and its remedy.
//!
//! Understands what our own schema uses (references, `anyOf` of different types, `oneOf` of words)
//! and no more; [`crate::schema`] is its only source.

use serde_json::{Map, Value as Json};

use crate::document::{Document, Node, Value, path};
use crate::{Finding, did_you_mean, raw};

/// Checks the document against the schema. Returns it as JSON without the parts that are wrong, so
/// that the meaning of the rest can be checked too, and what is wrong.
pub(crate) fn check(document: &Document, schema: &Json) -> (Option<Json>, Vec<Finding>) {
    let mut check = Check {
        definitions: schema.get("$defs").unwrap_or(&Json::Null),
        findings: Vec::new(),
    };
    let json = check.node(document.root(), schema, "");
    (json, check.findings)
}

struct Check<'s> {
    definitions: &'s Json,
    findings: Vec<Finding>,
}

impl<'s> Check<'s> {
    /// The node as JSON without what is wrong in it; none where nothing of it is right.
    fn node(&mut self, node: &Node, schema: &'s Json, at: &str) -> Option<Json> {
        if accepts_anything(schema) {
            return Some(node.to_json());
        }
        let choices = self.choices(schema);
        let kind = kind_of(&node.value);
        if kind == "null" && choices.iter().any(|choice| choice.accepts("null")) {
            return Some(Json::Null);
        }
        let words: Vec<&str> = choices
            .iter()
            .flat_map(|choice| &choice.words)
            .copied()
            .collect();
        if let Some(text) = node.as_text()
            && !words.is_empty()
            && !is_quoted_number(text, &choices)
        {
            return self.word(text, &words, at);
        }
        let fits = |choice: &&Choice<'_>| choice.accepts(kind) && choice.words.is_empty();
        let Some(choice) = choices.iter().find(fits) else {
            self.findings.push(wrong_type(node, &choices, at));
            return None;
        };
        match &node.value {
            Value::Map(_) => Some(self.map(node, choice.schema, at)),
            Value::List(items) => self.list(items, choice.schema, at),
            Value::Number { text, number } => self
                .within(text, number, choice.schema, at)
                .then(|| node.to_json()),
            Value::Null | Value::Bool(_) | Value::Text(_) => Some(node.to_json()),
        }
    }

    fn map(&mut self, node: &Node, schema: &'s Json, at: &str) -> Json {
        let Value::Map(entries) = &node.value else {
            return Json::Null;
        };
        let properties: Vec<(&'s str, &'s Json)> = schema
            .get("properties")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
            .map(|(key, inner)| (key.as_str(), inner))
            .collect();
        let property = |key: &str| properties.iter().find(|(known, _)| *known == key);
        let names = || properties.iter().map(|(key, _)| *key);
        let first = self.findings.len();
        let mut right = Map::new();
        let mut meant: Vec<&str> = Vec::new();
        for entry in entries {
            let here = path::key(at, &entry.key);
            let inner = property(&entry.key).map(|(_, inner)| *inner).or_else(|| {
                schema
                    .get("additionalProperties")
                    .filter(|more| **more != Json::Bool(false))
            });
            if let Some(inner) = inner {
                if let Some(json) = self.node(&entry.node, inner, &here) {
                    right.insert(entry.key.clone(), json);
                }
                continue;
            }
            let free = names().filter(|key| node.get(key).is_none());
            let finding = Finding::error(here, "unknown key");
            self.findings.push(match did_you_mean(&entry.key, free) {
                Some(key) => {
                    meant.push(key);
                    finding.hint(format!("did you mean `{key}`?"))
                }
                None => finding.hint(known(names())),
            });
        }
        let mut missing = Vec::new();
        for key in texts(schema.get("required")) {
            // A required key that is misspelt has been told.
            if node.get(key).is_none() && !meant.contains(&key) {
                let finding = Finding::error(path::key(at, key), "is missing");
                let hint = property(key).and_then(|(_, inner)| self.how_to_add(key, inner));
                missing.push(match hint {
                    Some(hint) => finding.hint(hint),
                    None => finding,
                });
            }
        }
        // Before what is wrong further in.
        self.findings.splice(first..first, missing);
        Json::Object(right)
    }

    fn list(&mut self, items: &[Node], schema: &'s Json, at: &str) -> Option<Json> {
        let Some(inner) = schema.get("items") else {
            return Some(items.iter().map(Node::to_json).collect());
        };
        let checked: Vec<Option<Json>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.node(item, inner, &path::item(at, index)))
            .collect();
        // A list with holes would give the rest wrong places.
        checked
            .into_iter()
            .collect::<Option<Vec<Json>>>()
            .map(Json::Array)
    }

    fn word(&mut self, text: &str, words: &[&str], at: &str) -> Option<Json> {
        if words.contains(&text) {
            return Some(text.into());
        }
        let finding = Finding::error(at, format!("`{}` is not known here", cut(text)));
        self.findings
            .push(match did_you_mean(text, words.iter().copied()) {
                Some(word) => finding.hint(format!("did you mean `{word}`?")),
                None => finding.hint(known(words.iter().copied())),
            });
        None
    }

    fn within(&mut self, text: &str, number: &serde_json::Number, schema: &Json, at: &str) -> bool {
        let bound = |key: &str| schema.get(key).and_then(Json::as_i64);
        let (low, high) = (bound("minimum"), bound("maximum"));
        let high = high.or(Some(i64::from(u32::MAX)));
        let fits = number.as_i64().is_some_and(|number| {
            low.is_none_or(|low| number >= low) && high.is_none_or(|high| number <= high)
        });
        if !fits {
            let (low, high) = (low.unwrap_or(0), high.unwrap_or(i64::MAX));
            let problem = format!("{} is not a whole number from {low} to {high}", cut(text));
            self.findings.push(Finding::error(at, problem));
        }
        fits
    }

    /// `add ...` for a missing key.
    fn how_to_add(&self, key: &str, schema: &'s Json) -> Option<String> {
        let words: Vec<&str> = self
            .choices(schema)
            .iter()
            .flat_map(|c| c.words.clone())
            .collect();
        if let [word] = words.as_slice() {
            return Some(format!("add `{key}: {word}`"));
        }
        let text = schema.get("description")?.as_str()?;
        let sentence = text.split_once(". ").map_or(text, |(first, _)| first);
        let mut letters = sentence.trim_end_matches('.').chars();
        let first = letters.next()?.to_lowercase();
        Some(format!("add `{key}:`, {first}{}", letters.as_str()))
    }

    /// The alternatives of a schema, references followed.
    fn choices(&self, schema: &'s Json) -> Vec<Choice<'s>> {
        let mut choices = Vec::new();
        self.collect(schema, &mut choices);
        choices
    }

    fn collect(&self, schema: &'s Json, into: &mut Vec<Choice<'s>>) {
        if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            if let Some(definition) = self.definitions.get(name) {
                self.collect(definition, into);
            }
        } else if let Some(Json::Array(inner)) = schema.get("anyOf").or_else(|| schema.get("oneOf"))
        {
            for inner in inner {
                self.collect(inner, into);
            }
        } else {
            let mut words = texts(schema.get("enum"));
            words.extend(schema.get("const").and_then(Json::as_str));
            let kinds = match schema.get("type") {
                Some(Json::String(kind)) => vec![kind.as_str()],
                several => texts(several),
            };
            into.push(Choice {
                schema,
                kinds,
                words,
            });
        }
    }
}

/// One alternative of a schema.
struct Choice<'s> {
    schema: &'s Json,
    kinds: Vec<&'s str>,
    words: Vec<&'s str>,
}

impl Choice<'_> {
    fn accepts(&self, kind: &str) -> bool {
        self.kinds
            .iter()
            .any(|own| *own == kind || (*own == "number" && kind == "integer"))
    }
}

fn wrong_type(node: &Node, choices: &[Choice<'_>], at: &str) -> Finding {
    let mut wanted: Vec<String> = Vec::new();
    for choice in choices {
        let title = choice.schema.get("title").and_then(Json::as_str);
        let kinds = choice.kinds.iter().filter(|kind| **kind != "null");
        let names: Vec<String> = if choice.words.is_empty() {
            kinds
                .map(|kind| title.unwrap_or(kind_name(kind)).to_owned())
                .collect()
        } else {
            choice
                .words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect()
        };
        for name in names {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
    }
    let problem = format!(
        "wanted {}, found {}",
        wanted.join(" or "),
        found(&node.value)
    );
    let finding = Finding::error(at, problem);
    match remedy(&node.value, choices) {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// Whether a text is a number in quotes where a word or a number is wanted.
fn is_quoted_number(text: &str, choices: &[Choice<'_>]) -> bool {
    choices.iter().any(|choice| choice.accepts("integer")) && text.parse::<i64>().is_ok()
}

fn remedy(value: &Value, choices: &[Choice<'_>]) -> Option<String> {
    let wants = |kind: &str| choices.iter().any(|choice| choice.accepts(kind));
    let example = choices
        .iter()
        .find_map(|choice| choice.schema.get("examples")?.get(0)?.as_str());
    let unit = choices
        .iter()
        .find_map(|choice| match choice.schema.get("title")?.as_str()? {
            raw::SPAN => Some(("ms", "s")),
            raw::SIZE => Some(("Ki", "Mi")),
            _ => None,
        });
    match value {
        Value::Number { text, .. } if wants("string") && !wants("integer") => Some(match unit {
            Some((small, large)) => {
                format!(
                    "give it its unit, such as {0}{small} or {0}{large}",
                    cut(text)
                )
            }
            None => format!("quote it: \"{}\"", cut(text)),
        }),
        Value::Bool(value) if wants("string") => Some(format!("quote it: \"{value}\"")),
        Value::Text(text) if wants("boolean") => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" | "y" => Some("write true".to_owned()),
            "no" | "off" | "false" | "n" => Some("write false".to_owned()),
            _ => None,
        },
        Value::Text(text) if wants("integer") && text.parse::<i64>().is_ok() => {
            Some(format!("write it without quotes: {}", cut(text)))
        }
        Value::Text(_) | Value::Number { .. } | Value::Map(_) if wants("array") => Some(
            "begin each item on a line of its own with a dash, or put brackets around them"
                .to_owned(),
        ),
        Value::Null if wants("string") => Some(match example {
            Some(example) => format!("give it a value, such as {example}"),
            None => "give it a value; an empty text is \"\"".to_owned(),
        }),
        Value::Null if wants("object") => {
            let needs: Vec<&str> = choices
                .iter()
                .flat_map(|c| texts(c.schema.get("required")))
                .collect();
            (!needs.is_empty()).then(|| format!("it needs {}", needs.join(" and ")))
        }
        // A word that belongs to one of the keys: `on-change: restart`.
        Value::Text(text) if wants("object") => {
            let key = choices.iter().find_map(|choice| {
                let properties = choice.schema.get("properties")?.as_object()?;
                let has_word = |inner: &Json| {
                    texts(inner.get("enum")).contains(&text.as_str())
                        || inner
                            .get("oneOf")
                            .and_then(Json::as_array)
                            .is_some_and(|words| {
                                words.iter().any(|word| {
                                    word.get("const").and_then(Json::as_str) == Some(text)
                                })
                            })
                };
                properties
                    .iter()
                    .find(|(_, inner)| has_word(inner))
                    .map(|(key, _)| key)
            });
            key.map(|key| format!("write {{{key}: {}}}", cut(text)))
        }
        _ => None,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number { number, .. } if number.is_i64() => "integer",
        Value::Number { .. } => "number",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

fn kind_name(kind: &str) -> &'static str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number { text, .. } => format!("the number {}", cut(text)),
        Value::Text(text) => format!("the text `{}`", cut(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// A user's text for a message: its first line, at most 60 characters.
pub(crate) fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 60 || line.len() < text.trim_end().len() {
        let mut short: String = line.chars().take(60).collect();
        short.push('…');
        short
    } else {
        line.to_owned()
    }
}

fn known<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.as_slice() {
        [] => "nothing is known here".to_owned(),
        [one] => format!("only `{one}` is known here"),
        many => format!("known here are {}", many.join(", ")),
    }
}

fn accepts_anything(schema: &Json) -> bool {
    match schema {
        Json::Bool(anything) => *anything,
        Json::Object(object) => !["$ref", "anyOf", "oneOf", "type", "enum", "const"]
            .iter()
            .any(|key| object.contains_key(*key)),
        _ => false,
    }
}

fn texts(list: Option<&Json>) -> Vec<&str> {
    list.and_then(Json::as_array)
        .map(|items| items.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default()
}
