//! What a value may be: allow-lists of characters and words. No value that passes can end a text, a
//! line, a path or an argument that it is put into.

use outrigger_profile::{ByteSize, did_you_mean};

use super::builtins;
use crate::injection::Order;
use crate::quantity;

/// What the value of a key may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// `true` or `false`.
    Bool,
    /// A name as Kubernetes has them: lower-case letters, digits, dashes, and dots where it may be longer
    /// than a label.
    Name {
        /// The most bytes.
        most: usize,
    },
    /// The name of a built-in profile.
    Builtin,
    /// A place among the init containers.
    Order,
    /// A port that needs no privilege.
    Port,
    /// An image's reference.
    Image,
    /// An amount of CPU.
    Cpu,
    /// An amount of memory.
    Memory,
    /// A log filter.
    LogFilter,
    /// An http or https URL.
    Url,
    /// The status, as the injection writes it.
    Status,
}

impl Grammar {
    /// Whether a value is allowed.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Bool => matches!(text, "true" | "false"),
            Self::Name { most } => name(text, most),
            Self::Builtin => builtins().any(|name| name == text),
            Self::Order => order(text).is_some(),
            Self::Port => port(text).is_some(),
            Self::Image => image(text),
            Self::Cpu => quantity::cpu_milli(text).is_some_and(|milli| milli > 0),
            Self::Memory => text.len() <= 24 && text.parse::<ByteSize>().is_ok_and(|s| s.0 > 0),
            Self::LogFilter => log_filter(text),
            Self::Url => url(text),
            Self::Status => crate::status::Status::parse(text).is_ok(),
        }
    }

    /// What it is, after "is not".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Bool => "`true` or `false`",
            Self::Name { most: ..=63 } => "a name of lower-case letters, digits and dashes",
            Self::Name { .. } => "a name of lower-case letters, digits, dashes and dots",
            Self::Builtin => "the name of a built-in profile",
            Self::Order => "`first`, `last`, `before=<container>` or `after=<container>`",
            Self::Port => "a port from 1024 to 65535",
            Self::Image => "an image's reference",
            Self::Cpu => "an amount of CPU",
            Self::Memory => "an amount of memory",
            Self::LogFilter => "a log filter",
            Self::Url => "an http or https URL",
            Self::Status => "a status that an injection wrote",
        }
    }

    /// One or two values that are allowed.
    pub fn examples(self) -> String {
        match self {
            Self::Bool => "`true`".to_owned(),
            Self::Name { most: ..=63 } => "`agdb`".to_owned(),
            Self::Name { .. } => "`agdb-outrigger`".to_owned(),
            Self::Builtin => builtins()
                .map(|n| format!("`{n}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Self::Order => "`first` or `after=istio-proxy`".to_owned(),
            Self::Port => "`7170`".to_owned(),
            Self::Image => "`outrigger:0.1.0`".to_owned(),
            Self::Cpu => "`50m` or `0.5`".to_owned(),
            Self::Memory => "`64Mi`".to_owned(),
            Self::LogFilter => "`info` or `warn,outrigger_sidecar=debug`".to_owned(),
            Self::Url => "`http://collector:4317`".to_owned(),
            Self::Status => String::new(),
        }
    }

    /// The allowed value that was probably meant.
    pub(super) fn near(self, text: &str) -> Option<&'static str> {
        match self {
            Self::Bool => match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "on" | "1" | "enabled" | "true" => Some("true"),
                "no" | "n" | "off" | "0" | "disabled" | "false" => Some("false"),
                _ => None,
            },
            Self::Builtin => did_you_mean(text, builtins()),
            Self::Order => did_you_mean(text, ["first", "last"]),
            _ => None,
        }
    }
}

/// A DNS label, or several with dots between them where more than 63 bytes are allowed.
fn name(text: &str, most: usize) -> bool {
    let label = |label: &str| {
        let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        ends(label.bytes().next())
            && ends(label.bytes().next_back())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if most > 63 {
        text.len() <= most && text.split('.').all(label)
    } else {
        text.len() <= most && label(text)
    }
}

pub(super) fn order(text: &str) -> Option<Order> {
    let container = |name_: &str| name(name_, 63).then(|| name_.to_owned());
    match text.split_once('=') {
        None if text == "first" => Some(Order::First),
        None if text == "last" => Some(Order::Last),
        Some(("before", other)) => container(other).map(Order::Before),
        Some(("after", other)) => container(other).map(Order::After),
        _ => None,
    }
}

pub(super) fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let port: u16 = text.parse().ok().filter(|_| plain)?;
    (port >= 1024).then_some(port)
}

/// Letters, digits and `._-/:@`, beginning with a letter or digit.
fn image(text: &str) -> bool {
    (1..=512).contains(&text.len())
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b))
}

/// Directives as `level` or `target=level`, with commas between them.
fn log_filter(text: &str) -> bool {
    let level = |text: &str| matches!(text, "off" | "error" | "warn" | "info" | "debug" | "trace");
    let target = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
    };
    text.len() <= 256
        && text
            .split(',')
            .all(|directive| match directive.split_once('=') {
                None => level(directive),
                Some((name, word)) => target(name) && level(word),
            })
}

fn url(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    text.len() <= 512
        && rest.is_some_and(|rest| {
            rest.bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'[')
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-/:[]%~".contains(&b))
        })
}
