//! The reference of the profile as Markdown, from the schema and the registry of variables.

use serde_json::Value as Json;

use crate::env;

const INTRODUCTION: &str = "\
# The profile

Generated from the types that read it; `UPDATE=1 cargo test -p outrigger-profile` writes it anew.

A profile is one YAML document. Keys that are not listed here are refused. A span of time carries its
unit (`500ms`, `20s`, `1m30s`), a quantity of bytes may (`32Mi`, `1G`). In the paths below `<name>` is a
name that you choose, and `[]` each item of a list.
";

/// `PROFILE.md`: every key with its type, default and meaning, and the sidecar's environment.
pub fn reference() -> String {
    let schema = crate::schema();
    let mut reference = Reference {
        definitions: schema.get("$defs").unwrap_or(&Json::Null),
        text: INTRODUCTION.to_owned(),
        told: Vec::new(),
    };
    reference.object(&schema, "");
    reference.text.push_str(
        "\n## The sidecar's environment\n\nWritten by the injector and by `outrigger up`.\n\n\
         | variable | meaning |\n|---|---|\n",
    );
    for variable in env::ALL {
        let row = format!("| `{}` | {} |\n", variable.name, cell(variable.help));
        reference.text.push_str(&row);
    }
    reference.text
}

struct Reference<'s> {
    definitions: &'s Json,
    text: String,
    /// Types that have their table, and where.
    told: Vec<(&'s str, String)>,
}

impl<'s> Reference<'s> {
    /// The table of a mapping with fixed keys, then those of what is within.
    fn object(&mut self, schema: &'s Json, at: &str) {
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
            return;
        };
        if !at.is_empty() {
            self.text.push_str(&format_heading(at));
        }
        self.text
            .push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Json::as_array)
            .map(|keys| keys.iter().filter_map(Json::as_str).collect())
            .unwrap_or_default();
        for (key, inner) in properties {
            let default = match inner.get("default") {
                Some(Json::String(text)) => format!("`{text}`"),
                Some(other) => format!("`{other}`"),
                None if required.contains(&key.as_str()) => "required".to_owned(),
                None => String::new(),
            };
            let mut meaning = description(inner).to_owned();
            for (word, what) in words_of(inner) {
                meaning.push_str(&format_word(word, what));
            }
            let row = format!(
                "| `{key}` | {} | {default} | {} |\n",
                self.type_of(inner),
                cell(&meaning)
            );
            self.text.push_str(&row);
        }
        for (key, inner) in properties {
            let here = if at.is_empty() {
                key.clone()
            } else {
                format!("{at}.{key}")
            };
            self.within(inner, &here);
        }
    }

    /// The tables of the mappings that a value may hold.
    fn within(&mut self, schema: &'s Json, at: &str) {
        if let Some(name) = reference_of(schema) {
            if let Some((_, first)) = self.told.iter().find(|(told, _)| *told == name) {
                let line = format!("{}\nAs `{first}`.\n", format_heading(at));
                self.text.push_str(&line);
                return;
            }
            self.told.push((name, at.to_owned()));
            if let Some(definition) = self.definitions.get(name) {
                self.object(definition, at);
            }
            return;
        }
        for choice in choices(schema) {
            self.within(choice, at);
        }
        if schema.get("properties").is_some() {
            self.object(schema, at);
        }
        if let Some(items) = schema.get("items") {
            self.within(items, &format!("{at}[]"));
        }
        if let Some(more) = schema.get("additionalProperties") {
            self.within(more, &format!("{at}.<name>"));
        }
    }

    fn type_of(&self, schema: &'s Json) -> String {
        let mut names: Vec<String> = Vec::new();
        self.types(schema, &mut names);
        names.dedup();
        names.join(" or ")
    }

    fn types(&self, schema: &'s Json, names: &mut Vec<String>) {
        if let Some(name) = reference_of(schema) {
            if let Some(definition) = self.definitions.get(name) {
                self.types(definition, names);
            }
            return;
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            for choice in choices {
                self.types(choice, names);
            }
            return;
        }
        if let Some(title) = schema.get("title").and_then(Json::as_str) {
            names.push(title.to_owned());
            return;
        }
        if schema.get("enum").is_some() || schema.get("const").is_some() {
            names.push("a word".to_owned());
            return;
        }
        let kinds = match schema.get("type") {
            Some(Json::String(kind)) => vec![kind.as_str()],
            Some(Json::Array(kinds)) => kinds.iter().filter_map(Json::as_str).collect(),
            _ => vec!["anything"],
        };
        for kind in kinds {
            names.push(match kind {
                "null" => continue,
                "boolean" => "true or false".to_owned(),
                "integer" => "a whole number".to_owned(),
                "string" => "a text".to_owned(),
                "array" => {
                    let inner = schema.get("items").map(|items| self.type_of(items));
                    format!("a list, each {}", inner.unwrap_or_default())
                }
                "object" if schema.get("properties").is_some() => "a mapping".to_owned(),
                "object" => {
                    let inner = schema
                        .get("additionalProperties")
                        .map(|more| self.type_of(more));
                    format!(
                        "a mapping from names, each to {}",
                        inner.unwrap_or_default()
                    )
                }
                other => other.to_owned(),
            });
        }
    }
}

/// The words that are known for a value, with their meanings.
fn words_of(schema: &Json) -> Vec<(&str, &str)> {
    let mut words = Vec::new();
    for choice in choices(schema) {
        words.extend(words_of(choice));
    }
    if let Some(word) = schema.get("const").and_then(Json::as_str) {
        words.push((word, description(schema)));
    }
    let listed = schema
        .get("enum")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    words.extend(listed.filter_map(Json::as_str).map(|word| (word, "")));
    if let Some(items) = schema.get("items") {
        words.extend(words_of(items));
    }
    words
}

fn choices(schema: &Json) -> Vec<&Json> {
    schema
        .get("anyOf")
        .or_else(|| schema.get("oneOf"))
        .and_then(Json::as_array)
        .map(|inner| inner.iter().collect())
        .unwrap_or_default()
}

fn reference_of(schema: &Json) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

fn description(schema: &Json) -> &str {
    schema
        .get("description")
        .and_then(Json::as_str)
        .unwrap_or_default()
}

fn format_heading(at: &str) -> String {
    format!("\n## `{at}`\n")
}

fn format_word(word: &str, meaning: &str) -> String {
    match meaning.trim_end_matches('.') {
        "" => format!("<br>`{word}`"),
        meaning => format!("<br>`{word}`: {meaning}"),
    }
}

/// A text within a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
