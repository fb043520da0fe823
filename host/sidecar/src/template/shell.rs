//! Shell-like variables: `${NAME}`, `${NAME:-default}`, `$$`. Nothing is executed.

use std::collections::BTreeMap;

use outrigger_profile::{Finding, did_you_mean};

/// Renders a text. A `$` before anything but `$` and `{` stays as it is.
///
/// # Errors
/// Every variable that is not set and every `${` that is not understood, with its line.
pub(super) fn render(text: &str, env: &BTreeMap<String, String>) -> Result<String, Vec<Finding>> {
    let mut out = String::with_capacity(text.len());
    let mut findings = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        line += newlines(before);
        rest = &from[1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let Some(end) = inner.find('}') else {
                findings.push(
                    Finding::error("", "`${` is not closed")
                        .at_line(line)
                        .hint("write `$${` for the text itself"),
                );
                break;
            };
            let (expression, after) = (&inner[..end], &inner[end + 1..]);
            match value(expression, env) {
                Ok(value) => out.push_str(value),
                Err(finding) => findings.push(finding.at_line(line)),
            }
            line += newlines(expression);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    if findings.is_empty() {
        Ok(out)
    } else {
        Err(findings)
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// What stands for `NAME` or `NAME:-default`. As in a shell, `:-` counts for an empty variable too.
fn value<'a>(expression: &'a str, env: &'a BTreeMap<String, String>) -> Result<&'a str, Finding> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(
            Finding::error("", format!("`${{{expression}}}` is not understood")).hint(format!(
                "there are `${{NAME}}` and `${{NAME:-default}}`; write `$${{{expression}}}` for the text itself"
            )),
        );
    }
    match (env.get(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default),
        (None, None) => {
            let hint = match did_you_mean(name, env.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `${{{near}}}`?"),
                None => format!("set it for the sidecar, or write `${{{name}:-default}}`"),
            };
            Err(Finding::error("", format!("the variable `{name}` is not set")).hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env() -> BTreeMap<String, String> {
        BTreeMap::from([
            ("POD_NAME".to_owned(), "db-1".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ])
    }

    #[test]
    fn variables_defaults_and_doubled_dollars() {
        let text = "${POD_NAME} ${ZONE:-a b} ${EMPTY:-x}${EMPTY} $$HOME $HOME $(date) $${X} 5$";
        assert_eq!(
            render(text, &env()).unwrap(),
            "db-1 a b x $HOME $HOME $(date) ${X} 5$"
        );
    }

    #[test]
    fn everything_that_is_missing_or_not_understood_is_told_with_its_line() {
        let findings = render("${POD_NAM}\n${ZONE}\n${a.b}\n${POD_NAME", &env()).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "error: line 1: the variable `POD_NAM` is not set\n  hint: did you mean `${POD_NAME}`?",
                "error: line 2: the variable `ZONE` is not set\n  hint: set it for the sidecar, or write `${ZONE:-default}`",
                "error: line 3: `${a.b}` is not understood\n  hint: there are `${NAME}` and `${NAME:-default}`; write `$${a.b}` for the text itself",
                "error: line 4: `${` is not closed\n  hint: write `$${` for the text itself",
            ]
        );
    }

    proptest! {
        #[test]
        fn texts_without_dollars_stay_as_they_are(text in "[^$]{0,60}") {
            prop_assert_eq!(render(&text, &env()).unwrap(), text);
        }

        #[test]
        fn any_text_ends_in_a_result_or_findings(text in "[${}:A-Z\\n -]{0,60}") {
            if let Err(findings) = render(&text, &env()) {
                prop_assert!(!findings.is_empty());
            }
        }
    }
}
