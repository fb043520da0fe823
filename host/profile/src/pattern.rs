//! Regular expressions of a profile: anchored at both ends, as Prometheus has them, and bounded.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// The most bytes of a regular expression: far more than labels need.
pub const PATTERN_BYTES_MAX: usize = 512;

/// The most bytes that a compiled one may take, on each of its two ways to match.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// A regular expression that matches whole texts, in time that grows with their length alone. The syntax
/// is RE2's; `.` matches a line feed too.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("it has more than {PATTERN_BYTES_MAX} bytes"));
        }
        let build = |text: &str| {
            RegexBuilder::new(text)
                .size_limit(COMPILED_BYTES_MAX)
                .dfa_size_limit(COMPILED_BYTES_MAX)
                .build()
        };
        // As written first: what is wrong is told of that, and a `)` cannot leave the anchors.
        build(text)
            .and_then(|_| build(&format!("^(?s:{text})$")))
            .map(|regex| Self {
                text: text.to_owned(),
                regex,
            })
            .map_err(|error| told(&error))
    }

    /// Whether it matches the whole text.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What a replacement with `$1`, `${1}` or `${name}` in it comes to for a text; none where the text
    /// does not match.
    pub fn replace(&self, text: &str, replacement: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let mut expanded = String::new();
        captures.expand(replacement, &mut expanded);
        Some(expanded)
    }
}

/// The last line of what may be a drawing.
fn told(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it is too large once compiled".to_owned(),
        other => {
            let text = other.to_string();
            let line = text.lines().last().unwrap_or_default().trim();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_matches_whole_texts_alone() {
        let pattern = Pattern::new("a|bc").unwrap();
        let matched: Vec<&str> = ["a", "bc", "ab", "abc", "xa", "a\n"]
            .into_iter()
            .filter(|text| pattern.matches(text))
            .collect();
        assert_eq!(matched, ["a", "bc"]);
        assert!(Pattern::new(".*").unwrap().matches("a\nb"));
    }

    #[test]
    fn a_replacement_takes_groups_by_number_and_by_name() {
        let pattern = Pattern::new("(?P<pod>.+)-([a-z0-9]+)").unwrap();
        for (replacement, given) in [
            ("$1", "piko-0"),
            ("${1}x", "piko-0x"),
            ("${pod}/$2", "piko-0/sa45o2x"),
            ("$1x", ""),
            ("$$1", "$1"),
            ("$9", ""),
        ] {
            let found = pattern.replace("piko-0-sa45o2x", replacement);
            assert_eq!(found.as_deref(), Some(given), "{replacement}");
        }
        assert_eq!(pattern.replace("piko", "$1"), None);
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line() {
        for (text, told) in [
            ("(a", "unclosed group"),
            ("a)|(b", "unopened group"),
            ("*", "repetition operator missing expression"),
            (
                "(?=a)",
                "look-around, including look-ahead and look-behind, is not supported",
            ),
            ("(\\w{100}){100}", "it is too large once compiled"),
        ] {
            assert_eq!(Pattern::new(text).unwrap_err(), told, "{text}");
        }
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        assert_eq!(
            Pattern::new(&long).unwrap_err(),
            "it has more than 512 bytes"
        );
    }

    proptest! {
        #[test]
        fn no_pattern_and_no_text_breaks_it(
            pattern in "[a-z0-9.*+?()|\\[\\]{}^$\\\\:P<>,=-]{0,40}",
            text in "\\PC{0,40}",
            replacement in "[a-z0-9${}]{0,12}",
        ) {
            match Pattern::new(&pattern) {
                Ok(pattern) => drop(pattern.replace(&text, &replacement)),
                Err(told) => prop_assert!(!told.is_empty() && !told.contains('\n')),
            }
        }
    }
}
