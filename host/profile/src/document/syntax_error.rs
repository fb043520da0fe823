//! What to do about an error of syntax: the parser says what it met, people need to know why.

use saphyr_parser::ScanError;

use super::reader::too_deep;
use crate::Finding;

pub(super) fn explain(error: &ScanError, text: &str) -> Finding {
    let lines: Vec<&str> = text.lines().collect();
    let line = error.marker().line().clamp(1, lines.len().max(1));
    if error.info() == "recursion limit exceeded" {
        return too_deep(line);
    }
    let around = || {
        let from = line.saturating_sub(2);
        lines.iter().skip(from).take(2).copied()
    };
    let hint = if lines.is_empty() {
        None
    } else if around().any(indented_by_tab) {
        Some("YAML is indented by spaces: replace the tab")
    } else if around().any(has_bare_template) {
        Some("quote a template: \"{{ … }}\"")
    } else if error.info().contains("anchor") {
        Some("quote a text that begins with `*` or `&`")
    } else if error.info().contains("mapping values are not allowed") {
        Some("quote a value that holds a colon and a space, or check the indentation")
    } else {
        Some("check the indentation, quotes and brackets of this line and of the one before it")
    };
    let finding = Finding::error("", format!("not valid YAML: {}", error.info())).at_line(line);
    match hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

fn indented_by_tab(line: &str) -> bool {
    line.chars()
        .take_while(|c| c.is_whitespace())
        .any(|c| c == '\t')
}

/// Whether a value begins with a template's braces without quotes.
fn has_bare_template(line: &str) -> bool {
    let value = line.split_once(": ").map_or(line, |(_, value)| value);
    value
        .trim_start()
        .trim_start_matches("- ")
        .starts_with("{{")
}

#[cfg(test)]
mod tests {
    use crate::document::Document;

    #[test]
    fn common_slips_come_with_their_remedy() {
        let table = [
            ("a:\n\tb: 1\n", 2, "replace the tab"),
            ("a: {{ self.ip }}:3000\n", 1, "a template: \"{{"),
            ("a: *every\n", 1, "quote a text that begins with `*`"),
            ("a: b: c\n", 1, "holds a colon"),
            ("a: \"b\nc: d\n", 1, "check the indentation, quotes"),
            ("a: [1, 2\nb: 3\n", 2, "check the indentation, quotes"),
        ];
        for (text, line, hint) in table {
            let finding = Document::parse_all(text, "f.yaml").unwrap_err();
            assert!(
                finding.hint.as_deref().unwrap_or_default().contains(hint),
                "{text:?} gave {finding}"
            );
            assert_eq!(finding.line, line, "{text:?} gave {finding}");
        }
    }
}
