//! Checks settings against the JSON schema that a plugin describes: the part of draft 2020-12 that
//! settings need. A keyword that is not checked here is an error, never silence.

use std::fmt;

use outrigger_profile::did_you_mean;
use serde_json::{Map, Value};

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// Where, such as `lag-limit` or `peers[2].name`; empty = the settings as a whole.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "`{}` {}", self.path, self.problem)
        }
    }
}

/// A schema that this host can check.
#[derive(Debug, Clone)]
pub struct SettingsSchema(Value);

/// How deep schema and settings may nest.
const DEPTH_MAX: usize = 16;

/// Keywords that only describe.
const NOTES: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "format",
];

/// Keywords that are checked.
const CHECKED: &[&str] = &[
    "type",
    "properties",
    "required",
    "additionalProperties",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "anyOf",
];

const TYPES: &[&str] = &[
    "null", "boolean", "object", "array", "number", "integer", "string",
];

impl SettingsSchema {
    /// Reads a schema. An empty text takes no settings at all.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(
                serde_json::json!({"type": "object", "additionalProperties": false}),
            ));
        }
        let schema: Value = serde_json::from_str(text)
            .map_err(|error| format!("the settings schema is not JSON: {error}"))?;
        known_keywords(&schema, "", 0)?;
        Ok(Self(schema))
    }

    /// The schema as JSON.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// Everything that is wrong with these settings.
    pub fn check(&self, settings: &Map<String, Value>) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        check(
            &self.0,
            &Value::Object(settings.clone()),
            "",
            0,
            &mut problems,
        );
        problems
    }
}

fn known_keywords(schema: &Value, at: &str, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!(
            "the settings schema nests deeper than {DEPTH_MAX} levels"
        ));
    }
    let object = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(object) => object,
        _ => {
            return Err(format!(
                "the settings schema at `/{at}` is neither an object nor a boolean"
            ));
        }
    };
    for (keyword, value) in object {
        let here = format!("{at}{keyword}");
        match keyword.as_str() {
            "properties" => {
                let properties = value
                    .as_object()
                    .ok_or_else(|| format!("the settings schema's `/{here}` is not an object"))?;
                for (name, property) in properties {
                    known_keywords(property, &format!("{here}/{name}/"), depth + 1)?;
                }
            }
            "items" | "additionalProperties" => {
                known_keywords(value, &format!("{here}/"), depth + 1)?;
            }
            "anyOf" => {
                let options = value
                    .as_array()
                    .ok_or_else(|| format!("the settings schema's `/{here}` is not an array"))?;
                for (index, option) in options.iter().enumerate() {
                    known_keywords(option, &format!("{here}/{index}/"), depth + 1)?;
                }
            }
            "type" => {
                let names = match value {
                    Value::Array(names) => names.iter().collect(),
                    other => vec![other],
                };
                for name in names {
                    if !name.as_str().is_some_and(|name| TYPES.contains(&name)) {
                        return Err(format!(
                            "the settings schema's `/{here}` names no type: {name}"
                        ));
                    }
                }
            }
            known if NOTES.contains(&known) || CHECKED.contains(&known) => {}
            unknown => {
                return Err(format!(
                    "the settings schema uses `{unknown}` at `/{here}`, which this host does not check; it checks {}",
                    CHECKED.join(", ")
                ));
            }
        }
    }
    Ok(())
}

fn check(
    schema: &Value,
    value: &Value,
    path: &str,
    depth: usize,
    problems: &mut Vec<SettingProblem>,
) {
    let mut wrong = |problem: String| {
        problems.push(SettingProblem {
            path: path.to_owned(),
            problem,
        });
    };
    if depth > DEPTH_MAX {
        return wrong(format!("nests deeper than {DEPTH_MAX} levels"));
    }
    let schema = match schema {
        Value::Bool(true) => return,
        Value::Object(schema) => schema,
        _ => return wrong("is not a setting of this plugin".to_owned()),
    };
    if let Some(types) = schema.get("type")
        && !names(types).any(|name| is_of_type(value, name))
    {
        let wanted: Vec<&str> = names(types).collect();
        return wrong(format!(
            "must be {}, not {}",
            wanted.join(" or "),
            kind_of(value)
        ));
    }
    if let Some(constant) = schema.get("const")
        && !same(constant, value)
    {
        wrong(format!("must be {constant}"));
    }
    if let Some(options) = schema.get("enum").and_then(Value::as_array)
        && !options.iter().any(|option| same(option, value))
    {
        let shown: Vec<String> = options.iter().map(ToString::to_string).collect();
        wrong(format!("must be one of {}", shown.join(", ")));
    }
    if let Some(number) = value.as_f64().filter(|_| value.is_number()) {
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        if let Some(min) = bound("minimum").filter(|min| number < *min) {
            wrong(format!("must be at least {min}"));
        }
        if let Some(max) = bound("maximum").filter(|max| number > *max) {
            wrong(format!("must be at most {max}"));
        }
        if let Some(min) = bound("exclusiveMinimum").filter(|min| number <= *min) {
            wrong(format!("must be more than {min}"));
        }
        if let Some(max) = bound("exclusiveMaximum").filter(|max| number >= *max) {
            wrong(format!("must be less than {max}"));
        }
    }
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if let Some(min) = limit("minLength").filter(|min| length < *min) {
            wrong(format!("must have at least {min} characters"));
        }
        if let Some(max) = limit("maxLength").filter(|max| length > *max) {
            wrong(format!("must have at most {max} characters"));
        }
    }
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        let fits = options.iter().any(|option| {
            let mut found = Vec::new();
            check(option, value, path, depth + 1, &mut found);
            found.is_empty()
        });
        if !fits {
            wrong("fits none of the forms that the plugin takes".to_owned());
        }
    }
    if let Some(items) = value.as_array() {
        let length = items.len() as u64;
        if let Some(min) = limit("minItems").filter(|min| length < *min) {
            wrong(format!("must have at least {min} entries"));
        }
        if let Some(max) = limit("maxItems").filter(|max| length > *max) {
            wrong(format!("must have at most {max} entries"));
        }
        let unique = schema.get("uniqueItems").and_then(Value::as_bool) == Some(true);
        let repeated = items
            .iter()
            .enumerate()
            .any(|(index, item)| items.iter().take(index).any(|before| same(before, item)));
        if unique && repeated {
            wrong("must not repeat an entry".to_owned());
        }
        if let Some(item_schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                let item_path = format!("{path}[{index}]");
                check(item_schema, item, &item_path, depth + 1, problems);
            }
        }
    }
    if let Some(object) = value.as_object() {
        check_object(schema, object, path, depth, problems);
    }
}

fn check_object(
    schema: &Map<String, Value>,
    object: &Map<String, Value>,
    path: &str,
    depth: usize,
    problems: &mut Vec<SettingProblem>,
) {
    let join = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            problems.push(SettingProblem {
                path: join(name),
                problem: "is required".to_owned(),
            });
        }
    }
    for (name, item) in object {
        if let Some(property) = properties.and_then(|properties| properties.get(name)) {
            check(property, item, &join(name), depth + 1, problems);
        } else if let Some(additional) = schema.get("additionalProperties") {
            if additional == &Value::Bool(false) {
                let known = properties.into_iter().flat_map(Map::keys);
                let known: Vec<&str> = known.map(String::as_str).collect();
                let takes = match did_you_mean(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => "it takes none".to_owned(),
                    None => format!("it takes {}", known.join(", ")),
                };
                problems.push(SettingProblem {
                    path: join(name),
                    problem: format!("is not a setting of this plugin; {takes}"),
                });
            } else {
                check(additional, item, &join(name), depth + 1, problems);
            }
        }
    }
}

fn names(types: &Value) -> impl Iterator<Item = &str> {
    let (one, many) = match types {
        Value::Array(many) => (None, many.as_slice()),
        one => (Some(one), [].as_slice()),
    };
    one.into_iter().chain(many).filter_map(Value::as_str)
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64()
                || value.is_u64()
                || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "string" => value.is_string(),
        _ => false,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Equal as JSON schema means it: `1` and `1.0` are the same number.
#[expect(
    clippy::float_cmp,
    reason = "two numbers of a document are the same or not; nothing was computed"
)]
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{
        "type": "object",
        "properties": {
            "lag-limit": {"type": "integer", "minimum": 1, "description": "entries"},
            "level": {"enum": ["info", "debug"]},
            "peers": {"type": "array", "maxItems": 2, "items": {"type": "object", "required": ["name"]}}
        },
        "required": ["level"],
        "additionalProperties": false
    }"#;

    fn told(settings: &str) -> Vec<String> {
        let settings: Map<String, Value> = serde_json::from_str(settings).unwrap();
        let schema = SettingsSchema::parse(SCHEMA).unwrap();
        let problems = schema.check(&settings);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_that_fit_have_no_problems() {
        assert_eq!(
            told(r#"{"level": "info", "lag-limit": 100.0, "peers": [{"name": "a"}]}"#),
            [""; 0]
        );
    }

    #[test]
    fn all_problems_are_told_at_once_with_their_places() {
        assert_eq!(
            told(r#"{"lag-limit": 0, "lag-limt": 5, "peers": [{}, {"name": 1}, {"name": 2}]}"#),
            [
                "`level` is required",
                "`lag-limit` must be at least 1",
                "`lag-limt` is not a setting of this plugin; did you mean `lag-limit`?",
                "`peers` must have at most 2 entries",
                "`peers[0].name` is required",
            ]
        );
        assert_eq!(
            told(r#"{"level": "loud", "lag-limit": "5"}"#),
            [
                r#"`level` must be one of "info", "debug""#,
                "`lag-limit` must be integer, not string"
            ]
        );
    }

    #[test]
    fn a_keyword_that_is_not_checked_is_refused_rather_than_passed_over() {
        let error = SettingsSchema::parse(r#"{"properties": {"a": {"pattern": "x"}}}"#);
        let error = error.unwrap_err();
        assert!(
            error.starts_with("the settings schema uses `pattern` at `/properties/a/pattern`"),
            "{error}"
        );
    }

    #[test]
    fn without_a_schema_no_settings_are_taken() {
        let schema = SettingsSchema::parse("").unwrap();
        let settings = serde_json::from_str(r#"{"x": 1}"#).unwrap();
        assert_eq!(
            schema.check(&settings).first().unwrap().to_string(),
            "`x` is not a setting of this plugin; it takes none"
        );
    }
}
