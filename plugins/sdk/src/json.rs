//! Just enough JSON: settings, the state's values and the answers of workloads.
//!
//! A general library costs a component more than 100 kB; this one a few. Numbers stay texts until
//! somebody asks for a type, so that a plugin without floats carries no code for them.

use std::fmt;

/// How deep values may nest: more is an attack, not data.
const DEPTH_MAX: usize = 64;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The digits as they stood.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object, in its order; of a key that comes twice the last counts.
    Object(Vec<(String, Value)>),
}

/// Why a text is no JSON, or not the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// What can be read from a [`Value`].
pub trait FromJson: Sized {
    /// Reads it. The error says what was expected.
    fn from_json(value: &Value) -> Result<Self, Error>;
}

/// What can be made a [`Value`].
pub trait ToJson {
    /// The value.
    fn to_json(&self) -> Value;
}

/// Parses a text as `T`.
pub fn parse<T: FromJson>(text: &str) -> Result<T, Error> {
    T::from_json(&value(text)?)
}

/// Parses a text.
pub fn value(text: &str) -> Result<Value, Error> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.error("the end"));
    }
    Ok(value)
}

impl Value {
    /// An object of these fields.
    pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self::Object(fields.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// The value of a field; none if there is none or this is no object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Object(fields) => {
                let found = fields.iter().rev().find(|(name, _)| name == key);
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// A field read as `T`; an absent one is read as `null`, which is none for an `Option`.
    pub fn field<T: FromJson>(&self, key: &str) -> Result<T, Error> {
        T::from_json(self.get(key).unwrap_or(&Value::Null))
            .map_err(|error| Error::new(["`", key, "`: ", &error.0].concat()))
    }

    fn expected<T>(&self, what: &str) -> Result<T, Error> {
        let is = match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(digits) => digits,
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        };
        Err(Error::new(["expected ", what, ", found ", is].concat()))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, expected: &str) -> Error {
        Error::new(format!("no JSON: expected {expected} at byte {}", self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Error> {
        let there = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if !there {
            return Err(self.error("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return Err(self.error("less nesting"));
        }
        self.space();
        match self.peek() {
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.object(depth),
            _ => Err(self.error("a value")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Ok(Value::List(items));
            }
            if !self.takes(b',') {
                return Err(self.error("`,` or `]`"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            self.space();
            let key = self.string()?;
            if !self.takes(b':') {
                return Err(self.error("`:`"));
            }
            fields.push((key, self.value(depth + 1)?));
            if self.takes(b'}') {
                return Ok(Value::Object(fields));
            }
            if !self.takes(b',') {
                return Err(self.error("`,` or `}`"));
            }
        }
    }

    fn digits(&mut self) -> Result<(), Error> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from {
            return Err(self.error("a digit"));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, Error> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Number(self.text[from..self.at].to_owned()))
    }

    fn string(&mut self) -> Result<String, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.error("a string"));
        }
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) if byte >= 0x20 => {
                    bytes.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.error("`\"`")),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.error("UTF-8"))
    }

    fn escape(&mut self) -> Result<char, Error> {
        let byte = self.peek().ok_or_else(|| self.error("an escape"))?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.error("an escape")),
        })
    }

    fn unicode(&mut self) -> Result<char, Error> {
        let high = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&high) {
            let pair = self.peek() == Some(b'\\') && {
                self.at += 1;
                self.peek() == Some(b'u')
            };
            if !pair {
                return Err(self.error("the second half of a surrogate pair"));
            }
            self.at += 1;
            let low = self.hex()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.error("the second half of a surrogate pair"));
            }
            0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.error("a character"))
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.error("four hex digits"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(true) => f.write_str("true"),
            Self::Bool(false) => f.write_str("false"),
            Self::Number(digits) => f.write_str(digits),
            Self::Text(text) => escaped(f, text),
            Self::List(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    f.write_str(if place > 0 { "," } else { "" })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (place, (key, value)) in fields.iter().enumerate() {
                    f.write_str(if place > 0 { "," } else { "" })?;
                    escaped(f, key)?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                f.write_char('\\')?;
                f.write_char(c)?;
            }
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl FromJson for Value {
    fn from_json(value: &Value) -> Result<Self, Error> {
        Ok(value.clone())
    }
}

impl FromJson for bool {
    fn from_json(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Bool(truth) => Ok(*truth),
            other => other.expected("a boolean"),
        }
    }
}

impl FromJson for String {
    fn from_json(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            other => other.expected("a text"),
        }
    }
}

impl<T: FromJson> FromJson for Option<T> {
    fn from_json(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(None),
            other => T::from_json(other).map(Some),
        }
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value) -> Result<Self, Error> {
        match value {
            Value::List(items) => items.iter().map(T::from_json).collect(),
            other => other.expected("a list"),
        }
    }
}

macro_rules! numbers {
    ($($number:ty: $what:literal),*) => {$(
        impl FromJson for $number {
            fn from_json(value: &Value) -> Result<Self, Error> {
                match value {
                    Value::Number(digits) => digits.parse().or_else(|_| value.expected($what)),
                    other => other.expected($what),
                }
            }
        }

        impl ToJson for $number {
            fn to_json(&self) -> Value {
                Value::Number(self.to_string())
            }
        }
    )*};
}

numbers!(
    u8: "a whole number of 0 to 255",
    u16: "a whole number of 0 to 65535",
    u32: "a whole number of 0 to 4294967295",
    u64: "a whole number",
    i64: "a whole number"
);

impl FromJson for f64 {
    fn from_json(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Number(digits) => digits.parse().or_else(|_| value.expected("a number")),
            other => other.expected("a number"),
        }
    }
}

/// What is no number in JSON (NaN, infinities) becomes `null`.
impl ToJson for f64 {
    fn to_json(&self) -> Value {
        if self.is_finite() {
            Value::Number(self.to_string())
        } else {
            Value::Null
        }
    }
}

impl ToJson for bool {
    fn to_json(&self) -> Value {
        Value::Bool(*self)
    }
}

impl ToJson for str {
    fn to_json(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl ToJson for String {
    fn to_json(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl<T: ToJson> ToJson for [T] {
    fn to_json(&self) -> Value {
        Value::List(self.iter().map(ToJson::to_json).collect())
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self) -> Value {
        self.as_slice().to_json()
    }
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn to_json(&self) -> Value {
        (*self).to_json()
    }
}

impl ToJson for Value {
    fn to_json(&self) -> Value {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read_and_written() {
        let text = r#"{"a":[1,-2.5e3,true,null],"b":{"c":"x\n\"\u00e9\ud83d\ude00"}}"#;
        let read = value(text).unwrap();
        assert_eq!(
            read.get("b").unwrap().field::<String>("c").as_deref(),
            Ok("x\n\"\u{e9}\u{1f600}")
        );
        assert_eq!(
            read.to_string(),
            "{\"a\":[1,-2.5e3,true,null],\"b\":{\"c\":\"x\\n\\\"\u{e9}\u{1f600}\"}}"
        );
        assert_eq!(parse::<Vec<u16>>(" [ 1 , 2 ] "), Ok(vec![1, 2]));
        assert_eq!(parse::<Option<u16>>("null"), Ok(None));
    }

    #[test]
    fn what_is_not_expected_is_named() {
        let message = |error: Error| error.to_string();
        let port = parse::<u16>("70000").map_err(message);
        assert_eq!(
            port,
            Err("expected a whole number of 0 to 65535, found 70000".to_owned())
        );
        let field = value(r#"{"a":"x"}"#)
            .unwrap()
            .field::<bool>("a")
            .map_err(message);
        assert_eq!(
            field,
            Err("`a`: expected a boolean, found a text".to_owned())
        );
        let end = value("[1").map_err(message);
        assert_eq!(
            end,
            Err("no JSON: expected `,` or `]` at byte 2".to_owned())
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "nul",
            "01",
            "1.",
            "-",
            "[1,]",
            "{\"a\"}",
            "\"",
            "\"\\ud800\"",
            "1 2",
            "\u{1}",
        ] {
            assert!(value(text).is_err(), "{text}");
        }
        assert!(value(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_gives_a_value_or_an_error(text in ".{0,200}") {
            let _either = value(&text);
        }

        #[test]
        fn near_json_agrees_with_a_reference(text in r#"[\[\]{}",:0-9eE.+\\u a-f-]{0,40}"#) {
            // The reference refuses numbers that no double holds; digits are only kept here.
            if let Ok(reference) = serde_json::from_str::<serde_json::Value>(&text) {
                let ours = value(&text).expect("the reference takes it");
                let again: serde_json::Value = serde_json::from_str(&ours.to_string()).unwrap();
                prop_assert_eq!(again, reference);
            }
        }

        #[test]
        fn texts_survive_the_way_through_json(text in any::<String>()) {
            prop_assert_eq!(parse::<String>(&text.to_json().to_string()), Ok(text));
        }
    }
}
