//! Jinja: strict about what is missing, bounded in steps and depth, and without any way out to files.

use std::collections::BTreeMap;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use outrigger_profile::{Finding, did_you_mean};
use serde_json::Value as Json;

use super::context::Context;
use super::filters;
use super::includes;
use crate::limits;
use crate::secrets::Secrets;

/// Templates that can include one another, and the context that all of them see.
#[derive(Debug)]
pub(super) struct Jinja<'a> {
    environment: Environment<'static>,
    templates: &'a BTreeMap<String, String>,
    secrets: &'a Secrets,
    value: Value,
    seen: Json,
    /// What sees it, for hints.
    seer: &'static str,
}

impl<'a> Jinja<'a> {
    /// Gets ready. Templates are compiled when they are first used, so that a text which is no Jinja
    /// harms nobody.
    pub(super) fn new(templates: &'a BTreeMap<String, String>, context: &'a Context) -> Self {
        let mut seen = context.json();
        if let Json::Object(fields) = &mut seen {
            // Their names are seen, what they hold is looked up apart.
            fields.insert("secrets".to_owned(), Json::Null);
        }
        let mut jinja = Self {
            environment: environment(templates),
            templates,
            secrets: &context.secrets,
            value: context.value(),
            seen,
            seer: "templates see",
        };
        filters::add_random(&mut jinja.environment, &context.seeds);
        jinja
    }

    /// For texts that are rendered once: nothing random, no replicas, no Secrets.
    pub(super) fn fixed(
        templates: &'a BTreeMap<String, String>,
        secrets: &'a Secrets,
        seen: Json,
    ) -> Self {
        Self {
            environment: environment(templates),
            templates,
            secrets,
            value: Value::from(Serde(seen.clone())),
            seen,
            seer: "texts that are rendered once see",
        }
    }

    /// Renders a template of the profile.
    pub(super) fn file(&self, name: &str) -> Result<String, Vec<Finding>> {
        let cycles = includes::cycles(name, self.templates);
        if !cycles.is_empty() {
            return Err(cycles);
        }
        let template = self.environment.get_template(name);
        template
            .and_then(|template| self.bounded(&template))
            .map_err(|error| vec![self.finding(name, &error)])
    }

    /// Renders a text that is no file of its own, such as a variable's value.
    pub(super) fn text(&self, name: &str, source: &str) -> Result<String, Finding> {
        let template = self.environment.template_from_named_str(name, source);
        template
            .and_then(|template| self.bounded(&template))
            .map_err(|error| self.finding(name, &error))
    }

    fn bounded(&self, template: &minijinja::Template<'_, '_>) -> Result<String, Error> {
        let mut out = Bounded(Vec::new());
        template.render_captured_to(&self.value, &mut out)?;
        String::from_utf8(out.0)
            .map_err(|error| Error::new(ErrorKind::WriteFailure, error.to_string()))
    }

    fn finding(&self, name: &str, error: &Error) -> Finding {
        let error = innermost(error);
        let expression = error
            .template_source()
            .zip(error.range())
            .and_then(|(source, range)| expression(source, range));
        let (problem, hint) = self.explain(error, expression.as_deref());
        let mut finding = Finding::error("", self.secrets.redact(&problem))
            .in_file(error.name().unwrap_or(name))
            .at_line(error.line().unwrap_or(0));
        if let Some(hint) = hint {
            finding = finding.hint(hint);
        }
        finding
    }

    /// What is wrong, and what to do about it.
    fn explain(&self, error: &Error, expression: Option<&str>) -> (String, Option<String>) {
        let detail = error.detail().unwrap_or_default();
        let what = expression.unwrap_or("an expression");
        let near = |names: &mut dyn Iterator<Item = &str>| {
            let word = between(detail);
            did_you_mean(word, names).map(|near| format!("did you mean `{near}`?"))
        };
        match error.kind() {
            ErrorKind::UndefinedError => {
                let problem = format!("`{what}` has no value");
                (problem, expression.and_then(|path| self.missing(path)))
            }
            ErrorKind::TemplateNotFound => {
                let hint = near(&mut self.templates.keys().map(String::as_str)).or_else(|| {
                    Some("templates lie beside the profile: add it to the ConfigMap".to_owned())
                });
                (detail.to_owned(), hint)
            }
            ErrorKind::UnknownFilter => (
                detail.to_owned(),
                near(
                    &mut filters::NAMES
                        .into_iter()
                        .chain(["default", "join", "map", "length"]),
                ),
            ),
            ErrorKind::OutOfFuel => (
                format!(
                    "the template takes more than {} steps",
                    limits::TEMPLATE_FUEL
                ),
                Some("look for a loop in a loop over many replicas".to_owned()),
            ),
            ErrorKind::WriteFailure => (
                format!(
                    "the result has more than {} bytes",
                    limits::RENDERED_BYTES_MAX
                ),
                Some("split the file".to_owned()),
            ),
            _ if detail.starts_with(filters::REFUSED) => (
                detail.to_owned(),
                Some(
                    "change what the template looks at, such as the profile's settings".to_owned(),
                ),
            ),
            kind if detail.is_empty() => (kind.to_string(), None),
            kind => (format!("{kind}: {detail}"), None),
        }
    }

    /// Why a path such as `self.ordnal` has no value.
    fn missing(&self, path: &str) -> Option<String> {
        let path: String = path
            .chars()
            .take_while(|c| c.is_alphanumeric() || "._-[]\"'".contains(*c))
            .map(|c| if "[]\"'".contains(c) { '.' } else { c })
            .collect();
        let mut segments = path.split('.').filter(|segment| !segment.is_empty());
        let first = segments.next()?;
        if first == "secrets" {
            return self.missing_secret(segments.next(), segments.next());
        }
        let Some(mut here) = self.seen.get(first) else {
            let mut names: Vec<&str> = self.seen.as_object()?.keys().map(String::as_str).collect();
            names.sort_unstable();
            return Some(match did_you_mean(first, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{} {}", self.seer, names.join(", ")),
            });
        };
        let mut shown = first.to_owned();
        for segment in segments {
            if let Some(next) = here.get(segment) {
                here = next;
                shown = format!("{shown}.{segment}");
                continue;
            }
            let fields = here.as_object()?;
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Some(match did_you_mean(segment, names.iter().copied()) {
                Some(near) => format!("did you mean `{shown}.{near}`?"),
                None if names.is_empty() => format!("`{shown}` is empty"),
                None => format!("`{shown}` has {}", names.join(", ")),
            });
        }
        None
    }

    fn missing_secret(&self, name: Option<&str>, key: Option<&str>) -> Option<String> {
        let secrets = self.secrets;
        let name = name?;
        if let Some(problem) = secrets.problem(name) {
            return Some(problem.to_owned());
        }
        let Some(keys) = secrets.keys(name) else {
            let names: Vec<&str> = secrets.names().collect();
            return Some(match did_you_mean(name, names.iter().copied()) {
                Some(near) => format!("did you mean `secrets.{near}`?"),
                None => format!("name the Secret `{name}` in the profile's `spec.secrets`"),
            });
        };
        if keys.contains_key(key?) {
            return Some("its value is not UTF-8 text".to_owned());
        }
        let names: Vec<&str> = keys.keys().map(String::as_str).collect();
        Some(format!("the Secret has the keys: {}", names.join(", ")))
    }
}

/// Strict, bounded, and with what configurations need.
fn environment(templates: &BTreeMap<String, String>) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .expect("the delimiters are Jinja's own");
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(limits::TEMPLATE_FUEL));
    environment.set_recursion_limit(limits::TEMPLATE_DEPTH);
    // Errors know the place in the source.
    environment.set_debug(true);
    let sources = templates.clone();
    environment.set_loader(move |name| Ok(sources.get(name).cloned()));
    filters::add(&mut environment);
    environment
}

/// The expression at a range of a source. Ranges of failed look-ups begin in the middle of their path
/// (`.admin.key` of `secrets.admin.key`), those of filters at the filter's name.
fn expression(source: &str, range: std::ops::Range<usize>) -> Option<String> {
    let is_path = |c: char| c.is_alphanumeric() || "._-[]\"'".contains(c);
    let mut text = source.get(range.clone())?;
    let mut before = source.get(..range.start)?;
    if let Some(piped) = before.trim_end().strip_suffix('|') {
        (before, text) = (piped.trim_end(), "");
    }
    let rest = before.trim_end_matches(is_path);
    let path = before.get(rest.len()..)?;
    if text.is_empty() || text.starts_with(['.', '[']) {
        let whole = format!("{path}{text}");
        return (!whole.is_empty()).then_some(whole);
    }
    text = text.trim();
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The word between quotes of a message.
fn between(text: &str) -> &str {
    text.split(['`', '"', '\'']).nth(1).unwrap_or_else(|| {
        text.split_whitespace()
            .find(|word| !["template", "filter", "unknown", "unable"].contains(word))
            .unwrap_or_default()
    })
}

/// The error that began it: an include that fails wraps the failure within.
fn innermost(error: &Error) -> &Error {
    let mut found = error;
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(inner) = cause.downcast_ref::<Error>() {
            found = inner;
        }
        next = cause.source();
    }
    found
}

/// Refuses to grow beyond what a file may hold.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::RENDERED_BYTES_MAX {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
