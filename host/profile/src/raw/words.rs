//! Values that stand in many places: spans, sizes, ports, methods, signals.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// What a [`Span`] is called to people.
pub(crate) const SPAN: &str = "a span of time";

/// What a [`Size`] is called to people.
pub(crate) const SIZE: &str = "a quantity of bytes";

/// A type that is written in one word and has a schema of its own.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $schema:tt) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// A span of time as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Span(pub String);

word!(Span, {
    "type": "string",
    "title": SPAN,
    "pattern": "^(0|([0-9]+(ms|s|m|h))+)$",
    "examples": ["500ms", "20s", "1m30s"]
});

/// A quantity of bytes as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Size(pub String);

word!(Size, {
    "type": "string",
    "title": SIZE,
    "pattern": "^[0-9]*\\.?[0-9]*([kMGTPE]|[KMGTPE]i)?$",
    "examples": ["32Mi"]
});

/// Permission bits as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Mode(pub String);

word!(Mode, {
    "type": "string",
    "title": "permission bits in octal digits",
    "pattern": "^0?[0-7]{3}$",
    "examples": ["0640"]
});

/// A port's number.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(crate) struct PortNumber(pub u16);

word!(PortNumber, { "type": "integer", "title": "a port's number", "minimum": 1, "maximum": 65535 });

/// A port by its name in `spec.workload.ports`, or its number.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum PortRef {
    Number(u16),
    Name(String),
}

word!(PortRef, {
    "type": ["string", "integer"],
    "title": "a port's name or number",
    "minimum": 1,
    "maximum": 65535
});

/// A number of replicas, or the word `auto`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Replicas {
    Number(u32),
    #[expect(dead_code, reason = "the structural check has compared it with `auto`")]
    Auto(String),
}

word!(Replicas, {
    "anyOf": [
        {"type": "string", "enum": ["auto"]},
        {"type": "integer", "minimum": 1, "maximum": 10000}
    ]
});

/// A number of times, at least once.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(crate) struct Times(pub u32);

word!(Times, { "type": "integer", "minimum": 1, "maximum": 100_000 });

/// The methods of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
}

/// How another service is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS 1.2 or 1.3; the certificate must be the host's.
    Https,
}

/// The signals that may be sent to a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(crate) enum Signal {
    Hup,
    Int,
    Quit,
    Term,
    Usr1,
    Usr2,
}
