//! Whether a rendered file is what it should be: YAML, JSON, TOML, properties.

use outrigger_profile::document::Document;
use outrigger_profile::{Finding, Format};

/// What is wrong with a rendered text; lines are those of the result.
pub(super) fn check(text: &[u8], format: Format) -> Option<Finding> {
    let name = match format {
        Format::Text => return None,
        Format::Yaml => "YAML",
        Format::Json => "JSON",
        Format::Toml => "TOML",
        Format::Properties => "properties",
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return Some(Finding::error(
            "",
            format!("the result is not {name}: it is not UTF-8 text"),
        ));
    };
    let (line, problem) = match format {
        Format::Text => return None,
        Format::Yaml => Document::parse_all(text, "")
            .err()
            .map(|finding| (finding.line, finding.problem)),
        Format::Json => serde_json::from_str::<serde::de::IgnoredAny>(text)
            .err()
            .map(|error| (error.line(), error.to_string())),
        Format::Toml => text.parse::<toml::Table>().err().map(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text
                .get(..start)
                .map_or(0, |before| before.matches('\n').count() + 1);
            (line, error.message().to_owned())
        }),
        Format::Properties => properties(text),
    }?;
    Some(
        Finding::error("", format!("the result is not {name}: {problem}"))
            .at_line(line)
            .hint(
                "the line is the rendered file's; write `format: text` to have it taken as it is",
            ),
    )
}

/// The first line that is neither a pair, a comment nor blank. A backslash at the end of a line
/// continues it, as Java reads properties.
fn properties(text: &str) -> Option<(usize, String)> {
    let mut continued = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let is_comment = !continued && trimmed.starts_with(['#', '!']);
        if !continued && !is_comment && !trimmed.is_empty() {
            let separator = trimmed.find(['=', ':']);
            match separator {
                None => {
                    return Some((
                        index + 1,
                        "there is neither `=` nor `:` in this line".to_owned(),
                    ));
                }
                Some(0) => {
                    return Some((index + 1, "there is no key before the separator".to_owned()));
                }
                Some(_) => {}
            }
        }
        let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
        continued = !is_comment && backslashes % 2 == 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(text: &str, format: Format) -> Option<usize> {
        check(text.as_bytes(), format).map(|finding| finding.line)
    }

    #[test]
    fn what_parses_is_taken() {
        for (text, format) in [
            ("anything {{", Format::Text),
            ("a: 1\n---\nb: [1, 2]\n", Format::Yaml),
            ("{\"a\": [1]}", Format::Json),
            ("a = 1\n[b]\nc = \"x\"\n", Format::Toml),
            ("# c\n! c\na = 1\nb: 2\n\nc=a,\\\n  b\n", Format::Properties),
        ] {
            assert_eq!(check(text.as_bytes(), format), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_parse_is_told_with_its_line() {
        assert_eq!(
            line_of("a: 1\nb: [1, 2\n", Format::Yaml).map(|line| line >= 2),
            Some(true)
        );
        assert_eq!(line_of("{\n\"a\": 1,\n}", Format::Json), Some(3));
        assert_eq!(line_of("a = 1\nb = \n", Format::Toml), Some(2));
        assert_eq!(line_of("a = 1\nwhat\n", Format::Properties), Some(2));
        assert_eq!(line_of("= 1\n", Format::Properties), Some(1));
    }

    #[test]
    fn bytes_that_are_no_text_are_no_configuration_either() {
        assert!(check(&[0xff], Format::Json).is_some());
        assert!(check(&[0xff], Format::Text).is_none());
    }
}
